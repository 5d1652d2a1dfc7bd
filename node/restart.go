package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/takeover"
)

// A restart without loss: a new process takes the listening sockets of this one
// (docs/adr/0016). The talk is described in package takeover.

// talksMax bounds the processes that talk to the restart socket at one time;
// further ones are closed at once.
const talksMax = 4

// byeWait bounds the wait for a successor to take the last messages.
const byeWait = time.Second

// Names of the ports, for sockets that come from elsewhere.
const (
	portHTTP       = "http"
	portHTTPS      = "https"
	portAdmin      = "admin"
	portManagement = "management"
)

// restart is what a node knows of the processes before and behind it.
type restart struct {
	inherited inherited
	conn      *takeover.Conn // to the predecessor, until link
	away      []string

	listener *takeover.Listener // nil without restart.socket
	talks    sync.WaitGroup
	talking  atomic.Int32
	taken    atomic.Bool   // a process is taking over, or has done so
	replaced chan struct{} // closed when it has
	settled  chan struct{} // closed when the predecessor has no rendezvous any more

	mu          sync.Mutex
	predecessor *takeover.Link // Guarded by mu.
	successor   *takeover.Link // Guarded by mu.
	pid         int            // of the successor. Guarded by mu.
	stopped     bool           // Guarded by mu.
}

// inherited are listening sockets that are open already, by the name of the
// port. Whoever takes some out owns them.
type inherited map[string]port

type port struct {
	addresses [2]string // as in the settings, and as it is; empty for any
	fds       []int
}

// take returns the sockets of a port for an address. Those of another address
// are closed.
func (in inherited) take(name, address string) []int {
	p, ok := in[name]
	delete(in, name)
	if !ok || p.addresses[0] != "" && address != p.addresses[0] && address != p.addresses[1] {
		closeAll(p.fds)
		return nil
	}
	return p.fds
}

// close closes what nobody wanted, and says which.
func (in inherited) close(log *slog.Logger) {
	for name, p := range in {
		log.Info("a listening socket is not needed", slog.String("name", name))
		closeAll(p.fds)
		delete(in, name)
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// inherit collects the sockets that systemd passed, and then those of a living
// predecessor, which are newer.
func (n *Node) inherit() error {
	r := &n.restart
	r.inherited = inherited{}
	for _, f := range activation.Files(true) {
		fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("take the socket %s: %w", f.Name(), err)
		}
		p := r.inherited[f.Name()]
		p.fds = append(p.fds, fd)
		r.inherited[f.Name()] = p
	}
	if n.cfg.Restart.Socket == "" {
		return nil
	}
	conn, err := takeover.Dial(n.cfg.Restart.Socket)
	if err != nil {
		return restartError(err)
	}
	if conn != nil {
		conn.SetDeadline(time.Now().Add(n.cfg.Restart.ReadyTimeout))
		r.conn = conn
		if err := r.receiveSockets(conn); err != nil {
			return restartError(fmt.Errorf("the process at %s: %w", n.cfg.Restart.Socket, err))
		}
		n.log.Info("taking over", slog.Int("pid", r.pid))
		r.pid = 0
	}
	if r.listener, err = takeover.Listen(n.cfg.Restart.Socket); err != nil {
		return restartError(err)
	}
	return nil
}

func restartError(err error) error {
	return &config.Error{Path: "restart.socket", Text: err.Error()}
}

func (r *restart) receiveSockets(conn *takeover.Conn) error {
	err := conn.Send(takeover.Message{
		Kind: takeover.KindHello, Version: takeover.Version, PID: os.Getpid(),
	})
	if err != nil {
		return err
	}
	fresh := map[string]bool{}
	for {
		m, err := conn.Expect(takeover.KindSockets)
		if err != nil {
			return err
		}
		r.pid = m.PID
		for i, s := range m.Sockets {
			p := r.inherited[s.Name]
			if !fresh[s.Name] {
				closeAll(p.fds)
				p, fresh[s.Name] = port{addresses: [2]string{s.Address, s.Bound}}, true
			}
			p.fds = append(p.fds, m.Descriptors[i])
			r.inherited[s.Name] = p
		}
		if !m.More {
			return nil
		}
	}
}

// open listens on an address, with sockets that are there already if there are
// some of that name.
func (n *Node) open(name, address string, cfg engine.ListenConfig) (net.Addr, error) {
	cfg.Name = name
	if fds := n.restart.inherited.take(name, address); len(fds) > 0 {
		return n.engine.ListenOn(fds, cfg)
	}
	return n.engine.Listen(address, cfg)
}

// listenBeside is open for the ports that the engine does not serve.
func (n *Node) listenBeside(name, address string) (net.Listener, error) {
	fds := n.restart.inherited.take(name, address)
	if len(fds) == 0 {
		return net.Listen("tcp", address)
	}
	closeAll(fds[1:])
	f := os.NewFile(uintptr(fds[0]), name)
	defer f.Close() //nolint:errcheck // the listener has a copy
	return net.FileListener(f)
}

// ready tells the predecessor that this process could serve, and waits until it
// does not accept any more. Before the engine starts.
func (n *Node) ready() error {
	r := &n.restart
	r.inherited.close(n.log)
	if r.conn == nil {
		close(r.settled)
		return nil
	}
	if err := r.conn.Send(takeover.Message{Kind: takeover.KindReady}); err != nil {
		return restartError(err)
	}
	for {
		m, err := r.conn.Expect(takeover.KindAway, takeover.KindGo)
		switch {
		case err != nil:
			return restartError(err)
		case m.Kind == takeover.KindAway:
			r.away = append(r.away, m.Keys...)
			continue
		}
		break
	}
	r.predecessor = takeover.NewLink(r.conn)
	n.gateway.SetPredecessor(neighbour{r.predecessor}, r.away)
	r.away = nil
	return nil
}

// accepting tells the predecessor that it may go. The engine accepts.
func (n *Node) accepting() error {
	r := &n.restart
	if r.conn != nil {
		if err := r.conn.Send(takeover.Message{Kind: takeover.KindAccepting}); err != nil {
			return restartError(err)
		}
		r.conn.SetDeadline(time.Time{})
		r.predecessor.Start()
		r.talks.Go(n.followPredecessor)
	}
	if r.listener == nil {
		return nil
	}
	if err := r.listener.Publish(); err != nil {
		return restartError(err)
	}
	r.talks.Go(n.serveRestarts)
	return nil
}

// followPredecessor takes what the predecessor sends until it ends.
func (n *Node) followPredecessor() {
	r := &n.restart
	settled, bye := false, false
	settle := func() {
		if !settled {
			settled = true
			close(r.settled)
		}
	}
	for {
		m, err := r.predecessor.Receive()
		if err != nil {
			if !bye && !n.isStopped() {
				n.log.Warn("the process before this one ended early", slog.String("error", err.Error()))
			}
			break
		}
		switch m.Kind {
		case takeover.KindConnection:
			n.arrive(m)
		case takeover.KindRetired:
			n.gateway.ListenersRetired(m.Key)
		case takeover.KindAbsent:
			n.gateway.ListenersAbsent(m.Key)
		case takeover.KindSettled:
			settle()
		case takeover.KindBye:
			bye = true
		}
	}
	n.gateway.PredecessorGone()
	settle()
	r.predecessor.Close()
	if bye {
		n.log.Info("the process before this one has ended")
	}
}

func (n *Node) arrive(m takeover.Message) {
	n.gateway.Arrive(n.engine, m.Descriptors[0], gateway.Handed{
		Peer: m.Peer, Secure: m.Secure, Bytes: append([]byte(nil), m.Bytes...),
	})
}

// serveRestarts answers processes that want to take over.
func (n *Node) serveRestarts() {
	r := &n.restart
	for {
		conn, err := r.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			n.log.Warn("a process was turned away", slog.String("error", err.Error()))
			time.Sleep(time.Millisecond) // not a busy loop for want of descriptors
			continue
		case r.talking.Add(1) > talksMax:
			r.talking.Add(-1)
			_ = conn.Close()
			continue
		}
		conn.SetDeadline(time.Now().Add(n.cfg.Restart.ReadyTimeout))
		r.talks.Go(func() {
			defer r.talking.Add(-1)
			if err := n.giveOver(conn); err != nil && !errors.Is(err, io.EOF) {
				n.log.Warn("no takeover", slog.String("error", err.Error()))
			}
			_ = conn.Close()
		})
	}
}

// giveOver is the talk with one process that wants to take over.
func (n *Node) giveOver(conn *takeover.Conn) error {
	r := &n.restart
	hello, err := conn.Expect(takeover.KindHello)
	switch {
	case err != nil:
		return err
	case hello.Version != takeover.Version:
		return refuse(conn, fmt.Sprintf("this process speaks version %d, the new one %d of the talk: "+
			"restart it in the ordinary way", takeover.Version, hello.Version))
	case n.draining.Load():
		return refuse(conn, "it is ending")
	case !r.taken.CompareAndSwap(false, true):
		return refuse(conn, "another process is taking over from it already")
	}
	n.log.Info("a new process takes over", slog.Int("pid", hello.PID))
	n.releaseStore()
	link, err := n.offer(conn)
	if err != nil {
		n.resumeStore()
		r.taken.Store(false)
		n.log.Warn("the new process did not take over; this one goes on", slog.Int("pid", hello.PID))
		return err
	}
	conn.SetDeadline(time.Time{})
	r.mu.Lock()
	r.successor, r.pid = link, hello.PID
	r.mu.Unlock()
	link.Start()
	n.engine.ReleaseListeners()
	r.listener.Abandon()
	if n.admin != nil {
		_ = n.admin.Listener().Close()
	}
	n.endManagement()
	n.gateway.HandOver(n.engine)
	n.log.Info("the new process has taken over", slog.Int("pid", hello.PID))
	close(r.replaced)
	n.followSuccessor(link)
	return nil
}

func refuse(conn *takeover.Conn, why string) error {
	_ = conn.Send(takeover.Message{Kind: takeover.KindRefused, Error: why})
	return errors.New("refused: " + why)
}

// offer hands the sockets over. If it fails, nothing has happened.
func (n *Node) offer(conn *takeover.Conn) (*takeover.Link, error) {
	if err := n.sendSockets(conn); err != nil {
		return nil, err
	}
	if _, err := conn.Expect(takeover.KindReady); err != nil {
		return nil, err
	}
	link := takeover.NewLink(conn)
	n.engine.SuspendListeners()
	n.gateway.SetSuccessor(neighbour{link})
	// All loops have seen it when they have run one more task: no listener
	// registers here behind the list.
	n.engine.Do(func(*engine.Loop) {})
	err := func() error {
		for _, m := range takeover.Away(n.gateway.Away()) {
			if err := conn.Send(m); err != nil {
				return err
			}
		}
		if err := conn.Send(takeover.Message{Kind: takeover.KindGo}); err != nil {
			return err
		}
		_, err := conn.Expect(takeover.KindAccepting)
		return err
	}()
	if err == nil {
		return link, nil
	}
	n.gateway.DropSuccessor()
	n.engine.Do(func(*engine.Loop) {})
	n.engine.ResumeListeners()
	for _, m := range link.Take() {
		if m.Kind == takeover.KindConnection {
			n.arrive(m)
		}
	}
	return nil, err
}

func (n *Node) sendSockets(conn *takeover.Conn) error {
	var sockets []takeover.Socket
	var fds []int
	add := func(name, address, bound string, more []int) {
		for _, fd := range more {
			sockets = append(sockets, takeover.Socket{Name: name, Address: address, Bound: bound})
			fds = append(fds, fd)
		}
	}
	for _, p := range []struct{ name, address, bound string }{
		{portHTTP, n.cfg.Listen.HTTP, n.addresses.HTTP},
		{portHTTPS, n.cfg.Listen.HTTPS, n.addresses.HTTPS},
	} {
		more, err := n.engine.Sockets(p.name)
		if err != nil {
			closeAll(fds)
			return err
		}
		add(p.name, p.address, p.bound, more)
	}
	for name, l := range n.besides() {
		fd, err := descriptorOf(l.listener)
		if err != nil {
			closeAll(fds)
			return err
		}
		add(name, l.address, l.listener.Addr().String(), []int{fd})
	}
	for {
		k := min(len(fds), takeover.DescriptorsMax)
		err := conn.Send(takeover.Message{
			Kind: takeover.KindSockets, PID: os.Getpid(), Sockets: sockets[:k], Descriptors: fds[:k],
			More: k < len(fds),
		})
		if sockets, fds = sockets[k:], fds[k:]; err != nil || len(fds) == 0 {
			closeAll(fds)
			return err
		}
	}
}

// beside is a port that the engine does not serve.
type beside struct {
	address  string // as in the settings
	listener net.Listener
}

func (n *Node) besides() map[string]beside {
	all := make(map[string]beside)
	if n.admin != nil {
		all[portAdmin] = beside{n.cfg.Admin.Listen, n.admin.Listener()}
	}
	if n.management != nil {
		all[portManagement] = beside{n.cfg.Management.Listen, n.management.Listener()}
	}
	return all
}

// descriptorOf copies the descriptor of a listener. File would do, but its Fd
// makes the socket a blocking one, for both processes.
func descriptorOf(l net.Listener) (int, error) {
	t, ok := l.(*net.TCPListener)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", l)
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return -1, err
	}
	copied, copyErr := -1, error(nil)
	err = raw.Control(func(fd uintptr) {
		copied, copyErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
	})
	return copied, errors.Join(err, copyErr)
}

// followSuccessor takes what the successor sends until it or this node ends.
func (n *Node) followSuccessor(link *takeover.Link) {
	for {
		m, err := link.Receive()
		if err != nil {
			break
		}
		switch m.Kind {
		case takeover.KindConnection:
			n.arrive(m)
		case takeover.KindRetire:
			n.gateway.RetireEntity(m.Key)
		}
	}
	link.Close()
}

// neighbour is a gateway.Process at the other end of a link.
type neighbour struct{ link *takeover.Link }

// Hand implements gateway.Process, as do the methods below.
func (p neighbour) Hand(fd int, h gateway.Handed) bool {
	return p.link.Send(takeover.Message{
		Kind: takeover.KindConnection, Peer: h.Peer, Secure: h.Secure, Bytes: h.Bytes,
		Descriptors: []int{fd},
	})
}

func (p neighbour) Retire(entity string)  { p.tell(takeover.KindRetire, entity) }
func (p neighbour) Retired(entity string) { p.tell(takeover.KindRetired, entity) }
func (p neighbour) Absent(entity string)  { p.tell(takeover.KindAbsent, entity) }

func (p neighbour) tell(kind takeover.Kind, entity string) {
	p.link.Send(takeover.Message{Kind: kind, Key: entity})
}

// Replaced is closed when another process has taken this one's place. The node
// is to be drained then.
func (n *Node) Replaced() <-chan struct{} { return n.restart.replaced }

// Successor is the process id of the process that has taken this one's place.
func (n *Node) Successor() int {
	n.restart.mu.Lock()
	defer n.restart.mu.Unlock()
	return n.restart.pid
}

// isReplaced is whether Replaced is closed.
func (n *Node) isReplaced() bool { return isClosed(n.restart.replaced) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tellSuccessor sends a message without content, if there is a successor.
func (n *Node) tellSuccessor(kind takeover.Kind) {
	n.restart.mu.Lock()
	link := n.restart.successor
	n.restart.mu.Unlock()
	if link == nil {
		return
	}
	link.Send(takeover.Message{Kind: kind})
	if kind == takeover.KindBye {
		link.Flush(byeWait)
	}
}

func (n *Node) isStopped() bool {
	n.restart.mu.Lock()
	defer n.restart.mu.Unlock()
	return n.restart.stopped
}

// endRestarts ends the talks with other processes and waits for them.
func (n *Node) endRestarts() {
	r := &n.restart
	r.mu.Lock()
	r.stopped = true
	links := []*takeover.Link{r.predecessor, r.successor}
	r.mu.Unlock()
	if r.listener != nil {
		_ = r.listener.Close()
	}
	for _, link := range links {
		if link != nil {
			link.Close()
		}
	}
	if r.conn != nil {
		_ = r.conn.Close()
	}
	r.inherited.close(n.log)
	r.talks.Wait()
}
