package config

import (
	"context"
	"crypto/sha256"
	"maps"
	"os"
	"time"

	"github.com/relayhouse/relayhouse/internal/filewatch"
	"github.com/relayhouse/relayhouse/namespace"
)

// watchTiming is when a file that changes is read. Tests have it shorter.
type watchTiming struct {
	quiet    time.Duration // Unchanged for twice this, it is taken as written.
	quietMax time.Duration // Bounds the wait for events to stop, and then for changes.
	poll     time.Duration // Between looks at a file that no event spoke of.
	pollOnly time.Duration // The same, where the system gives no events.
}

// usualWatch: editors and kubelet replace a file at once; copies over a network
// stall.
var usualWatch = watchTiming{
	quiet: 300 * time.Millisecond, quietMax: 10 * time.Second,
	poll: time.Minute, pollOnly: 5 * time.Second,
}

// Watch calls f with the definitions of a file, as of LoadDefinitions, at once
// and each time that the file, or one that a key is read from, has changed,
// until ctx is done. It does not matter how the file is replaced: written in
// place, renamed over, deleted and made again, or behind a symbolic link, as
// Kubernetes does it with a ConfigMap. Where the system gives no events, it is
// looked at every 5 seconds.
//
//	Shape:  a file that changes is left alone until it has been the same for
//	        0.6 s, so that one that is written in pieces is read when it is
//	        whole; one that never stops changing is read after 20 s.
//	Errors: f gets those of LoadDefinitions instead of definitions, once for
//	        each content; what it got before stays true.
//	Owner:  Watch returns when ctx is done, and calls f on its own goroutine.
//	        While f runs nothing is missed.
//	Cost:   a hash of the file each minute.
func Watch(ctx context.Context, path string, f func([]namespace.Definition, error)) {
	w := watch{path: path, report: f, timing: usualWatch}
	notices := filewatch.New()
	defer notices.Close()
	w.run(ctx, notices)
}

// watch belongs to the goroutine that runs it.
type watch struct {
	path   string
	report func([]namespace.Definition, error)
	timing watchTiming

	seen    sums      // What was read and reported last.
	noticed sums      // What was found afterwards.
	since   time.Time // When that began to differ from seen; zero while it does not.
}

// sums are hashes of files by their paths, or of why they cannot be read.
type sums map[string][sha256.Size]byte

func sumOf(b []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("cannot be read: " + err.Error()))
	}
	return sha256.Sum256(b)
}

// run reads the file, and reads it again when it has changed.
func (w *watch) run(ctx context.Context, n *filewatch.Notices) {
	every := w.timing.poll
	if n.Err() != nil {
		every = w.timing.pollOnly
	}
	poll := time.NewTicker(every)
	defer poll.Stop()
	settled := time.NewTimer(0) // The file may have changed before Follow.
	defer settled.Stop()
	var burst filewatch.Burst
	pending := true // settled will come.
	touch := func() {
		now := time.Now()
		burst.Touch(now)
		settled.Reset(burst.Wait(now, w.timing.quiet, w.timing.quietMax))
		pending = true
	}
	w.load()
	n.Follow(w.places())
	events, failures := n.Channels()
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
		case <-poll.C:
			if pending {
				continue
			}
		case <-settled.C:
			pending = false
		}
		burst = filewatch.Burst{}
		again := w.look(time.Now())
		if n.Follow(w.places()) || again {
			touch()
		}
	}
}

// look compares the files with what was read. One that differs is read when it
// is the same at two looks, and the first asks for another.
func (w *watch) look(now time.Time) (again bool) {
	found := make(sums, len(w.seen))
	for path := range w.seen {
		bytesMax := keyFileBytesMax
		if path == w.path {
			bytesMax = fileBytesMax
		}
		found[path] = sumOf(readFile(path, bytesMax))
	}
	switch {
	case maps.Equal(found, w.seen):
		w.since = time.Time{}
		return false
	case w.since.IsZero():
		w.since, w.noticed = now, found
		return true
	case !maps.Equal(found, w.noticed) && now.Sub(w.since) < w.timing.quietMax:
		w.noticed = found
		return true
	}
	w.since = time.Time{}
	w.load()
	return false
}

// load reads the file and reports what it says.
func (w *watch) load() {
	text, err := readFile(w.path, fileBytesMax)
	seen := sums{}
	var defs []namespace.Definition
	if err == nil {
		defs, seen, err = readDefinitions(w.path, text, WithReferences(os.Environ()))
		if seen == nil {
			seen = sums{} // The text could not be parsed.
		}
		seen[w.path] = sumOf(text, nil)
	} else {
		seen[w.path] = sumOf(nil, err)
		err = &Error{Text: err.Error()}
	}
	w.seen = seen
	w.report(defs, err)
}

// places returns what is to be watched.
func (w *watch) places() map[string]bool {
	all := make(map[string]bool)
	for path := range w.seen {
		for _, place := range filewatch.Trail(path) {
			all[place] = true
		}
	}
	return all
}
