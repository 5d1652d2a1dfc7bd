package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// An httpLoad is a number of senders with one connection each, which ask again
// as soon as they have their answer.
type httpLoad struct {
	d       *driver
	x       exchange
	senders []*httpSender
	// running senders ask again; without it the answers under way are the
	// last ones.
	running bool

	asked, done uint64 // done are answers as they should be
	hist        Histogram
}

// An httpSender is one connection of a load. It belongs to the driver's loop.
type httpSender struct {
	load    *httpLoad
	c       *conn
	number  int
	request []byte // head and body; only the head when the body is bulk
	reader  responseReader
	asked   time.Time
	busy    bool
	sent    uint64 // bytes of a bulk body made so far
	buf     []byte // the part of it under way
}

// newHTTPLoad connects n senders, which are silent until they are asked to ask.
func newHTTPLoad(d *driver, x exchange, n int) (*httpLoad, error) {
	h := &httpLoad{d: d, x: x}
	for number := range n {
		s := &httpSender{load: h, number: number, request: httpRequest(&d.site, &x, number)}
		s.reader.verify = x.bulk
		var err error
		if s.c, err = d.dialPlain(d.addr, s, s.take); err != nil {
			return nil, fmt.Errorf("connect a sender: %w", err)
		}
		h.senders = append(h.senders, s)
	}
	return h, nil
}

// httpRequest builds the request of one sender, without the body of a bulk one.
func httpRequest(s *site, x *exchange, number int) []byte {
	method, fields := "GET", ""
	switch {
	case x.chunked:
		method, fields = "POST", "Transfer-Encoding: chunked\r\n"
	case x.request > 0:
		method, fields = "POST", "Content-Length: "+strconv.FormatUint(x.request, 10)+"\r\n"
	}
	if s.sendToken != "" {
		fields += "ServiceBusAuthorization: " + s.sendToken + "\r\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s /%s/%d HTTP/1.1\r\nHost: %v\r\nUser-Agent: relaybench\r\n"+
		"Accept: */*\r\n%s\r\n", method, s.entity, number, s.addr, fields)
	p := []byte(b.String())
	if !x.bulk && x.request > 0 {
		head := len(p)
		p = append(p, make([]byte, x.request)...)
		fillPattern(p[head:], 0)
	}
	return p
}

// start makes all senders ask.
func (h *httpLoad) start() {
	h.running = true
	for _, s := range h.senders {
		s.ask()
	}
}

// busy counts the senders that wait for an answer.
func (h *httpLoad) busy() (n int) {
	for _, s := range h.senders {
		if s.busy {
			n++
		}
	}
	return n
}

// alive counts the senders that have their connection.
func (h *httpLoad) alive() (n int) {
	for _, s := range h.senders {
		if !s.c.gone {
			n++
		}
	}
	return n
}

func (s *httpSender) ask() {
	s.busy, s.asked = true, time.Now()
	s.load.asked++
	s.c.send(s.request)
	if s.load.x.bulk && s.load.x.request > 0 {
		s.sent = 0
		s.c.stream(true)
	}
}

// take consumes a part of an answer.
func (s *httpSender) take(p []byte) error {
	if !s.busy {
		return fmt.Errorf("%d bytes that nobody asked for: %.40q", len(p), p)
	}
	done, err := s.reader.feed(p)
	if err != nil || !done {
		return err
	}
	h := s.load
	switch r := &s.reader; {
	case r.status != 200:
		h.d.failures.addf("http: answered %d %s", r.status, r.reason)
	case r.number != s.number:
		h.d.failures.addf("http: sender %d got the response of sender %d", s.number, r.number)
	case r.bytes != h.x.response:
		h.d.failures.addf("http: the body of a response has %d bytes, want %d", r.bytes,
			h.x.response)
	default:
		h.done++
		h.hist.Record(time.Since(s.asked))
	}
	s.busy = false
	if s.reader.closing {
		return fmt.Errorf("response with Connection: close")
	}
	if s.c.streams || !s.c.idle() {
		return fmt.Errorf("response before the request was whole")
	}
	s.reader.next()
	if h.running && h.d.failures.count() < failedMax {
		s.ask()
	}
	return nil
}

// drained sends the next part of a bulk body.
func (s *httpSender) drained(c *conn) {
	if !c.streams {
		return
	}
	size := s.load.x.request
	for i := 0; i < sendsPerEvent && c.idle() && s.sent < size; i++ {
		n := min(fragmentSize, size-s.sent)
		s.buf = s.buf[:0]
		if s.load.x.chunked {
			s.buf = append(strconv.AppendUint(s.buf, n, 16), "\r\n"...)
		}
		begin := len(s.buf)
		s.buf = append(s.buf, make([]byte, n)...)
		fillPattern(s.buf[begin:], s.sent)
		s.sent += n
		if s.load.x.chunked {
			s.buf = append(s.buf, "\r\n"...)
			if s.sent == size {
				s.buf = append(s.buf, "0\r\n\r\n"...)
			}
		}
		c.send(s.buf)
	}
	if s.sent == size {
		c.stream(false)
	}
}

func (s *httpSender) opened(*conn)        {}
func (s *httpSender) received(*conn, int) {}

func (s *httpSender) lost(_ *conn, err error) {
	s.busy = false
	s.load.d.failures.add(fmt.Errorf("http: sender's connection: %w", describe(err)))
}
