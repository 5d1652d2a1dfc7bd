package rendezvous

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"math/bits"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"
)

// Errors of the table. They carry no detail: the caller knows the entity, and
// an unknown id must look like a used one.
var (
	// ErrListenerQuota: the entity has as many listeners as it may have.
	ErrListenerQuota = errors.New("rendezvous: too many listeners")
	// ErrNoListeners: the entity has no listener, or skip left none.
	ErrNoListeners = errors.New("rendezvous: no listener")
	// ErrNoneMatches: there are listeners, but the filter left none.
	ErrNoneMatches = errors.New("rendezvous: no listener matches the filter")
	// ErrPendingFull: Config.PendingMax senders are waiting already.
	ErrPendingFull = errors.New("rendezvous: too many pending rendezvous")
	// ErrUnknown: the id was never given out, or is used, dropped or expired.
	ErrUnknown = errors.New("rendezvous: unknown id")
)

// Defaults and bounds of Config.
const (
	// DefaultShards keeps the chance that two of a few dozen loops meet at one
	// lock small. An empty pair of shards costs about 300 bytes.
	DefaultShards = 64
	// ShardsMax bounds what an empty table costs, about 300 KB, and the locks
	// that Range and RangePending take one after the other.
	ShardsMax = 1024
	// DefaultPendingMax is the default of gateway.pending_max.
	DefaultPendingMax = 65536
	// DefaultWindow is how long a rendezvous address is valid
	// (docs/protocol.md, section 3.2).
	DefaultWindow = 30 * time.Second
)

// Config shapes a Table. The zero value of each field means its default.
type Config struct {
	// Shards is rounded up to a power of two and cut at ShardsMax.
	Shards int
	// PendingMax bounds the senders that wait in all shards together;
	// Reserve refuses the ones beyond it.
	PendingMax int
	// Window is the time from Reserve in which Claim succeeds.
	Window time.Duration
	// Random replaces both sources of randomness and makes a table
	// repeatable, for simulations. Nil means crypto/rand for ids and
	// math/rand/v2 for the choice of a listener. Called from any goroutine.
	Random func() uint64
}

// Table holds the listeners and the pending rendezvous of one gateway. L is
// the handle of a listener, P the handle of a waiting sender; the table never
// looks into them and forgets them when it gives them back.
type Table[L comparable, P any] struct {
	// Fixed after New.
	window     time.Duration
	pendingMax int64
	random     func() uint64
	mask       uint64
	listeners  []listenerShard[L]
	pending    []pendingShard[P]

	// Atomic.
	listenerCount atomic.Int64
	pendingCount  atomic.Int64
}

// New returns an empty table.
func New[L comparable, P any](c Config) *Table[L, P] {
	if c.Shards <= 0 {
		c.Shards = DefaultShards
	}
	if c.PendingMax <= 0 {
		c.PendingMax = DefaultPendingMax
	}
	if c.Window <= 0 {
		c.Window = DefaultWindow
	}
	shards := 1 << bits.Len(uint(min(c.Shards, ShardsMax)-1))
	t := &Table[L, P]{
		window:     c.Window,
		pendingMax: int64(c.PendingMax),
		random:     c.Random,
		mask:       uint64(shards - 1),
		listeners:  make([]listenerShard[L], shards),
		pending:    make([]pendingShard[P], shards),
	}
	for i := range shards {
		t.listeners[i].entities = make(map[string]*entity[L])
		t.pending[i].senders = make(map[ID]pending[P])
	}
	return t
}

// newID draws a key for a pending rendezvous.
func (t *Table[L, P]) newID() ID {
	var id ID
	if t.random == nil {
		_, _ = rand.Read(id[:]) // Never fails: the runtime ends the process instead.
		return id
	}
	binary.LittleEndian.PutUint64(id[:8], t.random())
	binary.LittleEndian.PutUint64(id[8:], t.random())
	return id
}

// intn draws from [0, n), n > 0. The high half of a 64×64 multiplication is
// uniform to within n/2^64.
func (t *Table[L, P]) intn(n int) int {
	if t.random == nil {
		return mathrand.IntN(n)
	}
	hi, _ := bits.Mul64(t.random(), uint64(n))
	return int(hi)
}
