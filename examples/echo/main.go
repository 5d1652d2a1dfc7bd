// Echo is a Hybrid Connections listener in one page: it registers on an
// entity, accepts every sender and sends each message back as it came, and
// answers every HTTP request with its own body.
//
//	relayhouse dev &
//	go run ./examples/echo --entity unauthenticated
//	npx wscat -c 'ws://127.0.0.1:8080/$hc/unauthenticated?sb-hc-action=connect'
//	curl -d hello http://127.0.0.1:8080/unauthenticated/
//
// It needs no open port. Everything happens over connections that it dials:
// one control channel, on which the gateway announces senders and requests, and
// one rendezvous connection for each, to the address in the announcement.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/relayhouse/relayhouse/sas"
)

const (
	// acceptMessageMax is the size of the largest message on a control
	// channel, in bytes: 64 KiB, what official clients can take.
	acceptMessageMax = 65536

	// tokenLife and tokenRenewal: a token is replaced well before it expires.
	tokenLife    = time.Hour
	tokenRenewal = 45 * time.Minute

	// handshakeTimeout bounds each dial. The gateway holds a sender for 30 s.
	handshakeTimeout = 20 * time.Second

	// backoffMin and backoffMax bound the wait between two attempts to
	// register; it doubles in between.
	backoffMin = time.Second
	backoffMax = 30 * time.Second
)

// listener is what the flags say.
type listener struct {
	url     string // of the gateway: ws://host:port or wss://host:port
	entity  string
	keyName string
	key     string
}

func main() {
	var l listener
	flag.StringVar(&l.url, "url", "ws://127.0.0.1:8080", "address of the gateway")
	flag.StringVar(&l.entity, "entity", "unauthenticated", "hybrid connection to listen on")
	flag.StringVar(&l.keyName, "key-name", "RootManageSharedAccessKey", "authorization rule")
	flag.StringVar(&l.key, "key", "SAS_KEY_VALUE", "key of the authorization rule")
	flag.Parse()

	log.SetFlags(0)
	log.SetPrefix("echo: ")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l.run(ctx)
}

// run keeps the listener registered until ctx ends.
func (l *listener) run(ctx context.Context) {
	backoff := backoffMin
	for {
		registered, err := l.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if registered {
			backoff = backoffMin
		}
		log.Printf("%v; next attempt in %v", err, backoff)
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff):
		}
		backoff = min(2*backoff, backoffMax)
	}
}

// listen opens the control channel and serves it until it ends. It says
// whether the gateway had accepted the registration.
func (l *listener) listen(ctx context.Context) (registered bool, err error) {
	header := http.Header{"ServiceBusAuthorization": {l.token()}}
	control, err := dial(ctx, l.url+"/$hc/"+l.entity+"?sb-hc-action=listen",
		&websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return false, fmt.Errorf("register on %q: %w", l.entity, err)
	}
	defer func() { _ = control.Close(websocket.StatusNormalClosure, "") }()
	control.SetReadLimit(acceptMessageMax)
	log.Printf("listening on %q at %s", l.entity, l.url)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go l.renew(ctx, control)
	for {
		// The gateway sends one message per sender or request, in this form.
		// Members that an echo has no use for are left out.
		var message struct {
			Accept struct {
				Address        string
				ConnectHeaders map[string]string
			}
			Request request
		}
		if err := wsjson.Read(ctx, control, &message); err != nil {
			return true, fmt.Errorf("control channel: %w", err)
		}
		if message.Accept.Address != "" {
			go accept(ctx, message.Accept.Address, message.Accept.ConnectHeaders)
		}
		if r := message.Request; r.Address != "" {
			var body []byte
			if r.Body && r.Method != "" { // the next message, at most 64 KiB
				if _, body, err = control.Read(ctx); err != nil {
					return true, fmt.Errorf("control channel: %w", err)
				}
			}
			go answer(ctx, r, body)
		}
	}
}

// request is the message that announces an HTTP request. A large one, or one
// that is a stream, has an address only: the rest comes where that leads.
type request struct {
	Address       string
	ID            string
	Method        string
	RequestTarget string
	Body          bool
}

// answer dials the address of a request and sends its body back as that of the
// response. It could answer on the control channel as long as all is small; this
// way there is one way, and any size streams.
func answer(ctx context.Context, r request, body []byte) {
	conn, err := dial(ctx, r.Address, &websocket.DialOptions{})
	if err != nil {
		log.Printf("answer: %v", err)
		return
	}
	defer func() { _ = conn.Close(websocket.StatusNormalClosure, "") }()
	conn.SetReadLimit(-1)
	if err := respond(ctx, conn, r, bytes.NewReader(body)); err != nil && ctx.Err() == nil {
		log.Printf("request: %v", err)
	}
}

func respond(ctx context.Context, conn *websocket.Conn, r request, body io.Reader) error {
	if r.Method == "" { // not on the control channel, hence here
		var message struct{ Request request }
		if err := wsjson.Read(ctx, conn, &message); err != nil {
			return err
		}
		r = message.Request
		var err error
		if _, body, err = conn.Reader(ctx); err != nil {
			return err
		}
	}
	head := map[string]any{"response": map[string]any{
		"requestId": r.ID, "statusCode": http.StatusOK, "body": true,
		"responseHeaders": map[string]string{"Content-Type": "application/octet-stream",
			"X-Echo": r.Method + " " + r.RequestTarget},
	}}
	if err := wsjson.Write(ctx, conn, head); err != nil {
		return err
	}
	reply, err := conn.Writer(ctx, websocket.MessageBinary)
	if err != nil {
		return err
	}
	if _, err := io.Copy(reply, body); err != nil {
		return err
	}
	return reply.Close()
}

// accept dials the rendezvous address, which joins us with the sender, and
// echoes until either side ends.
func accept(ctx context.Context, address string, connectHeaders map[string]string) {
	options := &websocket.DialOptions{}
	for name, value := range connectHeaders {
		// Take the first subprotocol that the sender offers, if it offers one.
		if strings.EqualFold(name, "Sec-WebSocket-Protocol") {
			first, _, _ := strings.Cut(value, ",")
			options.Subprotocols = []string{strings.TrimSpace(first)}
		}
	}
	conn, err := dial(ctx, address, options)
	if err != nil {
		log.Printf("accept: %v", err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1) // messages stream through; none is held in memory

	err = echo(ctx, conn)
	var closed websocket.CloseError
	if !errors.As(err, &closed) && ctx.Err() == nil {
		log.Printf("relay: %v", err)
	}
}

// echo sends every message back, text as text and binary as binary. It returns
// when the connection ends: a CloseError when the sender said goodbye.
func echo(ctx context.Context, conn *websocket.Conn) error {
	for {
		kind, message, err := conn.Reader(ctx)
		if err != nil {
			return err
		}
		reply, err := conn.Writer(ctx, kind)
		if err != nil {
			return err
		}
		if _, err := io.Copy(reply, message); err != nil {
			return err
		}
		if err := reply.Close(); err != nil {
			return err
		}
	}
}

// renew sends a fresh token from time to time, so that the control channel
// outlives the token that opened it. There is no answer on success.
func (l *listener) renew(ctx context.Context, control *websocket.Conn) {
	ticker := time.NewTicker(tokenRenewal)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			message := map[string]any{"renewToken": map[string]string{"token": l.token()}}
			body, err := json.Marshal(message)
			if err == nil {
				err = control.Write(ctx, websocket.MessageText, body)
			}
			if err != nil {
				return // the reader of the control channel reports it
			}
		}
	}
}

// token signs a token for the entity. The scheme of the resource is http
// whatever the gateway speaks; that is the habit of all clients.
func (l *listener) token() string {
	_, host, _ := strings.Cut(l.url, "://")
	resource := "http://" + host + "/" + l.entity
	return sas.Sign(resource, l.keyName, l.key, time.Now().Add(tokenLife))
}

// dial opens a WebSocket. A refusal comes back with the gateway's own words,
// which it writes into the status line.
func dial(ctx context.Context, url string, options *websocket.DialOptions) (
	*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, url, options)
	if err != nil && response != nil {
		return nil, errors.New(response.Status)
	}
	return conn, err
}
