package certificate

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
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

// linksMax bounds the symbolic links on the way to a file, as the kernel does.
const linksMax = 40

// trail returns the file and every symbolic link on the way to it, as absolute
// paths without further links in their directories. To put another file behind
// path, one of these must change. The first that does not exist is the last.
func trail(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var places []string
	at, rest := "/", strings.Split(path, "/")
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		stat, err := os.Lstat(next)
		if err != nil {
			return append(places, next)
		}
		if stat.Mode()&os.ModeSymlink == 0 {
			at = next
			continue
		}
		places = append(places, next)
		target, err := os.Readlink(next)
		if links++; err != nil || links > linksMax {
			return places
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return append(places, at)
}

// places returns what is to be watched: the trails of all files.
func (s *Store) places() map[string]bool {
	s.mu.Lock()
	pairs := s.pairs
	s.mu.Unlock()
	all := make(map[string]bool)
	add := func(path string) {
		for _, place := range trail(path) {
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

// notices are the events of the file system for some places.
type notices struct {
	watcher *fsnotify.Watcher // nil where the system gives none
	places  map[string]bool
}

// follow watches the directories of places, and no others.
func (n *notices) follow(places map[string]bool) {
	n.places = places
	if n.watcher == nil {
		return
	}
	wanted := make(map[string]bool)
	for place := range places {
		wanted[filepath.Dir(place)] = true
	}
	for _, dir := range n.watcher.WatchList() {
		if !wanted[dir] {
			_ = n.watcher.Remove(dir)
		}
	}
	for dir := range wanted {
		_ = n.watcher.Add(dir) // One that is not there comes with the poll.
	}
}

// channels returns nil ones, which are never ready, where there is no watcher.
func (n *notices) channels() (<-chan fsnotify.Event, <-chan error) {
	if n.watcher == nil {
		return nil, nil
	}
	return n.watcher.Events, n.watcher.Errors
}

// debounce finds the time to act after a burst of events.
type debounce struct{ first, last time.Time }

func (d *debounce) touch(now time.Time) {
	if d.first.IsZero() {
		d.first = now
	}
	d.last = now
}

// wait is how long until it is time, at least 0.
func (d *debounce) wait(now time.Time, t timing) time.Duration {
	at := d.last.Add(t.quiet)
	if most := d.first.Add(t.quietMax); most.Before(at) {
		at = most
	}
	return max(0, at.Sub(now))
}

// watch reads files again when they have changed, and warns of certificates
// that expire, until ctx is done. Where the system has no more watches to
// give, the poll finds every change.
func (s *Store) watch(ctx context.Context) {
	var n notices
	var err error
	if n.watcher, err = fsnotify.NewWatcher(); err != nil {
		s.log.Warn("certificate files cannot be watched; they are read every minute",
			slog.String("error", err.Error()))
	} else {
		defer n.watcher.Close() //nolint:errcheck // nothing is lost
	}
	n.follow(s.places())
	events, failures := n.channels()
	poll := time.NewTicker(s.timing.poll)
	defer poll.Stop()
	settled := time.NewTimer(0) // Changes since New are seen at once.
	defer settled.Stop()
	var burst debounce
	var r retries
	s.warnExpiring(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if n.places[e.Name] {
				burst.touch(time.Now())
				settled.Reset(burst.wait(time.Now(), s.timing))
			}
			continue
		case <-failures: // Events were lost.
			burst.touch(time.Now())
			settled.Reset(burst.wait(time.Now(), s.timing))
			continue
		case <-s.moved:
			n.follow(s.places())
			continue
		case <-settled.C:
		case <-poll.C:
		}
		burst = debounce{}
		if s.refresh(&r) {
			settled.Reset(s.timing.retry)
		}
		n.follow(s.places())
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
