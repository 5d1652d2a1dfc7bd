package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/relayhouse/relayhouse/engine"
	"github.com/relayhouse/relayhouse/engine/simnet"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/gatewaystore"
	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// simWorld is a gateway on the simulated network with clients around it that
// accept, reject, ignore, leave and break at random.
type simWorld struct {
	rnd     *rand.Rand
	net     *simnet.Net
	engine  *engine.Engine
	gateway *gateway.Gateway
	clock   atomic.Uint32 // ticks of 1 s
	clients []*simClient
	token   string
}

// simClient is any client: it writes, reads a response head, then frames.
type simClient struct {
	w      *simWorld
	peer   *simnet.Peer
	role   string // listener, sender, leg
	out    []byte
	in     []byte
	status string // first line of the response
	echoed bool
	http   simHTTP
	over   bool // it has left, or has been left
	waits  uint32
}

var simStart = time.Unix(1900000000, 0)

func newSimWorld(seed uint64) (*simWorld, error) {
	w := &simWorld{rnd: rand.New(rand.NewPCG(seed, 99))}
	w.net = simnet.New(seed, []int{150, 5000, 100000}[w.rnd.IntN(3)])
	store := new(namespace.Store)
	snapshot, err := namespace.NewSnapshot([]namespace.Definition{{
		Name:  "sim",
		Rules: []namespace.Rule{{Name: "all", PrimaryKey: "key", Rights: sas.Listen | sas.Send}},
		HybridConnections: []namespace.Entity{{Name: "open"},
			{Name: "closed", RequiresClientAuthorization: true}},
	}})
	if err != nil {
		return nil, err
	}
	store.Swap(snapshot)
	w.token = sas.Sign("http://sim/", "all", "key", simStart.Add(time.Hour))
	w.gateway = gateway.New(gateway.Config{
		AdvertisedScheme: "ws", RendezvousWindow: 30 * time.Second, ListenersMax: 3, PendingMax: 6,
		HeadBytes: 8192, HeadTimeout: 10 * time.Second, HeadMemory: 20000,
		ControlMessage: 65536, ControlQueue: 4096,
		ListenerPing: 60 * time.Second, ListenerPingGrace: 30 * time.Second,
		TokenSkew: time.Minute, UnprefixedReject: true,
		HTTP: gateway.HTTPConfig{
			ResponseTimeout: time.Minute, BodyGap: time.Minute, KeepAlive: 30 * time.Second,
			CollectTime: time.Second, SendStall: time.Minute, BodyMemory: 100000, NoListenerStatus: 404,
		},
		FailureRate: 1, FailureBurst: 2, FailureDelay: time.Second, FailureHeldMax: 2,
		Namespaces: store, Authorizer: namespace.NewAuthorizer(namespace.AuthorizerConfig{CacheMax: 10}),
		Store: new(gatewaystore.Memory), Counters: metrics.NewGateway(), History: metrics.NewHistory(10),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Random: w.rnd.Uint64,
		Now: func() time.Time { return simStart.Add(time.Duration(w.clock.Load()) * time.Second) },
	})
	w.engine, err = engine.New(engine.Config{
		Accept: w.gateway.Accept, Loops: 1 + w.rnd.IntN(3), NewPoller: w.net.NewPoller,
		ManualClock: true, ReadBuffer: 16 << 10, HalfIdle: time.Minute, SendStall: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	if err := w.net.AddListener(w.engine); err != nil {
		return nil, err
	}
	w.engine.Start()
	return w, nil
}

func (w *simWorld) dial(role, target string, fields ...string) {
	w.clients = append(w.clients, &simClient{w: w, peer: w.net.Dial(), role: role, waits: w.clock.Load(),
		out: []byte("GET " + target + " HTTP/1.1\r\nHost: sim\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
			strings.Join(fields, "") + "\r\n")})
}

func (w *simWorld) arrive() {
	entity := []string{"open", "closed", "nowhere"}[min(2, w.rnd.IntN(9)/4)]
	token := "ServiceBusAuthorization: " + w.token + "\r\n"
	if w.rnd.IntN(6) == 0 {
		token = ""
	}
	if w.gateway.Listeners() == 0 && w.rnd.IntN(2) == 0 {
		w.dial("listener", "/$hc/open?sb-hc-action=listen", "ServiceBusAuthorization: "+w.token+"\r\n")
		return
	}
	if w.rnd.IntN(2) == 0 {
		w.request(entity, token)
		return
	}
	if w.rnd.IntN(3) == 0 {
		w.dial("listener", "/$hc/"+entity+"?sb-hc-action=listen&sb-hc-id=l"+strconv.Itoa(w.rnd.IntN(4)), token)
		return
	}
	w.dial("sender", "/$hc/"+entity+"/sub?q=1", token, "X-Pad: "+strings.Repeat("p", w.rnd.IntN(3000))+"\r\n")
}

// leave ends a client in one of the ways in which clients end.
func (c *simClient) leave() {
	c.over = true
	if c.w.rnd.IntN(2) == 0 {
		c.peer.Abort()
		return
	}
	c.peer.CloseWrite()
}

func (c *simClient) act() {
	r := c.w.rnd
	if r.IntN(80) == 0 && !c.over {
		c.leave()
	}
	buf := make([]byte, 1+r.IntN(2000))
	n, end, err := c.peer.Read(buf)
	c.in = append(c.in, buf[:n]...)
	if (end || err != nil) && n == 0 && !c.over {
		c.over = true
		c.peer.CloseWrite()
	}
	if len(c.out) > 0 && !c.over {
		k, _ := c.peer.Write(c.out[:1+r.IntN(len(c.out))])
		c.out = c.out[k:]
	}
	if c.role == "http" {
		c.responses()
		return
	}
	if c.status == "" {
		if end := bytes.Index(c.in, []byte("\r\n\r\n")); end >= 0 {
			c.status, _, _ = strings.Cut(string(c.in), "\r\n")
			c.in = c.in[end+4:]
			if strings.HasPrefix(c.status, "HTTP/1.1 101") && c.role == "sender" {
				c.send(ws.OpText, []byte("hello"))
			}
		}
		return
	}
	for strings.HasPrefix(c.status, "HTTP/1.1 101") {
		in := bytes.NewReader(c.in)
		f, err := ws.ReadFrame(in)
		if err != nil {
			return
		}
		c.in = c.in[len(c.in)-in.Len():]
		c.frame(f)
	}
}

func (c *simClient) send(op ws.OpCode, p []byte) {
	f := ws.MaskFrame(ws.NewFrame(op, true, bytes.Clone(p)))
	c.out = append(c.out, ws.MustCompileFrame(f)...)
}

func (c *simClient) frame(f ws.Frame) {
	switch {
	case f.Header.OpCode == ws.OpClose || f.Header.OpCode == ws.OpPing:
		op := f.Header.OpCode
		if op == ws.OpPing {
			op = ws.OpPong
		}
		c.send(op, f.Payload)
	case c.role == "rendezvous" || f.Header.OpCode != ws.OpText && c.role == "listener":
		c.requestFrame(f)
	case c.role == "leg":
		c.send(f.Header.OpCode, f.Payload)
	case c.role == "sender":
		c.echoed = string(f.Payload) == "hello"
		c.send(ws.OpClose, ws.NewCloseFrameBody(1000, ""))
	default:
		c.accept(f.Payload)
	}
}

// accept does with an accept message what listeners do.
func (c *simClient) accept(message []byte) {
	var m struct {
		Accept  struct{ Address string }
		Request *simRequest
	}
	if err := json.Unmarshal(message, &m); err != nil {
		panic(err)
	}
	if m.Request != nil {
		c.request(m.Request)
		return
	}
	target := strings.TrimPrefix(m.Accept.Address, "ws://sim")
	switch c.w.rnd.IntN(8) {
	case 0: // nothing: the sender times out
	case 1:
		c.w.dial("leg", target+"&sb-hc-statusCode=418&sb-hc-statusDescription=no")
	case 2: // twice: one must lose
		c.w.dial("leg", target)
		c.w.dial("leg", target)
	default:
		c.w.dial("leg", target)
	}
}

// simSeed runs one world and returns what is wrong with it at the end.
func simSeed(seed uint64) error {
	w, err := newSimWorld(seed)
	if err != nil {
		return err
	}
	defer w.net.Stop(w.engine)
	for range w.rnd.IntN(3) {
		w.dial("listener", "/$hc/open?sb-hc-action=listen", "ServiceBusAuthorization: "+w.token+"\r\n")
	}
	for turn := range 6000 {
		switch n := w.rnd.IntN(100); {
		case n == 0 && turn < 4000 && len(w.clients) < 60:
			w.arrive()
		case n == 1 && w.rnd.IntN(10) == 0:
			w.engine.Advance(w.clock.Add(1 + uint32(w.rnd.IntN(8))))
		case n < 50 || len(w.clients) == 0:
			w.net.Step()
		default:
			w.clients[w.rnd.IntN(len(w.clients))].act()
		}
	}
	w.rest()
	for _, c := range w.clients {
		if c.http.wrong != "" {
			return errors.New(c.http.wrong)
		}
		if c.status == "" && !c.over {
			return fmt.Errorf("a %s has no answer after %d s", c.role, w.clock.Load()-c.waits)
		}
		c.leave()
	}
	for range 12 {
		w.engine.Advance(w.clock.Add(20))
		if err := w.net.Settle(200000); err != nil {
			return err
		}
	}
	if n := w.gateway.Pending() + w.gateway.Listeners() + w.engine.Open(); n != 0 || w.gateway.HeadMemory() != 0 || w.gateway.BodyMemory() != 0 ||
		w.engine.Held() != 0 || w.net.Open() != len(w.engine.Loops()) {
		return fmt.Errorf("left over: %d pending, %d listeners, %d connections, %d bytes of heads, %d held, %d descriptors",
			w.gateway.Pending(), w.gateway.Listeners(), w.engine.Open(), w.gateway.HeadMemory(), w.engine.Held(),
			w.net.Open()-len(w.engine.Loops()))
	}
	return nil
}

// rest lets everybody act, and the clock pass every window, until nobody can.
func (w *simWorld) rest() {
	for range 15 {
		for range 300 {
			for i := 0; i < len(w.clients); i++ {
				w.clients[i].act()
			}
			for range 20 {
				if !w.net.Step() {
					break
				}
			}
		}
		w.engine.Advance(w.clock.Add(4))
	}
}

// TestSimGateway runs random clients against a gateway on the simulated
// network: everybody gets an answer in time, and nothing is left over. Repeat
// one with make sim SEED=n.
func TestSimGateway(t *testing.T) {
	seeds := uint64(40)
	if n, err := strconv.ParseUint(os.Getenv("SIM_SEEDS"), 10, 64); err == nil {
		seeds = n / 20
	}
	if n, err := strconv.ParseUint(os.Getenv("SIM_SEED"), 10, 64); err == nil && n > 0 {
		if err := simSeed(n); err != nil {
			t.Fatalf("seed %d: %v", n, err)
		}
		return
	}
	var next atomic.Uint64
	var done sync.WaitGroup
	for range 2 {
		done.Go(func() {
			for s := next.Add(1); s <= seeds && !t.Failed(); s = next.Add(1) {
				if err := simSeed(s); err != nil {
					t.Errorf("seed %d: %v", s, err)
				}
			}
		})
	}
	done.Wait()
	for status := range simStatuses {
		if n := simStatuses[status].Load(); n > 0 {
			t.Logf("%d HTTP responses with status %d", n, status)
		}
	}
	if simStatuses[200].Load() == 0 {
		t.Error("no HTTP request was answered by a listener")
	}
	t.Logf("%d seeds", seeds)
}
