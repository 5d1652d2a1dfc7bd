package naive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	// acceptWindow is how long a sender waits for the listener
	// (docs/protocol.md, section 9).
	acceptWindow = 30 * time.Second
	// copyBuffer is the usual buffer of a copying relay, in bytes per
	// direction.
	copyBuffer = 32 << 10
	// idLength is the length of a rendezvous id: 16 bytes in hexadecimal.
	idLength = 32
	// prefix is what the path of every WebSocket request begins with.
	prefix = "/$hc/"
)

// A Relay is the http.Handler. The zero value is ready to use.
type Relay struct {
	// Scheme, ws or wss, begins rendezvous addresses; empty takes that of the
	// sender's request. It matters where TLS ends in front of the relay.
	Scheme string
	// Gorilla takes gorilla/websocket instead of coder/websocket.
	Gorilla bool

	mu        sync.Mutex
	listeners map[string][]*control   // by entity
	waiting   map[string]chan leg     // senders, by rendezvous id
	requests  map[string]chan arrival // senders of HTTP requests, by id
}

// ServeHTTP serves one WebSocket leg by its sb-hc-action, or relays a request
// that is for no leg.
func (r *Relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	entity, ok := strings.CutPrefix(req.URL.Path, prefix)
	if !ok {
		r.relayHTTP(w, req)
		return
	}
	query := req.URL.Query()
	switch action := query.Get("sb-hc-action"); action {
	case "listen":
		r.listen(w, req, entity)
	case "accept":
		r.accept(w, req, query.Get("sb-hc-rendezvous"))
	case "request":
		r.meet(w, req, query.Get("sb-hc-rendezvous"))
	case "", "connect":
		r.connect(w, req, entity)
	default:
		http.Error(w, "Unsupported action '"+action+"'", http.StatusBadRequest)
	}
}

// A leg is one WebSocket connection, of either library: what the relay uses of
// coder's. An end by a Close is a websocket.CloseError.
type leg interface {
	Reader(ctx context.Context) (websocket.MessageType, io.Reader, error)
	Writer(ctx context.Context, kind websocket.MessageType) (io.WriteCloser, error)
	Read(ctx context.Context) (websocket.MessageType, []byte, error)
	Write(ctx context.Context, kind websocket.MessageType, p []byte) error
	Close(code websocket.StatusCode, reason string) error
	CloseNow() error
}

// upgrade answers a handshake with 101.
func (r *Relay) upgrade(w http.ResponseWriter, req *http.Request) (leg, error) {
	if r.Gorilla {
		return upgradeGorilla(w, req)
	}
	c, err := websocket.Accept(w, req, &websocket.AcceptOptions{
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(-1)
	return c, nil
}

// listen registers while it holds the lock, because the registration must be
// complete when the listener sees the 101 (docs/protocol.md, section 2.1).
func (r *Relay) listen(w http.ResponseWriter, req *http.Request, entity string) {
	r.mu.Lock()
	ws, err := r.upgrade(w, req)
	if err != nil {
		r.mu.Unlock()
		return
	}
	c := &control{leg: ws}
	if r.listeners == nil {
		r.listeners = map[string][]*control{}
	}
	r.listeners[entity] = append(r.listeners[entity], c)
	r.mu.Unlock()
	r.hear(req.Context(), c)
	r.mu.Lock()
	rest := r.listeners[entity][:0]
	for _, l := range r.listeners[entity] {
		if l != c {
			rest = append(rest, l)
		}
	}
	r.listeners[entity] = rest
	r.mu.Unlock()
	_ = c.CloseNow()
}

// connect holds the sender's handshake until a listener has accepted it.
func (r *Relay) connect(w http.ResponseWriter, req *http.Request, entity string) {
	id := newID()
	accepted := make(chan leg, 1)
	r.mu.Lock()
	var l *control
	if all := r.listeners[entity]; len(all) > 0 {
		l = all[len(all)-1] // the newest: older ones may be gone without a word
	}
	if r.waiting == nil {
		r.waiting = map[string]chan leg{}
	}
	r.waiting[id] = accepted
	r.mu.Unlock()
	defer r.claim(id)
	if l == nil {
		http.Error(w, "There are no listeners connected for the endpoint", http.StatusNotFound)
		return
	}
	if err := l.Write(req.Context(), websocket.MessageText, r.acceptMessage(req, id)); err != nil {
		http.Error(w, "listener lost", http.StatusBadGateway)
		return
	}
	select {
	case listener := <-accepted:
		sender, err := r.upgrade(w, req)
		if err != nil {
			_ = listener.CloseNow()
			return
		}
		join(sender, listener)
	case <-time.After(acceptWindow):
		http.Error(w, "no listener accepted in time", http.StatusGatewayTimeout)
	case <-req.Context().Done():
	}
}

// claim takes the sender that waits under id, nil when there is none.
func (r *Relay) claim(id string) chan leg {
	r.mu.Lock()
	defer r.mu.Unlock()
	accepted := r.waiting[id]
	delete(r.waiting, id)
	return accepted
}

func (r *Relay) accept(w http.ResponseWriter, req *http.Request, id string) {
	accepted := r.claim(id)
	if accepted == nil {
		http.Error(w, "unknown rendezvous", http.StatusForbidden)
		return
	}
	if c, err := r.upgrade(w, req); err == nil {
		accepted <- c
	}
}

// scheme begins the rendezvous address for a sender's request.
func (r *Relay) scheme(req *http.Request) string {
	switch {
	case r.Scheme != "":
		return r.Scheme + "://"
	case req.TLS != nil:
		return "wss://"
	}
	return "ws://"
}

// acceptMessage is the accept message for a sender's request.
func (r *Relay) acceptMessage(req *http.Request, id string) []byte {
	type accept struct {
		Address        string            `json:"address"`
		ID             string            `json:"id"`
		ConnectHeaders map[string]string `json:"connectHeaders"`
		RemoteEndpoint remote            `json:"remoteEndpoint"`
	}
	query := ""
	if kept := keepQuery(req.URL.RawQuery); kept != "" {
		query = kept + "&"
	}
	m := accept{
		Address: r.scheme(req) + req.Host + req.URL.EscapedPath() + "?" + query + "sb-hc-rendezvous=" +
			id + "&sb-hc-action=accept&sb-hc-id=" + id,
		ID:             id,
		ConnectHeaders: map[string]string{"Host": req.Host},
	}
	for name, values := range req.Header {
		if name != "Servicebusauthorization" {
			m.ConnectHeaders[name] = strings.Join(values, ", ")
		}
	}
	if at, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
		m.RemoteEndpoint = remote{at.Addr().String(), at.Port()}
	}
	body, _ := json.Marshal(map[string]accept{"accept": m})
	return body
}

// keepQuery drops the protocol's own parameters (docs/protocol.md, section 1.4).
func keepQuery(raw string) string {
	var kept []string
	for piece := range strings.SplitSeq(raw, "&") {
		name, _, found := strings.Cut(piece, "=")
		decoded, err := url.QueryUnescape(name)
		if err == nil && found && strings.HasPrefix(strings.ToLower(decoded), "sb-hc-") {
			continue
		}
		kept = append(kept, piece)
	}
	return strings.Join(kept, "&")
}

func newID() string {
	var b [idLength / 2]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// join copies in both directions until both have ended.
func join(a, b leg) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		relay(b, a)
	}()
	relay(a, b)
	<-done
	_ = a.CloseNow()
	_ = b.CloseNow()
}

// relay copies messages from one connection to the other. A Close is forwarded
// with its code; any other end cuts the other connection.
func relay(from, to leg) {
	buf := make([]byte, copyBuffer)
	err := copyMessages(from, to, buf)
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		code := closed.Code
		if code == websocket.StatusNoStatusRcvd {
			code = websocket.StatusNormalClosure
		}
		_ = to.Close(code, closed.Reason)
		return
	}
	_ = to.CloseNow()
	_ = from.CloseNow()
}

func copyMessages(from, to leg, buf []byte) error {
	ctx := context.Background()
	for {
		kind, r, err := from.Reader(ctx)
		if err != nil {
			return err
		}
		w, err := to.Writer(ctx, kind)
		if err != nil {
			return err
		}
		if _, err := io.CopyBuffer(onlyWriter{w}, r, buf); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}

// onlyWriter hides other methods, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }
