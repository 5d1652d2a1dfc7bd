package naive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// responseWindow is how long a sender waits for the response
	// (docs/protocol.md, section 5.7).
	responseWindow = 60 * time.Second
	// inlineMax is the largest body on a control channel, in bytes
	// (docs/protocol.md, section 1.8).
	inlineMax = 64 << 10
	// via is what the relay adds to Via fields.
	via = "1.1 naive"
)

// A control is a listener's control channel.
type control struct {
	leg
	// sending keeps a message and its body together.
	sending sync.Mutex
}

// requestMessage is docs/protocol.md, section 5.3.
type requestMessage struct {
	Address        string            `json:"address"`
	ID             string            `json:"id"`
	RequestTarget  string            `json:"requestTarget,omitempty"`
	Method         string            `json:"method,omitempty"`
	RemoteEndpoint *remote           `json:"remoteEndpoint,omitempty"`
	RequestHeaders map[string]string `json:"requestHeaders,omitempty"`
	Body           *bool             `json:"body,omitempty"`
}

type remote struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
}

// responseMessage is docs/protocol.md, section 5.5.
type responseMessage struct {
	RequestID         string            `json:"requestId"`
	StatusCode        int               `json:"statusCode"`
	StatusDescription string            `json:"statusDescription"`
	ResponseHeaders   map[string]string `json:"responseHeaders"`
	Body              bool              `json:"body"`
}

// An arrival is what a waiting sender gets: a response from the control channel
// with its body, or a rendezvous connection.
type arrival struct {
	response *responseMessage
	body     []byte
	conn     leg
}

// relayHTTP relays one request; net/http has begun a goroutine for it.
func (r *Relay) relayHTTP(w http.ResponseWriter, req *http.Request) {
	l, entity := r.listenerFor(req.URL.Path)
	if l == nil {
		http.Error(w, "There are no listeners connected for the endpoint", http.StatusNotFound)
		return
	}
	m := r.newRequest(req, entity)
	arrived := make(chan arrival, 1)
	r.mu.Lock()
	if r.requests == nil {
		r.requests = map[string]chan arrival{}
	}
	r.requests[m.ID] = arrived
	r.mu.Unlock()
	defer r.claimRequest(m.ID)

	inline := req.ContentLength >= 0 && req.ContentLength <= inlineMax
	if err := l.offer(req, m, inline); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	select {
	case a := <-arrived:
		if a.conn == nil {
			writeHead(w, a.response)
			_, _ = w.Write(a.body)
			return
		}
		if err := exchange(w, req, m, a.conn, inline); err != nil {
			_ = a.conn.CloseNow()
			panic(http.ErrAbortHandler) // too late for a status
		}
	case <-time.After(responseWindow):
		http.Error(w, "the listener did not respond in time", http.StatusGatewayTimeout)
	case <-req.Context().Done():
	}
}

// listenerFor finds a listener of the entity at the beginning of path.
func (r *Relay) listenerFor(path string) (l *control, entity string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for entity = strings.Trim(path, "/"); ; {
		if all := r.listeners[entity]; len(all) > 0 {
			return all[len(all)-1], entity
		}
		cut := strings.LastIndexByte(entity, '/')
		if cut < 0 {
			return nil, ""
		}
		entity = entity[:cut]
	}
}

func (r *Relay) newRequest(req *http.Request, entity string) *requestMessage {
	id := newID()
	m := &requestMessage{
		Address: r.scheme(req) + req.Host + prefix + entity + "?sb-hc-rendezvous=" + id +
			"&sb-hc-action=request&sb-hc-id=" + id,
		ID: id, RequestTarget: req.URL.Path, Method: req.Method,
		RequestHeaders: map[string]string{"Host": req.Host}, Body: new(bool),
	}
	*m.Body = req.ContentLength != 0
	if query := keepQuery(req.URL.RawQuery); query != "" {
		m.RequestTarget += "?" + query
	}
	for name, values := range req.Header {
		if name != "Servicebusauthorization" && name != "Connection" && name != "Content-Length" {
			m.RequestHeaders[name] = strings.Join(values, ", ")
		}
	}
	m.RequestHeaders["Via"] = strings.TrimPrefix(m.RequestHeaders["Via"]+", "+via, ", ")
	if at, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
		m.RemoteEndpoint = &remote{at.Addr().String(), at.Port()}
	}
	return m
}

// offer sends the request over the control channel, or only where to hear it.
func (l *control) offer(req *http.Request, m *requestMessage, inline bool) error {
	var body []byte
	if inline && *m.Body {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
	}
	if !inline {
		m = &requestMessage{Address: m.Address, ID: m.ID}
	}
	message, err := json.Marshal(map[string]*requestMessage{"request": m})
	if err != nil {
		return err
	}
	// A sender that goes away must not end the write: it would end the channel.
	ctx := context.Background()
	l.sending.Lock()
	defer l.sending.Unlock()
	err = l.Write(ctx, websocket.MessageText, message)
	if err == nil && body != nil {
		err = l.Write(ctx, websocket.MessageBinary, body)
	}
	if err != nil {
		return errors.New("listener lost")
	}
	return nil
}

// claimRequest takes the sender that waits under id, nil when there is none.
func (r *Relay) claimRequest(id string) chan arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	arrived := r.requests[id]
	delete(r.requests, id)
	return arrived
}

// hear reads a control channel until it ends.
func (r *Relay) hear(ctx context.Context, l *control) {
	for {
		kind, p, err := l.Read(ctx)
		if err != nil {
			return
		}
		m, err := parseResponse(p)
		if kind != websocket.MessageText || err != nil {
			continue
		}
		a := arrival{response: m}
		if m.Body {
			if _, a.body, err = l.Read(ctx); err != nil {
				return
			}
		}
		if arrived := r.claimRequest(m.RequestID); arrived != nil {
			arrived <- a
		}
	}
}

func parseResponse(p []byte) (*responseMessage, error) {
	var m struct {
		Response *responseMessage `json:"response"`
	}
	if err := json.Unmarshal(p, &m); err != nil {
		return nil, err
	}
	if m.Response == nil || m.Response.StatusCode < 200 || m.Response.StatusCode > 999 {
		return nil, fmt.Errorf("not a response: %.60q", p)
	}
	return m.Response, nil
}

// meet hands a rendezvous connection for a request to the sender that waits.
func (r *Relay) meet(w http.ResponseWriter, req *http.Request, id string) {
	arrived := r.claimRequest(id)
	if arrived == nil {
		http.Error(w, "unknown rendezvous", http.StatusForbidden)
		return
	}
	if c, err := r.upgrade(w, req); err == nil {
		arrived <- arrival{conn: c}
	}
}

// exchange sends the request over a rendezvous connection, unless the listener
// has it, and copies the response.
func exchange(
	w http.ResponseWriter, req *http.Request, m *requestMessage, c leg, inline bool,
) error {
	ctx := req.Context()
	if !inline {
		if err := sendRequest(ctx, req.Body, m, c); err != nil {
			return err
		}
	}
	_, p, err := c.Read(ctx)
	if err != nil {
		return err
	}
	response, err := parseResponse(p)
	if err != nil {
		return err
	}
	writeHead(w, response)
	if response.Body {
		_, body, err := c.Reader(ctx)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(onlyWriter{w}, body, make([]byte, copyBuffer)); err != nil {
			return err
		}
	}
	// The sender does not wait until the listener has answered the Close.
	go func() { _ = c.Close(websocket.StatusNormalClosure, "") }()
	return nil
}

func sendRequest(
	ctx context.Context, body io.Reader, m *requestMessage, c leg,
) error {
	message, err := json.Marshal(map[string]*requestMessage{"request": m})
	if err != nil {
		return err
	}
	if err := c.Write(ctx, websocket.MessageText, message); err != nil {
		return err
	}
	to, err := c.Writer(ctx, websocket.MessageBinary)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(to, onlyReader{body}, make([]byte, copyBuffer)); err != nil {
		return err
	}
	return to.Close()
}

func writeHead(w http.ResponseWriter, m *responseMessage) {
	for name, value := range m.ResponseHeaders {
		w.Header().Set(name, value)
	}
	w.Header().Set("Via", via)
	w.WriteHeader(m.StatusCode)
}

// onlyReader hides other methods, so that CopyBuffer uses its buffer.
type onlyReader struct{ io.Reader }
