package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options says what a Store serves.
type Options struct {
	// Pairs are the files. The first is for clients that name no host, and for
	// hosts that none is for.
	Pairs []Pair
	// Made are certificates that the program has made itself, behind Pairs.
	Made []tls.Certificate
	// ACME obtains further ones; nil for none.
	ACME *ACME
	// ClientAuth is whether clients show certificates of their own, signed by
	// one of the authorities in the file ClientCA.
	ClientAuth tls.ClientAuthType
	ClientCA   string
	// MinVersion is tls.VersionTLS12 or tls.VersionTLS13.
	MinVersion uint16
	Log        *slog.Logger // Nil discards.
}

// Store is the certificates of a port. Its methods may be called from any
// goroutine.
type Store struct {
	// Fixed after New.
	options Options
	base    *tls.Config // What all handshakes have in common.
	bare    *tls.Config // For challenges of ACME: no certificate of the client.
	acme    *obtained   // nil without ACME
	log     *slog.Logger
	timing  timing

	// Atomic.
	table atomic.Pointer[table]

	mu     sync.Mutex
	pairs  []Pair               // Guarded by mu.
	warned map[string]time.Time // Guarded by mu; by what was said.

	moved chan struct{} // 1 slot: the files to watch may be others.
	end   context.CancelFunc
	done  chan struct{} // Closed when the watch has ended; nil before Start.
}

// New reads all certificates.
//
//	Errors: of the first file that cannot be used, a *FileError.
func New(o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{
		options: o, log: o.Log, timing: usualTiming, warned: make(map[string]time.Time),
		moved: make(chan struct{}, 1),
	}
	s.base = &tls.Config{
		MinVersion:     o.MinVersion,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: s.GetCertificate,
		ClientAuth:     o.ClientAuth,
		// A relay writes what it has just read: small records at the beginning
		// would save nobody time, and cost a header and a seal each.
		DynamicRecordSizingDisabled: true,
	}
	if o.ACME != nil {
		var err error
		if s.acme, err = newObtained(*o.ACME, o.Log); err != nil {
			return nil, err
		}
		s.base.NextProtos = append(s.base.NextProtos, challengeProtocol)
	}
	s.bare = s.base.Clone()
	s.bare.ClientAuth = tls.NoClientCert
	if _, err := s.reload(o.Pairs, nil); err != nil {
		return nil, err
	}
	return s, nil
}

// Config returns the settings of a server. They stay valid for as long as the
// store is used: certificates and authorities are replaced behind them, and
// tickets of sessions outlive that.
func (s *Store) Config() *tls.Config {
	c := s.table.Load().config.Clone()
	if s.options.ClientCA != "" {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if s.acme != nil && isChallenge(hello) {
				return s.bare, nil
			}
			return s.table.Load().config, nil
		}
	}
	return c
}

// GetCertificate chooses a certificate, as tls.Config has it. Without any for
// the name, the client is told so (unrecognized_name).
func (s *Store) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := normalName(hello.ServerName)
	if isChallenge(hello) {
		return s.acme.answer(name)
	}
	now := time.Now()
	t := s.table.Load()
	if found := choose(hello, s.acme.match(name), now); found != nil {
		return found, nil
	}
	if found := choose(hello, t.match(name), now); found != nil {
		return found, nil
	}
	if found := choose(hello, t.all, now); found != nil {
		return found, nil
	}
	if name == "" {
		return choose(hello, s.acme.all(), now), nil
	}
	return nil, nil
}

// Reload reads all files again, of other pairs than before if so configured.
// All are replaced, or none.
//
//	Errors: of the first file that cannot be used; the old certificates stay.
func (s *Store) Reload(pairs []Pair) error {
	_, err := s.reload(pairs, nil)
	return err
}

// reload replaces the table, unless the files are as they were, or as they were
// when they were refused. pairs nil means those of before.
//
//	Errors: of the first file that cannot be used, once per content if refused
//	        is given, which then is set.
func (s *Store) reload(pairs []Pair, refused *[32]byte) (changed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pairs == nil {
		pairs = s.pairs
	}
	if len(pairs) > pairsMax {
		return false, fmt.Errorf("%d certificates; want at most %d", len(pairs), pairsMax)
	}
	in := read(pairs, s.options.ClientCA)
	old := s.table.Load()
	switch {
	case old != nil && in.digest == old.digest:
		if refused != nil {
			*refused = [32]byte{}
		}
		return false, nil
	case refused != nil && in.digest == *refused:
		return false, nil
	}
	t, warnings, err := s.parse(in)
	if err != nil {
		if refused != nil {
			*refused = in.digest
		}
		return false, err
	}
	s.table.Store(t)
	s.pairs = slices.Clone(pairs)
	for _, text := range warnings {
		s.warnLocked(text, time.Now(), 0)
	}
	select {
	case s.moved <- struct{}{}:
	default: // it has been told
	}
	return true, nil
}

func (s *Store) parse(in input) (*table, []string, error) {
	if in.err != nil {
		return nil, nil, in.err
	}
	var entries []*entry
	var warnings []string
	now := time.Now()
	for _, p := range in.pairs {
		one, err := p.parse(now)
		if err != nil {
			return nil, nil, err
		}
		entries = append(entries, &entry{one, p.Certificate})
		warnings = append(warnings, p.warnings(one.Leaf, now)...)
	}
	for i := range s.options.Made {
		made := &s.options.Made[i]
		if made.Leaf == nil {
			return nil, nil, errors.New("a certificate without its parsed form")
		}
		entries = append(entries, &entry{made, "made at start"})
	}
	t := newTable(entries)
	t.digest = in.digest
	t.config = s.base.Clone()
	if s.options.ClientCA != "" {
		pool, err := authorities(s.options.ClientCA, in.ca)
		if err != nil {
			return nil, nil, err
		}
		t.config.ClientCAs = pool
	}
	return t, warnings, nil
}

// warnLocked writes a warning, again only after some time; never for 0.
func (s *Store) warnLocked(text string, now time.Time, again time.Duration) {
	last, said := s.warned[text]
	if said && (again == 0 || now.Sub(last) < again) {
		return
	}
	if len(s.warned) >= warnedMax {
		clear(s.warned)
	}
	s.warned[text] = now
	s.log.Warn(text)
}

// warnedMax bounds what is remembered of warnings; beyond it they are repeated.
const warnedMax = 4 * pairsMax

// Start watches the files, and obtains what is to be obtained by ACME; address
// is where the port of the store listens, host:port. Call it once.
func (s *Store) Start(address string) error {
	if s.acme != nil {
		if err := s.acme.start(address); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.end, s.done = cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		s.watch(ctx)
	}()
	return nil
}

// StopObtaining ends ACME: call it before the port stops listening, which else
// would be opened for a challenge. It may be called more than once.
func (s *Store) StopObtaining() {
	if s.acme != nil {
		s.acme.stop()
	}
}

// Close ends what Start began. Handshakes are still answered.
func (s *Store) Close() {
	s.StopObtaining()
	if s.done != nil {
		s.end()
		<-s.done
	}
}

// Status is one certificate; nothing of its key.
type Status struct {
	Names     []string // At most namesShown; empty if it has none.
	Key       string   // ecdsa, rsa, ed25519 or other.
	Issuer    string
	NotBefore time.Time
	NotAfter  time.Time
	Source    string // The file; "made at start"; "acme".
	Problem   string // Why ACME has none, or no newer one; else empty.
}

// namesShown bounds the names in a status.
const namesShown = 100

// Status returns all certificates: those of files, those made, those of ACME,
// obtained or not.
func (s *Store) Status() []Status {
	var all []Status
	for _, e := range s.table.Load().all {
		all = append(all, statusOf(e.Leaf, e.source))
	}
	return append(all, s.acme.status()...)
}

func statusOf(leaf *x509.Certificate, source string) Status {
	names := namesOf(leaf)
	return Status{
		Names: names[:min(len(names), namesShown)], Key: keyKind(leaf.PublicKey),
		Issuer: leaf.Issuer.String(), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		Source: source,
	}
}
