package gateway_test

import (
	"crypto/sha256"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/gatewaystore"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// half is one of two gateways in one process that play the processes of a
// restart for each other, without the socket between them.
type half struct {
	*relaytest.Client
	g     *gateway.Gateway
	e     *engine.Engine
	store *namespace.Store
}

func startHalf(t *testing.T, secure bool, edit ...func(*gateway.Config)) *half {
	t.Helper()
	snapshot, err := namespace.NewSnapshot(relaytest.Namespaces())
	if err != nil {
		t.Fatal(err)
	}
	h := &half{store: new(namespace.Store)}
	h.store.Swap(snapshot)
	cfg := gateway.Config{
		AdvertisedScheme: "ws", RendezvousWindow: 30 * time.Second, ListenersMax: 25,
		HeadBytes: 32 << 10, HeadTimeout: 10 * time.Second, HeadMemory: 1 << 20,
		ControlMessage: 1 << 18, ControlQueue: 1 << 20, ListenerPing: time.Minute,
		ListenerPingGrace: time.Minute, RestartHold: time.Minute,
		FailureRate: 50, FailureBurst: 500,
		HTTP:       gateway.HTTPConfig{BodyMemory: 1 << 20, KeepAlive: time.Minute},
		Namespaces: h.store, Authorizer: namespace.NewAuthorizer(namespace.AuthorizerConfig{}),
		Store: new(gatewaystore.Memory), Counters: metrics.NewGateway(),
		History: metrics.NewHistory(100), Log: slog.New(slog.DiscardHandler),
		EndsTLS: func(c *engine.Conn) bool { return secure && c.Peer().Port() != 0 },
	}
	for _, f := range edit {
		f(&cfg)
	}
	h.g = gateway.New(cfg)
	h.e, err = engine.New(engine.Config{Accept: h.g.Accept, Loops: 2, Tick: 10 * time.Millisecond,
		Linger: time.Second, HalfIdle: time.Minute, SendStall: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := h.e.Listen("127.0.0.1:0", engine.ListenConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h.e.Start()
	t.Cleanup(h.e.Stop)
	h.Client = relaytest.NewClient(addr.String(), "")
	return h
}

// Hand implements gateway.Process: the receiver is where things go to.
func (h *half) Hand(fd int, c gateway.Handed) bool {
	h.g.Arrive(h.e, fd, c)
	return true
}
func (h *half) Retire(entity string)  { h.g.RetireEntity(entity) }
func (h *half) Retired(entity string) { h.g.ListenersRetired(entity) }
func (h *half) Absent(entity string)  { h.g.ListenersAbsent(entity) }

// TestHandBytes: where a descriptor is not all there is of a connection, its
// bytes pass through this process to the other one: a listener's rendezvous
// connection to a sender that waits there, and a sender's to a listener here.
func TestHandBytes(t *testing.T) {
	t.Parallel()
	before, after := startHalf(t, true), startHalf(t, true)
	l := before.Listen(t, open)
	waiting := before.Connect(t, open)
	accept := l.Next(t)
	silent := before.Raw(t)
	relaytest.Eventually(t, "three connections", func() bool { return before.e.Open() == 3 })

	before.g.SetSuccessor(after)
	after.g.SetPredecessor(before, before.g.Away())
	before.g.HandOver(before.e)

	r := after.Open(t, strings.Replace(accept.Address, before.HTTP, after.HTTP, 1), relaytest.Dial{}).Conn(t)
	s := waiting.Conn(t)
	relaytest.Exchange(t, s, r)
	big := []byte(long(3 << 20))
	go func() { _ = s.Write(2, big) }()
	if _, got := r.Read(t); sha256.Sum256(got) != sha256.Sum256(big) {
		t.Errorf("%d other bytes of %d", len(got), len(big))
	}
	if n := after.g.HandedOn(); n != 1 {
		t.Errorf("%d connections are handed on", n)
	}

	relaytest.Eventually(t, "the silent connection has moved", func() bool { return before.g.HandedOn() == 1 })
	silent.Send(t, after.UpgradeRequest("/$hc/"+relaytest.Anonymous))
	l.WantClose(t, 1001)
	again := after.Listen(t, open)
	r2 := again.Accept(t)
	if a := silent.Answer(t); a.Status != 101 {
		t.Errorf("answer %+v", a)
	}
	silent.SendFrame(t, relaytest.Frame{Op: relaytest.OpText, Fin: true, Payload: []byte("far")})
	r2.Want(t, 1, []byte("far"))

	closed := s.Close(1000, "")
	r.WantClose(t, 1000)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	before.g.EndRelays(before.e)
	silent.WantEnd(t)
	r2.Abort()
	relaytest.Eventually(t, "nothing is handed on", func() bool {
		return before.g.HandedOn()+after.g.HandedOn() == 0
	})
}

var open = relaytest.Dial{Path: relaytest.Anonymous}

// TestHoldEnds: what becomes of senders that are held when the predecessor
// answers, or ends.
func TestHoldEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(before, after *half){
		"absent":    func(_, after *half) { after.g.ListenersAbsent("test/" + relaytest.Anonymous) },
		"not there": func(before, after *half) { before.g.RetireEntity("test/" + relaytest.Anonymous) },
	} {
		t.Run(name, func(t *testing.T) {
			before, after := startHalf(t, false), startHalf(t, false)
			before.g.SetSuccessor(after)
			after.g.SetPredecessor(deaf{}, []string{"test/" + relaytest.Anonymous})
			waiting := after.Connect(t, open)
			request := after.Ask(t, "GET", openTarget, "")
			relaytest.Eventually(t, "both are held", func() bool { return after.g.Pending() == 2 })
			end(before, after)
			waiting.Want(t, 404)
			if r := request.Response(t); r.Status != 404 {
				t.Errorf("response %s", r)
			}
			after.Connect(t, open).Want(t, 404)
		})
	}
	before, after := startHalf(t, false), startHalf(t, false)
	after.g.SetPredecessor(deaf{}, []string{"test/" + relaytest.Anonymous})
	waiting := after.Connect(t, open)
	gone := after.Connect(t, open)
	relaytest.Eventually(t, "both are held", func() bool { return after.g.Pending() == 2 })
	gone.Cancel()
	relaytest.Eventually(t, "one is held", func() bool { return after.g.Pending() == 1 })
	after.g.PredecessorGone()
	l := after.Listen(t, open)
	r := l.Accept(t)
	relaytest.Exchange(t, waiting.Conn(t), r)
	_ = before
}

// deaf is a predecessor that does not answer.
type deaf struct{}

func (deaf) Hand(int, gateway.Handed) bool { return false }
func (deaf) Retire(string)                 {}
func (deaf) Retired(string)                {}
func (deaf) Absent(string)                 {}

// TestSpreadListeners: all are sent away within the time, not all at once.
func TestSpreadListeners(t *testing.T) {
	t.Parallel()
	h := startHalf(t, false)
	const n, over = 20, 500 * time.Millisecond
	ended := make(chan time.Time, n)
	for range n {
		l := h.Listen(t, open)
		go func() {
			<-l.Done()
			ended <- time.Now()
		}()
	}
	begin := time.Now()
	h.g.SpreadListeners(t.Context(), h.e, over)
	if took := time.Since(begin); took < over/2 {
		t.Errorf("all were told after %v", took)
	}
	early := 0
	for range n {
		if relaytest.Receive(t, ended, "the end of a listener").Sub(begin) < over/2 {
			early++
		}
	}
	if early == 0 || early > n*3/4 {
		t.Errorf("%d of %d were sent away in the first half", early, n)
	}
}

// told notes what a successor is told.
type told struct {
	deaf
	all []string
}

func (s *told) note(text string) { s.all = append(s.all, text) }

func (s *told) Retired(entity string) { s.note("retired " + entity) }
func (s *told) Absent(entity string)  { s.note("absent " + entity) }

// TestSpreadOfNobody: the successor must not wait for listeners that left by
// themselves while others were still to be sent away.
func TestSpreadOfNobody(t *testing.T) {
	t.Parallel()
	// A listener that leaves before the spread has counted it is told of to
	// nobody: once more, then.
	next := new(told)
	for len(next.all) == 0 {
		h := startHalf(t, false)
		l := h.Listen(t, open)
		h.g.SetSuccessor(next)
		done := make(chan struct{})
		go func() {
			defer close(done)
			h.g.SpreadListeners(t.Context(), h.e, time.Hour)
		}()
		l.Close(t)
		relaytest.Receive(t, done, "the end of the spread")
	}
	if want := []string{"absent test/" + relaytest.Anonymous}; !slices.Equal(next.all, want) {
		t.Errorf("told %q, want %q", next.all, want)
	}
}
