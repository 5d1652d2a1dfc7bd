package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/metrics"
)

const root = "../.."

// pages returns the documentation by path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[file] = string(text)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}

// testNames returns the names of all test functions of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestDocumentedTestsExist(t *testing.T) {
	names := testNames(t)
	mentioned := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z0-9]\\w*)`")
	for page, text := range pages(t) {
		for _, m := range mentioned.FindAllStringSubmatch(text, -1) {
			if !names[m[1]] {
				t.Errorf("%s speaks of %s, which does not exist", page, m[1])
			}
		}
	}
}

func TestDocumentedFilesExist(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	source := regexp.MustCompile("`((?:[a-z]+/)+[a-z_]+\\.(?:go|md))`")
	for page, text := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
		for _, m := range source.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s speaks of %s: %v", page, m[1], err)
			}
		}
	}
}

// Whatever operators meet in metrics, logs and the closed history is on the
// page for them.
func TestOperatingPageIsComplete(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	want := func(kind, name string) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/operating.md lacks the %s %s", kind, name)
		}
	}
	for _, r := range metrics.CloseReasons() {
		want("close reason", r.String())
	}
	for _, r := range metrics.Roles() {
		want("role", r.String())
	}
	g := metrics.NewGateway()
	g.AuthFailure("code")
	g.Throttled("quota")
	zero := func() int { return 0 }
	families, err := metrics.NewRegistry(metrics.Sources{
		Loops: metrics.NewLoops(1), Gateway: g, Gauges: metrics.Gauges{
			Listeners: zero, Pending: zero, HeadBytes: func() int64 { return 0 },
			DescriptorsOpen: zero, DescriptorsMax: zero,
		},
	}).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "relay_") {
			want("metric", f.GetName())
		}
	}
	files, _ := filepath.Glob(root + "/gateway/*.go")
	event := regexp.MustCompile(`slog\.String\("event", "(\w+)"\)`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range event.FindAllStringSubmatch(string(source), -1) {
			want("event", m[1])
		}
	}
}
