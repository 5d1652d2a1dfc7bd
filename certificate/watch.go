package certificate

import (
	"context"
	"log/slog"
	"time"

	"github.com/relayhouse/relayhouse/internal/filewatch"
)

// timing is when changed files are read. Tests have it shorter.
type timing struct {
	quiet    time.Duration // Without a further event, files are taken as written.
	quietMax time.Duration // Since the first event; files may be written for ever.
	retry    time.Duration // Before what could not be used is read once more.
	poll     time.Duration // Between looks at files that no event spoke of.
}

// usualTiming: certbot and cert-manager write certificate and key within
// milliseconds of each other, people with two commands within seconds.
var usualTiming = timing{
	quiet: 300 * time.Millisecond, quietMax: 3 * time.Second,
	retry: 5 * time.Second, poll: time.Minute,
}

// Times of warnings about certificates that expire.
const (
	// expiryWarning is how long before its end the first warning is given, or
	// a quarter of its life for one that lives shorter than 8 weeks.
	expiryWarning = 14 * 24 * time.Hour
	// expiryAgain is the time between two warnings.
	expiryAgain = 24 * time.Hour
)

// places returns what is to be watched: the trails of all files.
func (s *Store) places() map[string]bool {
	s.mu.Lock()
	pairs := s.pairs
	s.mu.Unlock()
	all := make(map[string]bool)
	add := func(path string) {
		for _, place := range filewatch.Trail(path) {
			all[place] = true
		}
	}
	for _, p := range pairs {
		add(p.Certificate)
		add(p.Key)
	}
	if s.options.ClientCA != "" {
		add(s.options.ClientCA)
	}
	return all
}

// watch reads files again when they have changed, and warns of certificates
// that expire, until ctx is done. Where the system has no more watches to
// give, the poll finds every change.
func (s *Store) watch(ctx context.Context) {
	n := filewatch.New()
	defer n.Close()
	if err := n.Err(); err != nil {
		s.log.Warn("certificate files cannot be watched; they are read every minute",
			slog.String("error", err.Error()))
	}
	n.Follow(s.places())
	events, failures := n.Channels()
	poll := time.NewTicker(s.timing.poll)
	defer poll.Stop()
	settled := time.NewTimer(0) // Changes since New are seen at once.
	defer settled.Stop()
	var burst filewatch.Burst
	touch := func() {
		now := time.Now()
		burst.Touch(now)
		settled.Reset(burst.Wait(now, s.timing.quiet, s.timing.quietMax))
	}
	var r retries
	s.warnExpiring(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if n.Concerns(e) {
				touch()
			}
			continue
		case <-failures: //nolint:errcheck // Events were lost, whichever.
			touch()
			continue
		case <-s.moved:
			n.Follow(s.places())
			continue
		case <-settled.C:
		case <-poll.C:
		}
		burst = filewatch.Burst{}
		if s.refresh(&r) {
			settled.Reset(s.timing.retry)
		}
		n.Follow(s.places())
		s.warnExpiring(time.Now())
	}
}

// retries is what is known of files that could not be used.
type retries struct {
	refused [32]byte // What they held.
	again   bool     // They are to be read once more before that is said.
}

// refresh reads the files, and says whether they shall be read once more soon:
// a pair of which one half is written yet looks like a mistake.
func (s *Store) refresh(r *retries) (again bool) {
	if r.again {
		r.refused = [32]byte{}
	}
	changed, err := s.reload(nil, &r.refused)
	switch {
	case changed:
		s.log.Info("certificates reloaded", slog.Int("certificates", len(s.Status())))
	case err == nil:
	case !r.again:
		r.again = true
		return true
	default:
		s.log.Error("the certificates were not reloaded; the old ones stay",
			slog.String("error", err.Error()))
	}
	r.again = false
	return false
}

// warnExpiring writes a line for each certificate that has not long to live.
func (s *Store) warnExpiring(now time.Time) {
	all := s.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range all {
		if c.NotAfter.IsZero() {
			continue
		}
		early := min(expiryWarning, c.NotAfter.Sub(c.NotBefore)/4)
		if left := c.NotAfter.Sub(now); left < early {
			verb := "expires"
			if left <= 0 {
				verb = "has expired"
			}
			s.warnLocked("the certificate of "+First(c.Names)+" "+verb+" at "+
				c.NotAfter.UTC().Format(time.RFC3339)+" ("+c.Source+")", now, expiryAgain)
		}
	}
}

// First returns the first name of a certificate, for people and metrics.
func First(names []string) string {
	if len(names) == 0 {
		return "no host"
	}
	return names[0]
}
