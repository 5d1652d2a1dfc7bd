package naive

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// A listening answers requests as the official listeners do: small bodies on
// the control channel, larger ones on the rendezvous connection.
type listening struct {
	ctx     context.Context
	t       *testing.T
	control *websocket.Conn
}

// serve answers one request: its body comes back, behind the request's target.
func (l *listening) serve(heard chan<- requestMessage) {
	via := l.control
	m, ok := l.read(via)
	if !ok {
		return
	}
	byRendezvous := m.Method == ""
	address := m.Address
	if byRendezvous {
		via = dial(l.ctx, l.t, address)
		if m, ok = l.read(via); !ok {
			return
		}
	}
	heard <- m
	body := []byte(m.RequestTarget)
	if m.Body != nil && *m.Body {
		_, more, err := via.Read(l.ctx)
		if err != nil {
			l.t.Error(err)
		}
		body = append(body, more...)
	}
	if len(body) > inlineMax && !byRendezvous || strings.Contains(m.RequestTarget, "dial") {
		via = dial(l.ctx, l.t, address)
	}
	status := http.StatusOK
	if strings.Contains(m.RequestTarget, "broken") {
		status = 7
	}
	message, _ := json.Marshal(map[string]responseMessage{"response": {
		RequestID: m.ID, StatusCode: status, Body: true,
		ResponseHeaders: map[string]string{"X-Size": strconv.Itoa(len(body))},
	}})
	if err := via.Write(l.ctx, websocket.MessageText, message); err != nil {
		l.t.Error(err)
	}
	_ = via.Write(l.ctx, websocket.MessageBinary, body)
	if via != l.control {
		_, _, err := via.Read(l.ctx)
		if status == http.StatusOK && websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			l.t.Errorf("rendezvous connection ended with %v", err)
		}
	}
}

func (l *listening) read(c *websocket.Conn) (m requestMessage, ok bool) {
	kind, p, err := c.Read(l.ctx)
	var outer struct{ Request *requestMessage }
	if err == nil {
		err = json.Unmarshal(p, &outer)
	}
	if err != nil || kind != websocket.MessageText || outer.Request == nil {
		l.t.Errorf("message %.60q, %v", p, err)
		return m, false
	}
	return *outer.Request, true
}

func TestHTTP(t *testing.T) {
	ctx, base := start(t)
	l := &listening{ctx: ctx, t: t, control: dial(ctx, t, base+"/$hc/e?sb-hc-action=listen")}
	defer http.DefaultClient.CloseIdleConnections()
	for _, c := range []struct {
		target string
		size   int // -1: no body
		opaque bool
	}{
		{target: "/e", size: -1},
		{target: "/e/a/b?x=1", size: -1},
		{target: "/e/dial", size: -1},
		{target: "/e/1", size: 1},
		{target: "/e/2", size: inlineMax},
		{target: "/e/3", size: inlineMax + 1},
		{target: "/e/4", size: 3 << 20},
		{target: "/e/5", size: 10, opaque: true},
	} {
		method, body := http.MethodGet, []byte(nil)
		if c.size >= 0 {
			method, body = http.MethodPost, bytes.Repeat([]byte{'b'}, c.size)
		}
		var from io.Reader = bytes.NewReader(body)
		if c.opaque {
			from = onlyReader{from} // sent in chunks
		}
		req, err := http.NewRequestWithContext(ctx, method,
			"http"+strings.TrimPrefix(base, "ws")+c.target, from)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("ServiceBusAuthorization", "secret")
		req.Header["X-Two"] = []string{"a", "b"}
		heard, done := make(chan requestMessage, 1), make(chan struct{})
		go func() {
			defer close(done)
			l.serve(heard)
		}()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(c.target, err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		want := c.target + string(body)
		if err != nil || res.StatusCode != http.StatusOK || string(got) != want ||
			res.Header.Get("Via") != via || res.Header.Get("X-Size") != strconv.Itoa(len(want)) {
			t.Errorf("%s: %s, %d bytes, %v, %v", c.target, res.Status, len(got), res.Header, err)
		}
		<-done
		m := <-heard
		if h := m.RequestHeaders; m.Method != method || h["X-Two"] != "a, b" || h["Host"] == "" ||
			h["Via"] != via || h["Servicebusauthorization"] != "" || m.RemoteEndpoint == nil {
			t.Errorf("%s: request message %+v", c.target, m)
		}
	}
}

// A response that is none cuts the sender on a rendezvous connection.
func TestHTTPBrokenResponse(t *testing.T) {
	ctx, base := start(t)
	l := &listening{ctx: ctx, t: t, control: dial(ctx, t, base+"/$hc/e?sb-hc-action=listen")}
	heard, done := make(chan requestMessage, 1), make(chan struct{})
	go func() {
		defer close(done)
		l.serve(heard)
	}()
	res, err := http.Get("http" + strings.TrimPrefix(base, "ws") + "/e/dial/broken")
	if err == nil {
		_ = res.Body.Close()
		t.Errorf("answered %s", res.Status)
	}
	<-done
	http.DefaultClient.CloseIdleConnections()
}
