package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// sourceNets is how many driver processes there may be: each leaves from
	// addresses of 127.0.N.0/24 that are its own, so that ports do not run out.
	sourceNets = 200
	// driverEnd is how long a driver process may take to end after its last
	// order.
	driverEnd = 30 * time.Second
)

// An order is one line to a driver process. Each is answered with a report.
type order struct {
	// Site comes once, in the first order.
	Site *driverSite `json:",omitempty"`
	// Open is how many relays to add.
	Open int `json:",omitempty"`
	// Sweep asks for one round trip over every relay.
	Sweep bool `json:",omitempty"`
}

// A driverSite says where and as whom a driver process connects. It is sent, not
// given as arguments: others can read those.
type driverSite struct {
	Addr                   netip.AddrPort
	Entity                 string
	ListenToken, SendToken string
	SourceNet              byte
}

// A report is the answer to an order.
type report struct {
	Held   int // relays that stand
	Echoed int // of the sweep, if it was one
	// Failures are those since the last report, by text.
	Failures map[string]int `json:",omitempty"`
	// Error is why the process gives up.
	Error string
}

// A remoteDriver is a driver in a process of its own.
type remoteDriver struct {
	child *child
	in    *os.File
	out   *os.File
	lines *bufio.Scanner
}

// startDriver starts command as driver number i against s and waits until its
// listener is registered.
func startDriver(
	ctx context.Context, command []string, s site, i int,
) (*remoteDriver, error) {
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		_, _ = theirIn.Close(), in.Close()
		return nil, err
	}
	d := &remoteDriver{in: in, out: out, lines: bufio.NewScanner(out)}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout = theirIn, theirOut
	d.child, err = startChild(cmd)
	// Only the process may keep its ends: when it ends, reads must end, too.
	_, _ = theirIn.Close(), theirOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return nil, err
	}
	err = d.tell(order{Site: &driverSite{Addr: s.addr, Entity: s.entity,
		ListenToken: s.listenToken, SendToken: s.sendToken, SourceNet: byte(1 + i)}})
	if err == nil {
		_, err = d.hear(ctx, new(failures))
	}
	if err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

// tell gives an order. What a driver that has gone said at last is for hear.
func (d *remoteDriver) tell(o order) error {
	line, err := json.Marshal(o)
	if err == nil {
		_, err = d.in.Write(append(line, '\n'))
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// hear waits for the next report and counts its failures.
func (d *remoteDriver) hear(ctx context.Context, f *failures) (r report, err error) {
	stop := context.AfterFunc(ctx, func() { _ = d.out.SetReadDeadline(time.Now()) })
	defer stop()
	_ = d.out.SetReadDeadline(time.Now().Add(reportMax))
	if !d.lines.Scan() {
		if err = d.lines.Err(); err == nil {
			err = io.EOF
		}
		return r, errors.Join(ctx.Err(), fmt.Errorf("no report: %w%s", err, d.child.output))
	}
	if err = json.Unmarshal(d.lines.Bytes(), &r); err != nil {
		return r, fmt.Errorf("report: %w", err)
	}
	for text, n := range r.Failures {
		f.addText(text, n)
	}
	if r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

// stop ends the process, which resets its relays.
func (d *remoteDriver) stop() error {
	_ = d.in.Close()
	defer func() { _ = d.out.Close() }()
	select {
	case end := <-d.child.exited:
		if end.err != nil {
			return fmt.Errorf("%s%s", end, d.child.output)
		}
		return nil
	case <-time.After(driverEnd):
		d.child.kill()
		return fmt.Errorf("still running %v after its last order, killed", driverEnd)
	}
}

// Drive is the main function of a driver process: it follows the orders on in
// until that ends, and reports on out. Relays that it holds stay alive meanwhile.
func Drive(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	orders := make(chan order)
	go func() {
		defer close(orders)
		for dec := json.NewDecoder(in); ; {
			var o order
			if dec.Decode(&o) != nil {
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	h := &holder{reports: json.NewEncoder(out)}
	defer h.close()
	for {
		o, ok, err := h.await(ctx, orders)
		if err != nil || !ok {
			return err
		}
		if err := h.follow(ctx, o); err != nil {
			return err
		}
	}
}

// A holder is the state of a driver process.
type holder struct {
	d        *driver
	e        *echo
	pairs    []*pair
	failures failures
	reports  *json.Encoder
}

func (h *holder) close() {
	if h.d != nil {
		h.d.close()
	}
}

// await runs the loop until there is an order; false when there will be none.
func (h *holder) await(ctx context.Context, orders <-chan order) (order, bool, error) {
	if h.d == nil {
		select {
		case o, ok := <-orders:
			return o, ok, nil
		case <-ctx.Done():
			return order{}, false, ctx.Err()
		}
	}
	for {
		select {
		case o, ok := <-orders:
			return o, ok, nil
		default:
		}
		if err := h.d.step(time.Now().Add(pollInterval)); err != nil {
			return order{}, false, err
		}
	}
}

// follow does what o says and reports. A relay that fails is in the report; an
// error that ends the process is, too.
func (h *holder) follow(ctx context.Context, o order) error {
	var r report
	err := h.act(ctx, o, &r)
	for _, p := range h.pairs {
		if !p.failed {
			r.Held++
		}
	}
	r.Failures = h.failures.take()
	if err != nil {
		r.Error = err.Error()
	}
	return errors.Join(err, h.reports.Encode(r))
}

func (h *holder) act(ctx context.Context, o order, r *report) (err error) {
	if o.Site != nil && h.d == nil {
		if !o.Site.Addr.IsValid() || !o.Site.Addr.Addr().IsLoopback() {
			return fmt.Errorf("gateway address %v: want a loopback address", o.Site.Addr)
		}
		s := site{addr: o.Site.Addr, entity: o.Site.Entity, listenToken: o.Site.ListenToken,
			sendToken: o.Site.SendToken}
		if h.d, err = newDriver(ctx, s, &h.failures); err != nil {
			return err
		}
		h.d.sourceNet = o.Site.SourceNet
		h.e = newEcho(pingSize)
	}
	if h.d == nil {
		return errors.New("the first order names no site")
	}
	if o.Open > 0 {
		opened, err := h.d.openPairs(o.Open, holdAtOnce, h.e)
		if err != nil {
			return err
		}
		h.pairs = append(h.pairs, opened...)
	}
	if o.Sweep {
		before := h.e.trips
		if err := carry(h.d, h.e, h.pairs); err != nil {
			h.failures.add(err)
		}
		r.Echoed = int(h.e.trips - before)
	}
	return nil
}
