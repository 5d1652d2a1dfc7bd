package gateway_test

import (
	"io"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPAddressesAreForOneAction: an address of a request is not for accept,
// and the reverse. That does not use it up.
func TestHTTPAddressesAreForOneAction(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for _, chunked := range []bool{false, true} {
		s.Send(t, bodyRequest(n, "body", chunked))
		r := l.Announced(t)
		for _, action := range []string{"accept", "listen", "other"} {
			wrong := strings.Replace(r.Address, "-action=request", "-action="+action, 1)
			rejection := "&sb-hc-statusCode=500&sb-hc-statusDescription=no"
			if a := n.Open(t, wrong+rejection, relaytest.Dial{}).Refused(t); a.Status/100 != 4 ||
				action == "accept" && a.Status != 403 {
				t.Errorf("%q: answer %+v", action, a)
			}
		}
		r.Dial(t)
		if chunked {
			r.ReadBody(t)
		}
		r.Respond(t, relaytest.Reply{Parts: []string{r.Body}})
		s.WantResponse(t, 200, "body")
	}
	p := n.Waiting(t, relaytest.Dial{Path: relaytest.Anonymous})
	address := l.Next(t).Address
	wantDead(t, n, strings.Replace(address, "-action=accept", "-action=request", 1))
	relaytest.Exchange(t, n.Open(t, address, relaytest.Dial{}).Conn(t), p.Conn(t))
}

// TestHTTPAddressesAreSecret: nobody but the listener can know one.
func TestHTTPAddressesAreSecret(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Ask(t, "GET", openTarget, "")
	r := l.Announced(t)
	at := strings.Index(r.Address, "sb-hc-rendezvous=") + len("sb-hc-rendezvous=")
	for _, other := range []string{
		r.Address[:at], r.Address[:at+10], r.Address[:at] + strings.Repeat("0", 32),
		strings.Replace(r.Address, "sb-hc-rendezvous=", "sb-hc-other=", 1),
	} {
		if !strings.Contains(other, "sb-hc-action=request") {
			other += "&sb-hc-action=request"
		}
		wantDead(t, n, other)
	}
	r.OnRendezvous(t, relaytest.Reply{}).WantClosing(t, 1000)
	s.WantResponse(t, 200, "")
}

// TestHTTPAddressesAreForOneUse: while the exchange lasts and when it is over.
func TestHTTPAddressesAreForOneUse(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Raw(t)
	for _, chunked := range []bool{false, true} {
		s.Send(t, bodyRequest(n, "body", chunked))
		r := l.Announced(t)
		r.Dial(t)
		wantDead(t, n, r.Address)
		if chunked {
			r.ReadBody(t)
		}
		r.Leg.SendFrame(t, head(r, nil))
		wantDead(t, n, r.Address)
		r.Leg.SendFrame(t, binary(true, "whole"))
		r.Leg.WantClosing(t, 1000)
		s.WantResponse(t, 200, "whole")
		wantDead(t, n, r.Address)
	}
	s.Send(t, get(n))
	r := l.NextRequest(t)
	r.OnControl(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
	wantDead(t, n, r.Address)
}

// TestHTTPAddressInAResponse: on the control channel a response has
// begun, and the address is of no use any more; the exchange goes on.
func TestHTTPAddressInAResponse(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "GET", openTarget, "")
	r := c.Announced(t)
	c.SendFrame(t, head(r, nil))
	c.SendFrame(t, binary(false, "one"))
	s.ResponseHead(t)
	s.WantChunks(t, "one")
	n.Open(t, r.Address, relaytest.Dial{}).Want(t, 403)
	c.SendFrame(t, more(true, "two"))
	s.WantChunks(t, "two")
	if last := s.Chunk(t); last != "" {
		t.Errorf("chunk %q", last)
	}
}

// TestHTTPResponsesElsewhere: a listener that was told an address may answer on
// the control channel as long as it has not dialled, and then not any more.
func TestHTTPResponsesElsewhere(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
	r := l.Announced(t)
	r.OnControl(t, relaytest.Reply{Status: 413, Parts: []string{"too much"}})
	if res := s.Response(t); res.Status != 413 || res.Body != "too much" ||
		res.Header.Get("Via") == "" {
		t.Errorf("response %v", res)
	}
	wantDead(t, n, r.Address)

	s = n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
	r = l.NextRequest(t)
	r.OnControl(t, relaytest.Reply{Status: 500, Parts: []string{"ignored"}})
	l.Ping(t)
	r.Respond(t, relaytest.Reply{Parts: []string{"this one"}})
	s.WantResponse(t, 200, "this one")
	wantRelayed(t, n, s, l)
}

// TestHTTPStrayResponses: ids that nobody waits for, with and without bodies,
// and bodies without responses do no harm.
func TestHTTPStrayResponses(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "GET", openTarget, "")
	r := c.Announced(t)
	for _, id := range []string{"nobody", strings.ToUpper(r.ID), r.ID + "x", "", r.ID[:36]} {
		for _, reply := range []relaytest.Reply{
			{}, {Parts: []string{""}}, {Parts: []string{"stray"}}, {Parts: []string{"st", "ray"}},
		} {
			c.SendFrame(t, text(reply.Message(id)))
			for i, p := range reply.Parts {
				f := more(i == len(reply.Parts)-1, p)
				if i == 0 {
					f.Op = relaytest.OpBinary
				}
				c.SendFrame(t, f)
			}
		}
	}
	c.SendFrame(t, binary(true, ""))
	c.SendFrame(t, binary(false, "stray"))
	c.SendFrame(t, more(true, "more"))
	r.Respond(t, relaytest.Reply{Parts: []string{"right"}})
	s.WantResponse(t, 200, "right")
	// A second response to the same request is nobody's, too.
	r.Respond(t, relaytest.Reply{Parts: []string{"again"}})
	c.SendFrame(t, text(relaytest.Reply{Parts: []string{}}.Message("nobody"))) // its body never comes
	s.Send(t, get(n))
	c.Announced(t).Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// TestHTTPResponseInPlaceOfABody: the request whose body should have come is
// told, the other one is answered.
func TestHTTPResponseInPlaceOfABody(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	first := n.Ask(t, "GET", openTarget, "")
	r := c.Announced(t)
	second := n.Ask(t, "GET", openTarget, "")
	q := c.Announced(t)
	c.SendFrame(t, head(r, nil))
	q.Respond(t, relaytest.Reply{Parts: []string{"right"}})
	wantError(t, first.Response(t), 502, "BadGateway", "not valid")
	second.WantResponse(t, 200, "right")
}

// TestHTTPBodyOverControlChannelLimit: 64 KiB is the limit, in one frame and in
// many; the channel stays.
func TestHTTPBodyOverControlChannelLimit(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	c := n.RawListen(t, relaytest.Anonymous)
	half := long(32768)
	for name, tt := range map[string]struct {
		parts []string
		cut   bool // a part may have gone out
	}{
		"one frame":              {[]string{half + half + "x"}, false},
		"frames":                 {[]string{half, half, "x"}, true},
		"frames, most in a last": {[]string{"x", half + half}, true},
	} {
		s := n.Ask(t, "GET", openTarget, "")
		c.Announced(t).Respond(t, relaytest.Reply{Parts: tt.parts})
		r, err := s.TryResponse("GET")
		switch {
		case err == nil:
			wantError(t, r, 502, "BadGateway", "65536")
		case !tt.cut || !relaytest.Cut(err):
			t.Errorf("%s: response %v, %v", name, r, err)
		}
		s = n.Ask(t, "GET", openTarget, "")
		c.Announced(t).Respond(t, relaytest.Reply{Parts: []string{half, half}})
		s.WantResponse(t, 200, half+half)
	}
	// Clients write message and body one after the other.
	s := n.Ask(t, "GET", openTarget, "")
	c.SendFrame(t, head(c.Announced(t), nil))
	c.SendFrame(t, relaytest.Frame{Op: relaytest.OpPing, Fin: true})
	c.WantFrame(t, relaytest.Frame{Op: relaytest.OpPong, Fin: true})
	frame := string(binary(true, half+half+"x").Bytes())
	c.Send(t, frame[:100]) // its header says how long it is
	wantError(t, s.Response(t), 502, "BadGateway", "65536")
	c.Send(t, frame[100:])
	s.Send(t, get(n))
	c.Announced(t).Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// TestHTTPEarlyResponse: a listener may answer before it has the body. The
// sender gets the response, and the end of its connection.
func TestHTTPEarlyResponse(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for name, reply := range map[string]relaytest.Reply{
		"no body": {Status: 413}, "a body": {Status: 413, Parts: []string{"too much"}},
	} {
		for _, tt := range []struct {
			body   string
			fields []string
		}{
			{"4\r\npart\r\n", []string{relaytest.ChunkedCoding}},
			{"part", []string{"Content-Length: 100000"}},
			{"", []string{"Content-Length: 100000", "Expect: 100-continue"}},
			{"", []string{relaytest.ChunkedCoding, "Expect: 100-continue"}},
			{"", []string{"Content-Length: 100000", "Expect: 100-CONTINUE,,,"}},
		} {
			s := n.Ask(t, "POST", openTarget, tt.body, tt.fields...)
			r := l.Announced(t)
			r.OnRendezvous(t, reply)
			if tt.body == "" {
				if head := s.Head(t); !strings.HasPrefix(head, "HTTP/1.1 100 ") {
					t.Errorf("head %q", head)
				}
			} else {
				r.Leg.WantFrame(t, binary(false, "part"))
			}
			r.Leg.WantClosing(t, 1000)
			res := s.Response(t)
			if res.Status != 413 || res.Body != strings.Join(reply.Parts, "") ||
				res.Header.Get("Connection") != "close" {
				t.Errorf("%s: response %v", name, res)
			}
			// What the sender still sends is read and dropped, so that it can
			// read the response.
			_, _ = io.WriteString(s.TCPConn, "more of the body")
			s.WantEnd(t)
		}
	}
}

// TestHTTPWrongLength: a body that is not as long as its Content-Length is cut,
// for the sender would take the rest for the next response.
func TestHTTPWrongLength(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	for name, parts := range map[string][]string{
		"short": {"1234"}, "empty": {""}, "short, in parts": {"12", "34"},
		"long": {"123456"}, "long, in parts": {"12", "3456"}, "much too long": {long(60_000)},
	} {
		for _, rendezvous := range []bool{false, true} {
			s := n.Raw(t)
			s.Send(t, get(n)+get(n))
			r := l.NextRequest(t)
			reply := relaytest.Reply{Headers: map[string]any{"CONTENT-length": "5"}, Parts: parts}
			if rendezvous {
				r.OnRendezvous(t, reply)
			} else {
				r.OnControl(t, reply)
			}
			body := strings.Join(parts, "")
			got, err := s.TryResponse("GET")
			switch {
			case len(body) < 5 && (!relaytest.Cut(err) || got.Body != body),
				// Of too long a body what fits may come; but nothing behind it.
				len(body) > 5 && err != nil && !relaytest.Cut(err),
				len(body) > 5 && !strings.HasPrefix(body, got.Body):
				t.Errorf("%s: response %v, %v", name, got, err)
			}
			s.WantEnd(t) // the pipelined request is not answered
		}
	}
	if l.Ping(t); l.Requests() != 0 {
		t.Errorf("%d requests behind a cut response", l.Requests())
	}
	wantRelayed(t, n, n.Raw(t), l)
}
