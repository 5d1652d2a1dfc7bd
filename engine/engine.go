package engine

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
	"github.com/relayhouse/relayhouse/wsframe"
)

// Config is what an engine is made of. Zero values take the default named.
type Config struct {
	// Accept gives a new connection its handler, on its loop. overloaded says
	// that ConnectionsMax is reached: the handler should say so and Finish.
	Accept func(c *Conn, overloaded bool) Handler

	Loops int // default GOMAXPROCS
	// ReadBuffer is a loop's read buffer in bytes, 16 KiB to 1 MiB, and so the
	// most that one direction may have left over. Reads are powers of two.
	// Default 256 KiB, the knee of the measurements in docs/adr/0002.
	ReadBuffer int
	// TurnBytes is what one connection may move before others come; default
	// 256 KiB.
	TurnBytes int
	// Tick is the resolution of the timers; default 1 s.
	Tick time.Duration

	// ConnectionsMax bounds the connections of all loops; 0 is no bound but
	// the descriptor limit. Up to OverloadSlack more are attached to be told.
	ConnectionsMax int
	// LeftoverMax is the number of bytes held for slow receivers, in all,
	// above which reads shrink to 16 KiB; default 256 MiB.
	LeftoverMax int64

	SendStall time.Duration // a peer must take queued bytes; 0 is never
	HalfIdle  time.Duration // see splice.go; 0 is never
	Linger    time.Duration // after the end of our stream; default 5 s

	// NewPoller makes the poller of each loop; default the operating system's.
	NewPoller func(loop int) (Poller, error)
	// ManualClock leaves the clock to Engine.Advance, for simulations.
	ManualClock bool
}

// OverloadSlack is the number of connections over ConnectionsMax that are
// attached only to be refused in words; more are closed as they come.
const OverloadSlack = 32

// bufferTail is the room behind a read for frames of the gateway's own.
const bufferTail = 64

// bufferMin is the least size of a loop's read buffer in bytes: room for what a
// TLS handshake may leave, or one record.
const bufferMin = 64 << 10

// Engine is a set of loops. Make it with New.
type Engine struct {
	// Fixed after New.
	cfg                                    Config
	loops                                  []*Loop
	stallTicks, halfIdleTicks, lingerTicks uint32
	start                                  time.Time // of the clock

	ticks atomic.Uint32 // the clock, where Config.ManualClock leaves it to Advance
	held  atomic.Int64  // capacity of all blocks in use, in bytes
	open  atomic.Int64  // connections

	adopted atomic.Uint32 // connections of Adopt, to take the loops in turn

	// Guarded by mu, which also keeps Do and Stop apart.
	mu      sync.RWMutex
	running sync.WaitGroup
	started bool
	stopped bool
	quit    chan struct{} // closed by Stop: ends the clock
}

// New makes an engine; nothing runs before Start.
func New(cfg Config) (*Engine, error) {
	if cfg.Accept == nil {
		return nil, errors.New("engine: Config.Accept is nil")
	}
	setDefaults(&cfg)
	if cfg.ReadBuffer < 1<<windowMin || cfg.ReadBuffer > 1<<20 {
		return nil, fmt.Errorf("engine: read buffer: want 16384–1048576 bytes, got %d", cfg.ReadBuffer)
	}
	e := &Engine{cfg: cfg, start: time.Now(), quit: make(chan struct{})}
	e.stallTicks = e.Ticks(cfg.SendStall)
	e.halfIdleTicks = e.Ticks(cfg.HalfIdle)
	e.lingerTicks = e.Ticks(cfg.Linger)
	for i, counters := range metrics.NewLoops(cfg.Loops) {
		p, err := cfg.NewPoller(i)
		if err != nil {
			e.releaseUnused()
			return nil, err
		}
		e.loops = append(e.loops, &Loop{
			engine:   e,
			poller:   p,
			counters: counters,
			index:    i,
			buf:      make([]byte, wsframe.Headroom+max(cfg.ReadBuffer, bufferMin)+bufferTail),
		})
	}
	return e, nil
}

func setDefaults(cfg *Config) {
	if cfg.Loops == 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	if cfg.ReadBuffer == 0 {
		cfg.ReadBuffer = 256 << 10
	}
	if cfg.TurnBytes == 0 {
		cfg.TurnBytes = 256 << 10
	}
	if cfg.Tick == 0 {
		cfg.Tick = time.Second
	}
	if cfg.LeftoverMax == 0 {
		cfg.LeftoverMax = 256 << 20
	}
	if cfg.Linger == 0 {
		cfg.Linger = 5 * time.Second
	}
	if cfg.NewPoller == nil {
		cfg.NewPoller = func(int) (Poller, error) { return newEpollPoller() }
	}
}

// Ticks converts d to ticks of the loops' clocks, rounded up.
func (e *Engine) Ticks(d time.Duration) uint32 {
	return uint32((d + e.cfg.Tick - 1) / e.cfg.Tick)
}

// Loops returns the loops, in order of their index.
func (e *Engine) Loops() []*Loop { return e.loops }

// Counters returns each loop's counters.
func (e *Engine) Counters() []*metrics.Loop {
	all := make([]*metrics.Loop, len(e.loops))
	for i, l := range e.loops {
		all[i] = l.counters
	}
	return all
}

// Held is the number of bytes of memory held for slow receivers.
func (e *Engine) Held() int64 { return e.held.Load() }

// Open is the number of connections.
func (e *Engine) Open() int { return int(e.open.Load()) }

// Start runs the loops and the clock.
func (e *Engine) Start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		return
	}
	e.started = true
	for _, l := range e.loops {
		e.running.Go(func() {
			_ = l.poller.Run(l.event)
			l.poller.Release()
		})
	}
	if !e.cfg.ManualClock {
		e.running.Go(e.clock)
	}
}

// clock posts the time to every loop. A loop that is behind gets one post, not
// a queue of them.
func (e *Engine) clock() {
	ticker := time.NewTicker(e.cfg.Tick)
	defer ticker.Stop()
	pending := make([]atomic.Bool, len(e.loops))
	for {
		select {
		case <-e.quit:
			return
		case t := <-ticker.C:
			now := uint32(t.Sub(e.start) / e.cfg.Tick)
			for i, l := range e.loops {
				if pending[i].CompareAndSwap(false, true) {
					l.Post(func(l *Loop) {
						pending[i].Store(false)
						l.tick(now)
					})
				}
			}
		}
	}
}

// now is the time in ticks. It does not depend on clock, which may itself be
// late on a busy machine.
func (e *Engine) now() uint32 {
	if e.cfg.ManualClock {
		return e.ticks.Load()
	}
	return uint32(time.Since(e.start) / e.cfg.Tick)
}

// Advance moves the clock of every loop to tick, with Config.ManualClock.
func (e *Engine) Advance(tick uint32) {
	e.ticks.Store(tick)
	for _, l := range e.loops {
		l.Post(func(l *Loop) { l.tick(tick) })
	}
}

// Do runs f on every loop and waits for all; not to be called from a loop. On
// an engine that does not run it does nothing.
func (e *Engine) Do(f func(l *Loop)) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.started && !e.stopped {
		e.do(f)
	}
}

func (e *Engine) do(f func(l *Loop)) {
	var done sync.WaitGroup
	done.Add(len(e.loops))
	for _, l := range e.loops {
		l.Post(func(l *Loop) {
			defer done.Done()
			f(l)
		})
	}
	done.Wait()
}

// CloseListeners stops accepting; what waits in the backlogs is accepted first.
func (e *Engine) CloseListeners() { e.Do(func(l *Loop) { l.closeListeners() }) }

// Stop closes every connection at once and ends the loops. It returns when
// they have ended; it may be called again and then does nothing.
func (e *Engine) Stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.stopped:
		return
	case !e.started:
		e.stopped = true
		e.releaseUnused()
		return
	}
	// Twice: a connection that was migrating during the first round arrives
	// before the second and is closed there.
	for range 2 {
		e.do(func(l *Loop) {
			l.stopping = true
			l.closeListeners()
			l.Each(len(l.conns), func(c *Conn) { c.Close(metrics.CloseDrain) })
		})
	}
	e.stopped = true
	close(e.quit)
	for _, l := range e.loops {
		l.poller.Stop()
	}
	e.running.Wait()
}

// releaseUnused frees the pollers and sockets of an engine that never ran.
func (e *Engine) releaseUnused() {
	for _, l := range e.loops {
		l.closeListeners()
		l.poller.Release()
	}
	e.loops = nil
}
