package gateway_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gobwas/ws"
)

// simRequest is a request message, as a listener reads it.
type simRequest struct {
	Address, ID, Method string
	RequestTarget       string // its query is the size of the body, if that is known
	Body                bool
}

// simStatuses counts the responses of all simulated worlds, by status.
var simStatuses [600]atomic.Int64

// simHTTP is what a simulated client knows of HTTP.
type simHTTP struct {
	bodies  []string    // of a sender's requests that have no response yet
	request *simRequest // of a listener: its body is being received
	body    []byte
	wrong   string
}

// request makes a sender with a few requests on one connection, some of them
// pipelined, with bodies of all sizes that matter in both framings.
func (w *simWorld) request(entity, token string) {
	c := &simClient{w: w, peer: w.net.Dial(), role: "http", waits: w.clock.Load()}
	for range 1 + w.rnd.IntN(4) {
		size := []int{0, 0, 1, 100, 3000, 16384, 65536, 65537, 90000}[w.rnd.IntN(9)]
		body := strings.Repeat(string(rune('a'+w.rnd.IntN(26))), size)
		accept := ""
		if w.rnd.IntN(5) == 0 {
			accept = "Accept: text/event-stream\r\n"
		}
		known := w.rnd.IntN(2) == 0
		head := "POST /" + entity + "/h"
		if known {
			head += "?" + strconv.Itoa(size)
		}
		head += " HTTP/1.1\r\nHost: sim\r\n" + accept + token
		if known {
			head += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", size, body)
		} else {
			head += "Transfer-Encoding: chunked\r\n\r\n"
			for rest := body; rest != ""; {
				n := 1 + w.rnd.IntN(len(rest))
				head += fmt.Sprintf("%x\r\n%s\r\n", n, rest[:n])
				rest = rest[n:]
			}
			head += "0\r\n\r\n"
		}
		c.out = append(c.out, head...)
		c.http.bodies = append(c.http.bodies, body)
	}
	w.clients = append(w.clients, c)
}

// responses takes whole responses off what a sender has received: they come in
// order, and a listener's has the body of its request.
func (c *simClient) responses() {
	for len(c.http.bodies) > 0 {
		in := bytes.NewReader(c.in)
		buffered := bufio.NewReader(in)
		response, err := http.ReadResponse(buffered, nil)
		if err != nil {
			return
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return
		}
		c.in = c.in[len(c.in)-in.Len()-buffered.Buffered():]
		c.status = response.Status
		if response.StatusCode == 400 {
			c.http.wrong = "no request was wrong, but: " + response.Status
		}
		simStatuses[response.StatusCode].Add(1)
		if via := response.Header.Get("Via"); (via != "") != (response.StatusCode == 200) {
			c.http.wrong = fmt.Sprintf("status %s with Via %q", response.Status, via)
		}
		if want := c.http.bodies[0]; response.StatusCode == 200 && string(body) != want {
			c.http.wrong = fmt.Sprintf("a response of %d bytes for a request of %d", len(body), len(want))
		}
		c.http.bodies = c.http.bodies[1:]
		if response.Close {
			c.leave()
			return
		}
	}
	if !c.over {
		c.leave()
	}
}

// request does with a request message what listeners do.
func (c *simClient) request(r *simRequest) {
	switch {
	case r.Method == "": // to be fetched
		if c.w.rnd.IntN(8) > 0 {
			c.w.dial("rendezvous", strings.TrimPrefix(r.Address, "ws://sim"))
		}
	case !r.Body:
		c.answer(r, nil)
	default:
		c.http.request, c.http.body = r, nil
	}
}

// requestFrame takes frames of a request: on a rendezvous connection all of
// it, on a control channel its body.
func (c *simClient) requestFrame(f ws.Frame) {
	if f.Header.OpCode == ws.OpText {
		var m struct{ Request *simRequest }
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			panic(err)
		}
		c.http.request, c.http.body = m.Request, nil
		return
	}
	if len(f.Payload) > 65536 {
		c.http.wrong = "a frame over 65,536 bytes"
	}
	c.http.body = append(c.http.body, f.Payload...)
	if r := c.http.request; r != nil && !f.Header.Fin && len(c.http.body) > 0 {
		if _, size, _ := strings.Cut(r.RequestTarget, "?"); size == strconv.Itoa(len(c.http.body)) {
			c.http.wrong = "a request's body is whole, and its last frame does not say so"
		}
	}
	if r := c.http.request; f.Header.Fin && r != nil {
		c.http.request = nil
		c.answer(r, c.http.body)
	}
}

// answer echoes a body in one of the forms of real listeners.
func (c *simClient) answer(r *simRequest, body []byte) {
	rnd := c.w.rnd
	to := c
	switch n := rnd.IntN(12); {
	case n == 0:
		return // never: the sender times out
	case n == 1:
		c.leave()
		return
	case c.role == "listener" && (len(body) > 65536 || n < 5):
		c.w.dial("rendezvous", strings.TrimPrefix(r.Address, "ws://sim"))
		to = c.w.clients[len(c.w.clients)-1]
	}
	m, _ := json.Marshal(map[string]any{"response": map[string]any{
		"requestId": r.ID, "statusCode": "200", "responseHeaders": map[string]any{"n": 1}, "body": true}})
	to.send(ws.OpText, m)
	op := ws.OpBinary
	for rest := body; ; op = ws.OpContinuation {
		n := min(len(rest), 1+rnd.IntN(40000))
		fin := n == len(rest)
		last := fin && to.role == "rendezvous" && rnd.IntN(3) == 0 // never FIN, then Close
		frame := ws.NewFrame(op, fin && !last, bytes.Clone(rest[:n]))
		to.out = append(to.out, ws.MustCompileFrame(ws.MaskFrame(frame))...)
		if rest = rest[n:]; fin {
			if last {
				to.send(ws.OpClose, ws.NewCloseFrameBody(1000, ""))
			}
			return
		}
	}
}
