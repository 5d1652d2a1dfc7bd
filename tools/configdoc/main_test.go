package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/config"
)

const settingsPage = "../../docs/configuration.md"

func TestPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	want, err := replace(page, table(config.Fields()))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != string(want) {
		t.Error("docs/configuration.md is stale; go run ./tools/configdoc docs/configuration.md")
	}
}

func TestTable(t *testing.T) {
	got := table([]config.Field{
		{Path: "a.one", Default: "1s", Range: "x | y", Doc: "first"},
		{Path: "a.two", Range: "any", Doc: "second"},
		{Path: "b.one", Default: "0", Range: "0–9", Doc: "third"},
	})
	for _, want := range []string{
		"### a\n", "| `a.one` | `1s` | x \\| y | first |\n", "| `a.two` | empty | any | second |\n",
		"### b\n", "| `b.one` | `0` | 0–9 | third |\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("table\n%s\nhas %q %d times", got, want, strings.Count(got, want))
		}
	}
}

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	for _, text := range []string{"", beginMark, endMark, endMark + beginMark} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{file}); err == nil {
			t.Errorf("no error for the page %q", text)
		}
	}
	if err := os.WriteFile(file, []byte("a\n"+beginMark+"outdated\n"+endMark+"z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{file}); err != nil {
		t.Fatal(err)
	}
	page, _ := os.ReadFile(file)
	if s := string(page); !strings.HasPrefix(s, "a\n"+beginMark) || strings.Contains(s, "outdated") ||
		!strings.HasSuffix(s, endMark+"z\n") || !strings.Contains(s, "`gateway.id`") {
		t.Errorf("page:\n%s", s)
	}
	if run(nil) == nil || run([]string{file + ".none"}) == nil {
		t.Error("no error without a page")
	}
}
