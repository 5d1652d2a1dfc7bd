package filewatch

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// TestTrail: every link on the way, loops included.
func TestTrail(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(in("real/deep"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("real/deep/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"up": "real/deep/../deep/file", "dir": in("real"), "two": "dir/deep", "loop": "loop", "gone": "nothing",
	} {
		if err := os.Symlink(target, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string][]string{
		"real/deep/file": {"real/deep/file"},
		"up":             {"up", "real/deep/file"},
		"two/file":       {"two", "dir", "real/deep/file"},
		"gone":           {"gone", "nothing"},
		"missing/x":      {"missing"},
	} {
		for i := range want {
			want[i] = in(want[i])
		}
		if got := Trail(in(path)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if n := len(Trail(in("loop"))); n != linksMax+1 {
		t.Errorf("a loop has %d places", n)
	}
}

// TestBurst: files that are written for ever are read all the same.
func TestBurst(t *testing.T) {
	const quiet, quietMax = 300 * time.Millisecond, 3 * time.Second
	var b Burst
	now := time.Now()
	b.Touch(now)
	if got := b.Wait(now, quiet, quietMax); got != quiet {
		t.Errorf("first event: %v", got)
	}
	end := now.Add(quietMax)
	for ; now.Before(end.Add(time.Second)); now = now.Add(100 * time.Millisecond) {
		b.Touch(now)
		if got := now.Add(b.Wait(now, quiet, quietMax)); got.After(end) && now.Before(end) {
			t.Fatalf("%v after the first event", got.Sub(end))
		}
	}
	if got := b.Wait(now, quiet, quietMax); got != 0 {
		t.Errorf("after all: %v", got)
	}
}

// TestNotices: events of the places, and of no other file.
func TestNotices(t *testing.T) {
	n := New()
	defer n.Close()
	if n.Err() != nil {
		t.Fatal(n.Err())
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if !n.Follow(map[string]bool{file: true}) || n.Follow(map[string]bool{file: true}) {
		t.Error("the directory is new the first time alone")
	}
	if n.Follow(map[string]bool{file: true, filepath.Join(dir, "none", "file"): true}) {
		t.Error("a directory that is not there is watched")
	}
	for _, name := range []string{"other", "file"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	events, _ := n.Channels()
	for e := range events {
		if n.Concerns(e) != (e.Name == file) {
			t.Errorf("%v", e)
		}
		if e.Name == file {
			break
		}
	}
	n.Follow(nil)
	if dirs := n.watcher.WatchList(); len(dirs) > 0 {
		t.Errorf("still watched: %q", dirs)
	}
}

func TestNoticesOfNothing(t *testing.T) {
	var n Notices
	defer n.Close()
	events, failures := n.Channels()
	if n.Follow(map[string]bool{"/": true}) || events != nil || failures != nil ||
		!n.Concerns(fsnotify.Event{Name: "/"}) {
		t.Error("there are no events")
	}
}
