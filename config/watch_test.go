package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/internal/filewatch"
	"github.com/relayhouse/relayhouse/namespace"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// report is one call of the function that Watch calls.
type report struct {
	names string // Of the namespaces and their rules' keys.
	err   string
}

func reported(defs []namespace.Definition, err error) report {
	if err != nil {
		return report{err: err.Error()}
	}
	var names []string
	for _, d := range defs {
		names = append(names, d.Name)
		for _, r := range d.Rules {
			names = append(names, r.PrimaryKey)
		}
	}
	return report{names: strings.Join(names, " ")}
}

// watching runs a watch of a file with quick timing, and returns its reports.
func watching(t *testing.T, path string, n *filewatch.Notices, timing watchTiming) <-chan report {
	t.Helper()
	reports := make(chan report, 100)
	w := watch{path: path, timing: timing, report: func(defs []namespace.Definition, err error) {
		reports <- reported(defs, err)
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.run(ctx, n)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		n.Close()
	})
	return reports
}

// next waits until a report is as wanted. Others may come before it: the file
// may have been read while it was not there.
func next(t *testing.T, reports <-chan report, want report) {
	t.Helper()
	stuck := time.After(patience)
	for {
		select {
		case got := <-reports:
			if got == want {
				return
			}
			if got.err == "" {
				t.Errorf("got %+v, want %+v", got, want)
			}
		case <-stuck:
			t.Fatalf("waited %v in vain for %+v", patience, want)
		}
	}
}

// put writes a file in place.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// configMap puts a version of a file into a directory as kubelet does: the file
// is a link to ..data/, which is a link to a directory and is replaced.
func configMap(t *testing.T, dir, version, text string) (path string) {
	t.Helper()
	must(t, os.Mkdir(filepath.Join(dir, version), 0o700))
	put(t, filepath.Join(dir, version, "namespaces.yaml"), text)
	must(t, os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	path = filepath.Join(dir, "namespaces.yaml")
	if _, err := os.Lstat(path); err != nil {
		must(t, os.Symlink("..data/namespaces.yaml", path))
	}
	return path
}

func named(name string) string { return "namespaces: [{name: " + name + "}]\n" }

// TestWatch: the ways in which a file is replaced. The poll never comes.
func TestWatch(t *testing.T) {
	quick := watchTiming{quiet: 5 * time.Millisecond, quietMax: patience, poll: time.Hour}
	for name, replace := range map[string]func(t *testing.T, dir, path, text string){
		"written in place": func(t *testing.T, _, path, text string) { put(t, path, text) },
		"renamed over": func(t *testing.T, dir, path, text string) {
			put(t, filepath.Join(dir, "next"), text)
			must(t, os.Rename(filepath.Join(dir, "next"), path))
		},
		"deleted and made again": func(t *testing.T, _, path, text string) {
			must(t, os.Remove(path))
			put(t, path, text)
		},
		"directory deleted and made again": func(t *testing.T, dir, path, text string) {
			must(t, os.RemoveAll(dir))
			must(t, os.Mkdir(dir, 0o700))
			put(t, path, text)
		},
		"ConfigMap": func(t *testing.T, dir, _, text string) {
			configMap(t, dir, "..version"+fmt.Sprint(len(text)), text)
		},
		"link to another file": func(t *testing.T, dir, path, text string) {
			other := filepath.Join(t.TempDir(), "other")
			put(t, other, text)
			must(t, os.Symlink(other, filepath.Join(dir, "link")))
			must(t, os.Rename(filepath.Join(dir, "link"), path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "etc")
			must(t, os.Mkdir(dir, 0o700))
			path := filepath.Join(dir, "namespaces.yaml")
			if name == "ConfigMap" {
				configMap(t, dir, "..first", named("first"))
			} else {
				put(t, path, named("first"))
			}
			n := filewatch.New()
			must(t, n.Err())
			reports := watching(t, path, n, quick)
			next(t, reports, report{names: "first"})
			for _, again := range []string{"second", "number-three", "the-fourth-of-them"} {
				replace(t, dir, path, named(again))
				next(t, reports, report{names: again})
			}
			must(t, os.Remove(path))
			next(t, reports, report{err: "open " + path + ": no such file or directory"})
		})
	}
}

// TestWatchWithoutEvents: the poll finds what changes.
func TestWatchWithoutEvents(t *testing.T) {
	path := write(t, "namespaces.yaml", named("first"))
	reports := watching(t, path, &filewatch.Notices{}, watchTiming{
		quiet: time.Millisecond, quietMax: patience, poll: 5 * time.Millisecond,
	})
	next(t, reports, report{names: "first"})
	put(t, path, named("second"))
	next(t, reports, report{names: "second"})
}

// TestWatchPublic: with its usual timing, from the first report to an error.
func TestWatchPublic(t *testing.T) {
	path := write(t, "namespaces.yaml", named("first"))
	ctx, cancel := context.WithCancel(context.Background())
	reports, done := make(chan report, 100), make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, path, func(defs []namespace.Definition, err error) {
			reports <- reported(defs, err)
		})
	}()
	next(t, reports, report{names: "first"})
	put(t, path, named("a_b"))
	next(t, reports, report{err: "namespaces[0].name: want 1–50 letters, digits and hyphens, " +
		`no hyphen at an end, got "a_b" (` + path + ":1)"})
	cancel()
	<-done
}

// TestLook: step by step, what is read and what is left alone.
func TestLook(t *testing.T) {
	now := time.Now()
	var reports []report
	path := write(t, "namespaces.yaml", named("first"))
	key := write(t, "key", "k1\n")
	w := watch{path: path, timing: usualWatch, report: func(d []namespace.Definition, err error) {
		reports = append(reports, reported(d, err))
	}}
	// look looks once, and wants these reports.
	look := func(again bool, want ...report) {
		t.Helper()
		reports = nil
		now = now.Add(usualWatch.quiet)
		if got := w.look(now); got != again || fmt.Sprint(reports) != fmt.Sprint(want) {
			t.Errorf("again %v, reports %+v; want %v, %+v", got, reports, again, want)
		}
	}
	w.load()
	look(false)

	// In pieces: the first would be good.
	half := "namespaces:\n- name: second\n"
	put(t, path, half)
	look(true)
	put(t, path, half+"- name: ")
	look(true)
	put(t, path, half+"- name: third\n")
	look(true)
	look(false, report{names: "second third"})
	look(false)

	// A piece that stays is an error, once. An empty file is one, too.
	put(t, path, "namespaces:\n- name: second\n  hosts: [")
	look(true)
	look(false, report{err: "did not find expected node content (" + path + ":3)"})
	look(false)
	put(t, path, "")
	look(true)
	look(false, report{err: "namespaces: want a list, got nothing; [] is an empty one (" + path + ":1)"})

	// Back to what it was before the look: nothing has happened.
	put(t, path, named("a"))
	look(true)
	put(t, path, "")
	look(false)

	// A key from a file that changes, goes and comes.
	put(t, path, "namespaces: [{name: a, authorization_rules: "+
		"[{name: r, rights: [Send], primary_key: 'file:"+key+"'}]}]\n")
	look(true)
	look(false, report{names: "a k1"})
	put(t, key, "k2\n")
	look(true)
	look(false, report{names: "a k2"})
	must(t, os.Remove(key))
	look(true)
	look(false, report{err: "namespaces[0].authorization_rules[0].primary_key: open " + key +
		": no such file or directory (" + path + ":1)"})
	put(t, key, "k3\n")
	look(true)
	look(false, report{names: "a k3"})
	if len(w.places()) < 2 {
		t.Errorf("watched: %v", w.places())
	}

	// One that never stops is read all the same.
	put(t, path, named("n0"))
	look(true)
	for i := 1; now.Sub(w.since) < usualWatch.quietMax-usualWatch.quiet; i++ {
		put(t, path, named(fmt.Sprint("n", i)))
		look(true)
	}
	put(t, path, named("last"))
	look(false, report{names: "last"})

	// Too large, and no file at all.
	put(t, path, strings.Repeat(" ", fileBytesMax+1))
	look(true)
	look(false, report{err: path + ": larger than 16MiB"})
	must(t, os.Remove(path))
	look(true)
	look(false, report{err: "open " + path + ": no such file or directory"})
	put(t, path, named("back"))
	look(true)
	look(false, report{names: "back"})
}
