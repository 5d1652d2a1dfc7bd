package bench

import (
	"bytes"
	"fmt"
	"strconv"
)

const (
	// inlineMax is the largest body on a control channel, in bytes
	// (docs/protocol.md, section 1.8).
	inlineMax = 64 << 10
	// fragmentSize is the payload of one frame of a longer body, the size in
	// which the official .NET listener sends (docs/protocol.md, section 5.5).
	fragmentSize = 64 << 10
)

// An exchange says what every request of a load looks like, and its response.
type exchange struct {
	request, response uint64 // sizes of the bodies
	// bulk bodies are made as they go and every byte of them is compared;
	// others are sent from one buffer and counted.
	bulk bool
	// chunked requests do not state their length.
	chunked bool
	// stated is whether the listener states the length of its response.
	stated bool
}

// inline says whether the listener answers on the control channel.
func (x *exchange) inline() bool { return x.response <= inlineMax }

// An httpListener answers the requests that come over the control channel of a
// driver: there, or on a rendezvous connection. It belongs to the driver's loop.
type httpListener struct {
	d *driver
	x exchange

	body    []byte // frames of a response's body, unless it is bulk
	text    []byte // scratch: the JSON of a response message
	out     []byte // frames for the control channel, of one wake-up
	waiting *httpAnswer

	legs int // rendezvous connections that have not ended
	// inlined and dialed count requests by the form in which they came;
	// answered those whose response was handed over whole.
	inlined, dialed, answered uint64
	// atLeg, when set, hears of each rendezvous connection that stands.
	atLeg func(g *httpLeg)
}

// An httpAnswer is what the response has to name.
type httpAnswer struct {
	id     []byte
	number int
}

// answerHTTP makes d answer requests from now on.
func answerHTTP(d *driver, x exchange) *httpListener {
	l := &httpListener{d: d, x: x}
	if !x.bulk {
		for at := uint64(0); at < x.response; at += fragmentSize {
			l.body = appendPatternFragment(l.body, fragmentSize, at, x.response)
		}
	}
	d.http = l
	d.control.rx.onText, d.control.rx.onMessage = l.message, l.content
	return l
}

// message takes a request message.
func (l *httpListener) message(body []byte) {
	if l.waiting != nil {
		l.d.failures.addf("http: message where the body of a request was due")
		l.waiting = nil
	}
	m, err := parseRequest(body)
	if err != nil {
		l.d.failures.add(err)
		return
	}
	if len(m.method) == 0 {
		l.dialed++
		l.dial(&m, nil)
		return
	}
	l.inlined++
	a, err := newAnswer(&m)
	switch {
	case err != nil:
		l.d.failures.add(err)
	case !l.x.inline():
		// The address is good for an answer, too.
		l.dial(&m, a)
	case m.body:
		l.waiting = a
	default:
		l.checkBody(0)
		l.answer(a)
	}
}

// newAnswer keeps what an answer needs of a message that will be gone.
func newAnswer(m *relayedRequest) (*httpAnswer, error) {
	last := m.target[bytes.LastIndexByte(m.target, '/')+1:]
	number, err := strconv.Atoi(string(last))
	if err != nil {
		return nil, fmt.Errorf("http: request for %.60q, which nobody sent", m.target)
	}
	return &httpAnswer{id: bytes.Clone(m.id), number: number}, nil
}

// content takes the body of the request whose message came before it.
func (l *httpListener) content(body []byte) {
	if l.waiting == nil {
		l.d.failures.addf("http: binary message without a request")
		return
	}
	a := l.waiting
	l.waiting = nil
	l.checkBody(uint64(len(body)))
	if l.x.bulk && checkPattern(body, 0) >= 0 {
		l.d.failures.addf("http: the body of a request was changed")
	}
	l.answer(a)
}

func (l *httpListener) checkBody(size uint64) {
	if size != l.x.request {
		l.d.failures.addf("http: the body of a request has %d bytes, want %d", size, l.x.request)
	}
}

// answer responds on the control channel, with the next flush.
func (l *httpListener) answer(a *httpAnswer) {
	l.out = l.appendResponse(l.out, a)
	l.out = append(l.out, l.body...)
	l.answered++
}

// appendResponse appends the frame of a response message.
func (l *httpListener) appendResponse(dst []byte, a *httpAnswer) []byte {
	p := append(l.text[:0], `{"response":{"requestId":"`...)
	p = append(p, a.id...)
	p = append(p, `","statusCode":200,"statusDescription":"OK","responseHeaders":{`+
		`"Content-Type":"application/octet-stream",`...)
	if l.x.stated {
		p = append(p, `"Content-Length":"`...)
		p = append(strconv.AppendUint(p, l.x.response, 10), `",`...)
	}
	p = append(p, `"`+exchangeField+`":"`...)
	p = strconv.AppendInt(p, int64(a.number), 10)
	p = append(p, `"},"body":`...)
	p = append(strconv.AppendBool(p, l.x.response > 0), `}}`...)
	l.text = p
	return appendFrame(dst, opText, p)
}

// flush sends the answers of one wake-up together.
func (l *httpListener) flush() {
	if len(l.out) == 0 {
		return
	}
	l.d.control.send(l.out)
	if l.d.control.idle() {
		l.out = l.out[:0]
	} else {
		l.out = nil // the connection holds it until the kernel takes it
	}
}

// dial opens a rendezvous connection: to answer a, or to hear the request when
// a is nil.
func (l *httpListener) dial(m *relayedRequest, a *httpAnswer) {
	target, request, err := parseAddress(string(m.address), l.d.scheme())
	if err != nil {
		l.d.failures.add(err)
		return
	}
	g := &httpLeg{l: l, answer: a}
	if g.c, err = l.d.dial(target, request, g); err != nil {
		l.d.failures.add(fmt.Errorf("http: open rendezvous connection: %w", err))
		return
	}
	g.c.rx.onText = g.message
	g.c.rx.verify = l.x.bulk
	l.legs++
}

// An httpLeg is a rendezvous connection for one request or for its response
// alone. It owns one connection of the driver's loop.
type httpLeg struct {
	l      *httpListener
	c      *conn
	answer *httpAnswer // nil until the request message has come
	heard  bool        // the request came here, not over the control channel
	begun  bool        // the response has begun
	sent   uint64      // bytes of its body made so far, when it is bulk
	buf    []byte      // the fragment under way, when it is bulk
	whole  bool        // the response was handed over
}

func (g *httpLeg) opened(*conn) {
	if g.l.atLeg != nil {
		g.l.atLeg(g)
	}
	if g.answer != nil {
		g.respond()
	}
}

// message takes the request message, which comes only to a leg that was dialed
// for it.
func (g *httpLeg) message(body []byte) {
	m, err := parseRequest(body)
	if err == nil && g.answer != nil {
		err = fmt.Errorf("http: request message on a connection that was opened to answer")
	}
	if err == nil {
		g.heard = true
		g.answer, err = newAnswer(&m)
	}
	if err != nil {
		g.fail(err)
		return
	}
	if !m.body {
		g.l.checkBody(0)
		g.respond()
	}
}

func (g *httpLeg) received(c *conn, _ int) {
	const textAndBody = 2
	if !g.begun && g.heard && c.rx.messages == textAndBody {
		g.l.checkBody(c.rx.bytes)
		g.respond()
	}
	switch {
	case c.gone || !c.rx.closed:
	case !g.whole || !c.idle():
		g.fail(fmt.Errorf("http: Close %d before the response was whole", c.rx.closeCode))
	case c.rx.closeCode != closeNormal:
		g.fail(fmt.Errorf("http: Close %d after the response", c.rx.closeCode))
	default:
		c.send(appendClose(nil, closeNormal))
	}
}

// respond begins the response.
func (g *httpLeg) respond() {
	g.begun = true
	g.c.send(g.l.appendResponse(nil, g.answer))
	if g.l.x.bulk && g.l.x.response > 0 {
		g.c.stream(true)
		return
	}
	g.c.send(g.l.body)
	g.ended()
}

// drained sends the next part of a bulk body.
func (g *httpLeg) drained(c *conn) {
	if !c.streams {
		return
	}
	for i := 0; i < sendsPerEvent && c.idle() && g.sent < g.l.x.response; i++ {
		g.buf = appendPatternFragment(g.buf[:0], fragmentSize, g.sent, g.l.x.response)
		g.sent = min(g.sent+fragmentSize, g.l.x.response)
		c.send(g.buf)
	}
	if g.sent == g.l.x.response {
		c.stream(false)
		g.ended()
	}
}

func (g *httpLeg) ended() {
	g.whole = true
	g.l.answered++
}

// lost is in order on a leg that has seen the gateway's Close.
func (g *httpLeg) lost(c *conn, err error) {
	g.l.legs--
	if !c.rx.closed || !g.whole {
		g.l.d.failures.add(fmt.Errorf("http: rendezvous connection: %w", describe(err)))
	}
}

func (g *httpLeg) fail(err error) {
	if g.c.gone {
		return
	}
	g.l.legs--
	g.l.d.failures.add(err)
	g.c.abort()
}
