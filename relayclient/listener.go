package relayclient

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/wsframe"
)

// Defaults and bounds of Options.
const (
	BacklogDefault     = 128
	RequestsMaxDefault = 512

	// PingIntervalDefault keeps the channel known to what is on its way, and
	// is what other Go clients do (docs/protocol.md, section 2.7).
	PingIntervalDefault = 30 * time.Second
	PingTimeoutDefault  = 15 * time.Second

	BackoffMinDefault = time.Second
	BackoffMaxDefault = 30 * time.Second

	// refusalsMax is how many senders and requests a listener refuses at once.
	refusalsMax = 32

	// writeTimeout bounds a message to the gateway on a control channel.
	writeTimeout = 30 * time.Second
)

// Options say how to listen. The zero value of a member, but for Entity, is its
// default.
type Options struct {
	Entity Entity
	// ID names this listener: senders may ask for it, and a listener of the
	// same name replaces it (docs/protocol.md, section 2.6). Default: random.
	ID string

	// Backlog bounds the connections that wait for Accept, those being opened
	// included. Default 128; below 0 every sender is rejected with 501.
	Backlog int
	// Reject is asked before a sender is accepted: 0 accepts, a status of 200
	// to 999 rejects, with the text as reason phrase, or the standard one; any
	// other is 502. It is called from up to Backlog goroutines at a time.
	Reject func(r *Request) (status int, text string)
	// Subprotocol chooses one of those that a sender offers, which is never
	// empty; "" is none. Default: the first one, as in .NET.
	Subprotocol func(offered []string) string

	// Handler answers HTTP requests, from the first one on; see Serve.
	Handler http.Handler
	// RequestsMax bounds the requests being served. Default 512.
	RequestsMax int

	// PingInterval and PingTimeout: see the package's text. Default 30 s, 15 s.
	PingInterval, PingTimeout time.Duration
	// BackoffMin and BackoffMax bound the wait between two attempts to
	// register, before up to a half of it is taken off. Default 1 s, 30 s.
	BackoffMin, BackoffMax time.Duration

	// Online is called when the listener is registered, again too;
	// Reconnecting when that is lost or has failed, with the reason and the
	// wait until the next attempt; Offline at the end, once. One goroutine
	// calls them, which listens to nothing else meanwhile.
	Online       func()
	Reconnecting func(err error, wait time.Duration)
	Offline      func()
	// Logger gets what concerns a single sender or request, at level debug,
	// and panics of handlers, at level error. Default: slog.Default.
	Logger *slog.Logger
}

func (o *Options) setDefaults() {
	if o.ID == "" {
		o.ID = hyco.NewTrackingID()
	}
	if o.Backlog == 0 {
		o.Backlog = BacklogDefault
	}
	o.Backlog = max(o.Backlog, 0)
	if o.RequestsMax <= 0 {
		o.RequestsMax = RequestsMaxDefault
	}
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&o.PingInterval, PingIntervalDefault}, {&o.PingTimeout, PingTimeoutDefault},
		{&o.BackoffMin, BackoffMinDefault}, {&o.BackoffMax, BackoffMaxDefault},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
	if o.Subprotocol == nil {
		o.Subprotocol = func(offered []string) string { return offered[0] }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Listener is registered on an entity until it is closed. All methods may be
// called from any goroutine.
type Listener struct {
	// Fixed after Listen.
	o         Options
	base      *url.URL
	transport *http.Transport
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	done      chan struct{} // closed when run has returned

	// Bounded. A slot is a token that is put in and taken out again.
	slots    chan struct{} // of the backlog
	conns    chan *Conn    // as large as slots
	refusals chan struct{}
	requests chan struct{}

	senders sync.WaitGroup // goroutines that accept or refuse
	serving sync.WaitGroup // goroutines that serve requests

	handler atomic.Pointer[http.Handler]
	channel atomic.Pointer[channel] // the control channel; nil while there is none
	lastErr atomic.Pointer[error]
}

var _ net.Listener = (*Listener)(nil)

// Listen registers a listener. The context is for the first handshake only;
// 20 s bound it in any case.
//
//	Errors: as of Dialer.Dial. Nothing is left behind by a failure, which is
//	        not tried again: a wrong key or name shows at once.
func Listen(ctx context.Context, options Options) (*Listener, error) {
	base, err := options.Entity.base()
	if err != nil {
		return nil, err
	}
	l := &Listener{o: options, base: base, done: make(chan struct{})}
	l.o.setDefaults()
	l.transport = l.o.Entity.transport()
	l.slots = make(chan struct{}, l.o.Backlog)
	l.conns = make(chan *Conn, l.o.Backlog)
	l.refusals = make(chan struct{}, refusalsMax)
	l.requests = make(chan struct{}, l.o.RequestsMax)
	if options.Handler != nil {
		l.handler.Store(&l.o.Handler)
	}
	ch, err := l.register(ctx)
	if err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.run(ch)
	return l, nil
}

// register opens a control channel, which does nothing yet.
func (l *Listener) register(ctx context.Context) (*channel, error) {
	address, err := leg(l.base, "", "listen", l.o.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	w, expiry, err := l.o.Entity.openWith(ctx, l.transport, l.base, address, nil)
	if err != nil {
		return nil, err
	}
	w.idle = l.o.PingInterval + l.o.PingTimeout
	return &channel{l: l, w: w, expiry: expiry}, nil
}

// run serves control channels, one after another, until Close.
func (l *Listener) run(ch *channel) {
	defer close(l.done)
	wait := backoff{least: l.o.BackoffMin, most: l.o.BackoffMax}
	for {
		begun := time.Now()
		l.channel.Store(ch)
		if l.o.Online != nil {
			l.o.Online()
		}
		err := ch.serve()
		l.channel.Store(nil)
		if time.Since(begun) >= l.o.BackoffMax {
			wait.reset()
		}
		for ch = nil; ch == nil && l.ctx.Err() == nil; {
			ch, err = l.again(err, wait.next())
		}
		if ch == nil {
			break
		}
	}
	l.senders.Wait()
	for len(l.conns) > 0 {
		_ = (<-l.conns).CloseWith(int(wsframe.CodeGoingAway), "")
	}
	if l.o.Offline != nil {
		l.o.Offline()
	}
}

// again waits and registers, if the listener has not been closed meanwhile.
func (l *Listener) again(cause error, wait time.Duration) (*channel, error) {
	l.note(cause)
	if l.o.Reconnecting != nil {
		l.o.Reconnecting(cause, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	case <-timer.C:
	}
	return l.register(l.ctx)
}

func (l *Listener) note(err error) { l.lastErr.Store(&err) }

// LastError is what the last loss of the control channel, failed attempt to
// register or failed renewal was caused by; nil if there was none.
func (l *Listener) LastError() error {
	if err := l.lastErr.Load(); err != nil {
		return *err
	}
	return nil
}

// ID is the name of the listener.
func (l *Listener) ID() string { return l.o.ID }

// Addr is the entity's Addr.
func (l *Listener) Addr() net.Addr { return Addr{l.base.String()} }

// Accept waits for the next sender, or for Close.
//
//	Shape:  the net.Conn is a *Conn. It outlives the listener.
//	Errors: net.ErrClosed. A lost control channel is none.
func (l *Listener) Accept() (net.Conn, error) {
	if l.ctx.Err() == nil {
		select {
		case c := <-l.conns:
			<-l.slots
			return c, nil
		case <-l.ctx.Done():
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "relay", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close ends the registration: when it returns the gateway sends nobody here
// any more. It closes connections that wait for Accept, cancels the contexts of
// HTTP requests, waits for the gateway's answer for up to 3 s and, called from
// one of the functions in Options, longer. Connections that Accept has given
// out live on.
func (l *Listener) Close() error {
	if l.ctx.Err() != nil {
		return net.ErrClosed
	}
	l.cancel()
	if ch := l.channel.Load(); ch != nil {
		ch.close()
	}
	timer := time.NewTimer(2 * closeTimeout)
	defer timer.Stop()
	select {
	case <-l.done:
	case <-timer.C:
	}
	return nil
}

// Serve answers HTTP requests with a handler, in place of the one before, until
// Close, and waits for the requests being served then. Requests that come
// before there is a handler get 501; Options.Handler is there from the first
// one on.
//
//	Errors: always one, http.ErrServerClosed.
func (l *Listener) Serve(h http.Handler) error {
	if h == nil {
		h = http.DefaultServeMux // as in net/http
	}
	l.handler.Store(&h)
	<-l.done
	l.serving.Wait()
	return http.ErrServerClosed
}

// closed says whether an error is of Close.
func (l *Listener) closed(err error) bool {
	return l.ctx.Err() != nil || errors.Is(err, net.ErrClosed)
}
