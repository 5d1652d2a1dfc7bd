package filewatch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// linksMax bounds the symbolic links on the way to a file, as the kernel does.
const linksMax = 40

// Trail returns the file and every symbolic link on the way to it, as absolute
// paths without further links in their directories. To put another file behind
// path, one of these must change. The first that does not exist is the last.
func Trail(path string) []string {
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

// Notices are the events of the file system that concern some places. The zero
// Notices has no events. It is for one goroutine.
type Notices struct {
	watcher *fsnotify.Watcher // nil where the system gives none
	err     error             // Why it gives none.
	places  map[string]bool
}

// New returns Notices that follow nothing yet. Where the system has reached its
// limit for a user, they have no events, and Err says why.
//
//	Owner: the one who called closes them.
func New() *Notices {
	var n Notices
	n.watcher, n.err = fsnotify.NewWatcher()
	return &n
}

// Err returns why there are no events, nil if there are.
func (n *Notices) Err() error { return n.err }

// Close ends the events.
func (n *Notices) Close() {
	if n.watcher != nil {
		_ = n.watcher.Close() // nothing is lost
	}
}

// Follow watches the directories of places, such as those of Trail, and no
// others. It says whether there is one more than before: what has happened there
// in the meantime is not known.
func (n *Notices) Follow(places map[string]bool) (more bool) {
	n.places = places
	if n.watcher == nil {
		return false
	}
	wanted := make(map[string]bool)
	for place := range places {
		wanted[filepath.Dir(place)] = true
	}
	had := n.watcher.WatchList()
	for _, dir := range had {
		if !wanted[dir] {
			_ = n.watcher.Remove(dir)
		}
	}
	for dir := range wanted {
		// A directory that is not there is on the trail of another one.
		err := n.watcher.Add(dir)
		more = more || err == nil && !slices.Contains(had, dir)
	}
	return more
}

// Concerns says whether an event is about one of the places.
func (n *Notices) Concerns(e fsnotify.Event) bool { return n.places[e.Name] }

// Channels returns events, of more than the places, and errors, after which
// some are missing. Without events they are nil, which is never ready.
func (n *Notices) Channels() (<-chan fsnotify.Event, <-chan error) {
	if n.watcher == nil {
		return nil, nil
	}
	return n.watcher.Events, n.watcher.Errors
}

// Burst finds the time to act after a burst of events. The zero Burst has seen
// none.
type Burst struct{ first, last time.Time }

// Touch notes an event.
func (b *Burst) Touch(now time.Time) {
	if b.first.IsZero() {
		b.first = now
	}
	b.last = now
}

// Wait is how long until nothing has happened for the time quiet, or events have
// gone on for the time quietMax; at least 0.
func (b *Burst) Wait(now time.Time, quiet, quietMax time.Duration) time.Duration {
	at := b.last.Add(quiet)
	if most := b.first.Add(quietMax); most.Before(at) {
		at = most
	}
	return max(0, at.Sub(now))
}
