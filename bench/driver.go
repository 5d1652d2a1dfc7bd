package bench

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	// stallMax is how long a group of set-ups may make no progress at all
	// before the rest of them count as failed. It is above the 30 s that a
	// gateway gives a listener to accept (docs/protocol.md, section 9), so that
	// the gateway's own answer is seen.
	stallMax = 35 * time.Second
	// pairParameter carries the number of a pair in the sender's query, from
	// where it reaches the accept address (docs/protocol.md, section 1.4).
	pairParameter = "pair="
)

// A site says where and as whom the driver connects.
type site struct {
	addr   netip.AddrPort
	entity string
	// listenToken and sendToken go into ServiceBusAuthorization; empty sends
	// no such header.
	listenToken, sendToken string
	// tls are the settings of the connections; nil for plain ones.
	tls *tls.Config
	// forwardedTo, when not 0, is the listening socket to which a target hands
	// on what it takes at addr: there is no control channel then.
	forwardedTo int
}

// scheme is that of rendezvous addresses.
func (s *site) scheme() string {
	if s.tls != nil {
		return "wss"
	}
	return "ws"
}

// handshake builds the request of one leg. query begins after the '?'.
func (s *site) handshake(query, token string) []byte {
	return upgradeRequest(s.addr.String(), "/$hc/"+s.entity+"?"+query, token)
}

func upgradeRequest(host, target, token string) []byte {
	var b strings.Builder
	b.WriteString("GET " + target + " HTTP/1.1\r\nHost: " + host +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13" +
		"\r\nSec-WebSocket-Key: " + handshakeKey + "\r\n")
	if token != "" {
		b.WriteString("ServiceBusAuthorization: " + token + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}

// A load is what pairs do once they are open. All methods run on the loop.
type load interface {
	// ready: both legs of p are open.
	ready(p *pair)
	// received: as in owner, for one leg of p.
	received(p *pair, from *conn, messages int)
	// drained: as in owner, for one leg of p.
	drained(p *pair, c *conn)
	// lost: a leg of an open pair is gone; the load decides whether that is
	// a failure.
	lost(p *pair, c *conn, err error)
}

// A pair is one relayed connection seen from outside: the sender's connection
// and the listener's rendezvous connection.
type pair struct {
	d     *driver
	id    uint64
	begun time.Time
	load  load

	sender, listener *conn // listener is nil until it was asked to accept
	open             bool
	failed           bool

	due      []time.Time // echo: when the messages under way were due
	streamed streamState // stream: how far this pair is
}

// A driver is a loop with one control channel and the pairs made through it.
type driver struct {
	*loop
	site
	control  *conn
	waiting  map[uint64]*pair // dialed, not yet accepted
	http     *httpListener    // takes the request messages, when there is one
	nextPair uint64
	opening  int // pairs begun that are neither open nor failed
	failed   int // pairs given up
	failures *failures
	// controlLost is set when the control channel has ended; leaving says
	// that it was meant to.
	controlLost error
	leaving     bool
}

// newDriver opens a control channel at s and waits until it is registered.
func newDriver(ctx context.Context, s site, f *failures) (*driver, error) {
	l, err := newLoop(ctx, s.tls)
	if err != nil {
		return nil, err
	}
	d := &driver{loop: l, site: s, waiting: map[uint64]*pair{}, failures: f}
	if s.forwardedTo != 0 {
		err = d.openDoor()
	} else {
		err = d.listen()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return d, nil
}

func (d *driver) listen() (err error) {
	o := &control{d: d}
	d.control, err = d.dial(d.addr, d.handshake("sb-hc-action=listen", d.listenToken), o)
	if err != nil {
		return fmt.Errorf("open control channel: %w", err)
	}
	d.control.rx.onMessage = o.message
	ok, err := d.runUntil(time.Now().Add(stallMax), func() bool {
		return d.control.upgraded || d.controlLost != nil
	})
	switch {
	case err != nil:
		return err
	case d.controlLost != nil:
		return fmt.Errorf("open control channel: %w", d.controlLost)
	case !ok:
		return fmt.Errorf("open control channel: no answer within %v", stallMax)
	}
	return nil
}

// unlisten gives up the control channel in order, so that the gateway chooses
// it for no sender any more. Pairs stay.
func (d *driver) unlisten() error {
	d.leaving = true
	d.control.send(appendClose(nil, closeNormal))
	ok, err := d.runUntil(time.Now().Add(stallMax), func() bool { return d.controlLost != nil })
	if err == nil && !ok {
		err = fmt.Errorf("close control channel: no answer within %v", stallMax)
	}
	return err
}

// control hears the control channel.
type control struct{ d *driver }

func (o *control) opened(*conn)  {}
func (o *control) drained(*conn) {}

func (o *control) received(*conn, int) {
	if o.d.http != nil {
		o.d.http.flush()
	}
}

func (o *control) lost(_ *conn, err error) {
	o.d.controlLost = err
	if o.d.control.upgraded && !o.d.leaving {
		o.d.failures.add(fmt.Errorf("control channel lost: %w", err))
	}
}

// message dials the rendezvous address of an accept message.
func (o *control) message(body []byte) {
	id, target, request, err := parseAccept(body, o.d.scheme())
	if err != nil {
		o.d.failures.add(err)
		return
	}
	p := o.d.waiting[id]
	if p == nil {
		o.d.failures.add(fmt.Errorf("accept message for pair %d, which does not wait", id))
		return
	}
	delete(o.d.waiting, id)
	if p.listener, err = o.d.dial(target, request, p); err != nil {
		p.fail(fmt.Errorf("open rendezvous connection: %w", err))
	}
}

// parseAccept takes from an accept message which pair it is for, and how to
// dial its rendezvous address.
func parseAccept(body []byte, scheme string) (
	id uint64, at netip.AddrPort, request []byte, err error,
) {
	var m struct {
		Accept *struct{ Address string }
	}
	if err = json.Unmarshal(body, &m); err != nil {
		return 0, at, nil, fmt.Errorf("control message: %w", err)
	}
	if m.Accept == nil {
		return 0, at, nil, fmt.Errorf("control message is not accept: %.60q", body)
	}
	if at, request, err = parseAddress(m.Accept.Address, scheme); err != nil {
		return 0, at, nil, err
	}
	_, number, _ := strings.Cut(m.Accept.Address, pairParameter)
	number, _, _ = strings.Cut(number, "&")
	if id, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, at, nil, fmt.Errorf("rendezvous address lost the sender's query: %w", err)
	}
	return id, at, request, nil
}

// parseAddress says how to dial a rendezvous address: used as it is
// (docs/protocol.md, section 3.2). It has to have the scheme, ws or wss, of the
// control channel.
func parseAddress(address, scheme string) (at netip.AddrPort, request []byte, err error) {
	rest, ok := strings.CutPrefix(address, scheme+"://")
	host, path, found := strings.Cut(rest, "/")
	if !ok || !found {
		return at, nil, fmt.Errorf("rendezvous address %.60q: want %s://host/path", address,
			scheme)
	}
	if at, err = netip.ParseAddrPort(host); err != nil {
		return at, nil, fmt.Errorf("rendezvous address: want an IP address and port: %w", err)
	}
	return at, upgradeRequest(host, "/"+path, ""), nil
}

// connect begins one pair that will carry ld.
func (d *driver) connect(ld load) *pair {
	p := &pair{d: d, id: d.nextPair, begun: time.Now(), load: ld}
	d.nextPair++
	d.opening++
	d.waiting[p.id] = p
	query := pairParameter + strconv.FormatUint(p.id, 10) + "&sb-hc-action=connect"
	c, err := d.dial(d.addr, d.handshake(query, d.sendToken), p)
	if err != nil {
		p.fail(err)
		return p
	}
	p.sender = c
	c.rx.masked = d.forwardedTo != 0
	return p
}

// openPairs sets up n pairs, so many at once, and returns those that stand.
func (d *driver) openPairs(n, atOnce int, ld load) ([]*pair, error) {
	pairs := make([]*pair, 0, n)
	d.now = time.Now()
	progress, last := d.now, -1
	for done := false; !done; {
		for d.opening < atOnce && len(pairs) < n && d.controlLost == nil {
			pairs = append(pairs, d.connect(ld))
		}
		if left := d.opening + n - len(pairs); left != last {
			progress, last = d.now, left
		}
		if d.now.Sub(progress) > stallMax || d.controlLost != nil {
			d.giveUp(pairs)
			break
		}
		done = d.opening == 0 && len(pairs) == n
		if !done {
			if err := d.step(d.now.Add(pollInterval)); err != nil {
				return nil, err
			}
		}
	}
	open := pairs[:0]
	for _, p := range pairs {
		if p.open {
			open = append(open, p)
		}
	}
	if len(open) == 0 && n > 0 {
		return nil, fmt.Errorf("no pair could be opened: %s", d.failures.first())
	}
	return open, nil
}

// giveUp fails every pair that is still on its way.
func (d *driver) giveUp(pairs []*pair) {
	for _, p := range pairs {
		if !p.open && !p.failed {
			p.fail(fmt.Errorf("set-up made no progress for %v", stallMax))
		}
	}
}

func (p *pair) opened(*conn) {
	if p.open || p.failed || p.sender == nil || p.listener == nil ||
		!p.sender.upgraded || !p.listener.upgraded {
		return
	}
	p.open = true
	p.d.opening--
	p.load.ready(p)
}

func (p *pair) received(c *conn, messages int) {
	if !p.failed {
		p.load.received(p, c, messages)
	}
}

func (p *pair) drained(c *conn) {
	if p.open && !p.failed {
		p.load.drained(p, c)
	}
}

func (p *pair) lost(c *conn, err error) {
	switch {
	case p.failed:
	case p.open:
		p.load.lost(p, c, err)
	default:
		p.fail(fmt.Errorf("set up: %s leg: %w", p.name(c), describe(err)))
	}
}

// fail counts err against the run and gives the pair up.
func (p *pair) fail(err error) {
	if p.failed {
		return
	}
	p.failed = true
	p.d.failed++
	if !p.open {
		p.d.opening--
		delete(p.d.waiting, p.id)
	}
	p.d.failures.add(err)
	p.abort()
}

func (p *pair) abort() {
	for _, c := range []*conn{p.sender, p.listener} {
		if c != nil {
			c.abort()
		}
	}
}

// name says which leg c is; other is the leg at the far end.
func (p *pair) name(c *conn) string {
	if c == p.listener {
		return "listener"
	}
	return "sender"
}

func (p *pair) other(c *conn) *conn {
	if c == p.listener {
		return p.sender
	}
	return p.listener
}

// describe gives the end of a connection a name that says who did it.
func describe(err error) error {
	if err == io.EOF {
		return fmt.Errorf("ended by the gateway")
	}
	return err
}
