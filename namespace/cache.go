package namespace

import (
	"crypto/sha256"
	"sync"
	"time"
)

// shardsMax spreads the locks of the cache. Loops hold one for a map access.
const shardsMax = 16

// cache remembers proofs. Only tokens with a good signature get in, so nobody
// without a key can fill it. A proof holds for the settings and the entity that
// it was made from, which do not change: with a new key both are others, and
// nobody asks for the old ones again. An entry goes when the token's life with
// its skew ends, or by chance when its shard is full; until then it keeps the
// settings and the entity in memory.
type cache struct {
	shards []shard
}

type shard struct {
	max int // fixed

	mu     sync.Mutex
	proofs map[proofKey]proof
}

// proofKey names a token and where it was presented. A hash stands for the
// token, so that the cache is no store of credentials.
type proofKey struct {
	sum [sha256.Size]byte
	ns  *settings
	e   *Entity
}

// newCache makes a cache of at most max proofs.
func newCache(max int) cache {
	c := cache{shards: make([]shard, min(shardsMax, max))}
	for i := range c.shards {
		c.shards[i].max = max / len(c.shards)
	}
	return c
}

// get returns the proof of k.
func (c *cache) get(k proofKey, now time.Time) (proof, bool) {
	if len(c.shards) == 0 {
		return proof{}, false
	}
	s := &c.shards[int(k.sum[0])%len(c.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.proofs[k]
	if ok && now.After(p.end) {
		delete(s.proofs, k)
	}
	return p, ok
}

// put remembers p.
func (c *cache) put(k proofKey, p proof) {
	if len(c.shards) == 0 {
		return
	}
	s := &c.shards[int(k.sum[0])%len(c.shards)]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proofs == nil {
		s.proofs = make(map[proofKey]proof)
	}
	if len(s.proofs) >= s.max {
		for victim := range s.proofs {
			delete(s.proofs, victim)
			break
		}
	}
	s.proofs[k] = p
}

// size is the number of proofs that are remembered.
func (c *cache) size() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.proofs)
		s.mu.Unlock()
	}
	return n
}
