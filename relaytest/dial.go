package relaytest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Client is how to reach a node, in this process or in another one.
type Client struct {
	// HTTP and Admin are the addresses, host:port.
	HTTP, Admin string
	// First is what every connection to HTTP sends before all else, such as a
	// header of the PROXY protocol. It is set before the first connection.
	First string

	admin  *http.Client
	client *http.Client // of WebSockets; it dials HTTP whatever the URL says
}

// NewClient is a client of the node at the addresses.
func NewClient(address, admin string) *Client {
	n := &Client{HTTP: address, Admin: admin}
	n.admin = &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		Timeout:   Patience,
	}
	n.client = &http.Client{Transport: n.transport()}
	return n
}

// Dial says how a client connects. The zero value of a member leaves it out.
type Dial struct {
	Path      string // below /$hc/, escaped
	Query     string // raw, without "?"
	Token     string // for the header ServiceBusAuthorization
	Header    http.Header
	Host      string // Host header in place of the node's address
	Protocols []string
	OnPing    func() // called for each Ping from the gateway
}

// and returns d with a parameter added to its query.
func (d Dial) and(parameter string) Dial {
	if d.Query != "" {
		parameter = d.Query + "&" + parameter
	}
	d.Query = parameter
	return d
}

// Answer is the head of a response and what came of its body.
type Answer struct {
	Status int
	Phrase string // of the status line
	Header http.Header
	Body   string
}

func answerOf(res *http.Response) Answer {
	a := Answer{Status: res.StatusCode, Header: res.Header}
	_, a.Phrase, _ = strings.Cut(res.Status, " ")
	if res.Body != nil && res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body)
		a.Body = string(body)
	}
	return a
}

// outcome is how a handshake ended.
type outcome struct {
	ws     *websocket.Conn // nil if it was refused
	answer Answer
	err    error
}

// URL is the address of a path on the node.
func (n *Client) URL(path, query string) string {
	address := "ws://" + n.HTTP + "/$hc/" + path
	if query != "" {
		address += "?" + query
	}
	return address
}

// transport dials the node whatever the URL says, so that addresses with other
// names work.
func (n *Client) transport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return n.open(ctx)
		},
	}
}

// open connects to HTTP and sends First.
func (n *Client) open(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", n.HTTP)
	if err != nil || n.First == "" {
		return c, err
	}
	if _, err := io.WriteString(c, n.First); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Behind is n as a client whose connections send first before all else.
func (n *Client) Behind(first string) *Client {
	b := NewClient(n.HTTP, n.Admin)
	b.First = first
	return b
}

// dial opens a WebSocket to an address of the node.
func (n *Client) dial(ctx context.Context, address string, d Dial) outcome {
	header := d.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if d.Token != "" {
		header.Set("ServiceBusAuthorization", d.Token)
	}
	o := &websocket.DialOptions{
		HTTPClient: n.client, HTTPHeader: header, Host: d.Host, Subprotocols: d.Protocols,
	}
	if d.OnPing != nil {
		o.OnPingReceived = func(context.Context, []byte) bool {
			d.OnPing()
			return true
		}
	}
	ws, res, err := websocket.Dial(ctx, address, o)
	out := outcome{ws: ws, err: err}
	if res != nil {
		out.answer = answerOf(res)
	}
	if ws != nil {
		ws.SetReadLimit(-1)
	}
	return out
}

// Pending is a handshake that has begun.
type Pending struct {
	client *Client
	done   chan struct{} // closed when out is there
	out    outcome
	cancel context.CancelFunc
}

func (n *Client) begin(t testing.TB, address string, d Dial) *Pending {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	p := &Pending{client: n, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(p.done)
		p.out = n.dial(ctx, address, d)
	}()
	t.Cleanup(func() {
		cancel()
		<-p.done
		if p.out.ws != nil {
			_ = p.out.ws.CloseNow()
		}
	})
	return p
}

// Connect starts a sender.
func (n *Client) Connect(t testing.TB, d Dial) *Pending {
	t.Helper()
	return n.begin(t, n.URL(d.Path, d.Query), d)
}

// Open opens a WebSocket at any address, such as one from an accept message.
func (n *Client) Open(t testing.TB, address string, d Dial) *Pending {
	t.Helper()
	return n.begin(t, address, d)
}

// Waiting starts a sender and waits until it is a pending rendezvous.
func (n *Node) Waiting(t testing.TB, d Dial) *Pending {
	t.Helper()
	before := n.Pending(1).Total
	p := n.Connect(t, d)
	Eventually(t, "the sender waits", func() bool { return n.Pending(1).Total > before })
	return p
}

// Conn waits for the handshake, which must succeed.
func (p *Pending) Conn(t testing.TB) *Conn {
	t.Helper()
	out := p.outcome(t)
	if out.ws == nil {
		t.Fatalf("handshake: %v, answer %+v", out.err, out.answer)
	}
	return &Conn{ws: out.ws, Answer: out.answer}
}

// Refused waits for the handshake, which must be answered with an error.
func (p *Pending) Refused(t testing.TB) Answer {
	t.Helper()
	out := p.outcome(t)
	if out.ws != nil {
		t.Fatalf("handshake succeeded: %+v", out.answer)
	}
	if out.answer.Status == 0 {
		t.Fatalf("handshake without answer: %v", out.err)
	}
	return out.answer
}

// Want waits for the handshake, which must be answered with a status.
func (p *Pending) Want(t testing.TB, status int) Answer {
	t.Helper()
	a := p.Refused(t)
	if a.Status != status {
		t.Fatalf("answer %d %q, want %d", a.Status, a.Phrase, status)
	}
	return a
}

// Cancel makes the client go away in the middle of the handshake.
func (p *Pending) Cancel() {
	p.cancel()
	<-p.done
}

// Answered says whether the handshake has been answered.
func (p *Pending) Answered() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *Pending) outcome(t testing.TB) outcome {
	t.Helper()
	Receive(t, p.done, "an answer to the handshake")
	return p.out
}

// Escape encodes a value for a query, blanks as "+".
func Escape(value string) string { return url.QueryEscape(value) }

// Outcome waits for the handshake. The Conn is nil if it was refused.
func (p *Pending) Outcome(t testing.TB) (*Conn, Answer) {
	t.Helper()
	out := p.outcome(t)
	if out.ws == nil {
		return nil, out.answer
	}
	return &Conn{ws: out.ws, Answer: out.answer}, out.answer
}

// Taken is the sender's end if the handshake has succeeded already, else nil.
func (p *Pending) Taken() *Conn {
	if !p.Answered() || p.out.ws == nil {
		return nil
	}
	return &Conn{ws: p.out.ws, Answer: p.out.answer}
}
