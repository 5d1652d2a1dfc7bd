package lint

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// repository loads the tree that this package is part of.
func repository(t *testing.T) *Tree {
	t.Helper()
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Dirs["tools/lint"]) == 0 {
		t.Fatal("the repository was not found at ../..")
	}
	return tree
}

func report(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

func TestLayers(t *testing.T) { report(t, CheckLayers(repository(t))) }

func TestWords(t *testing.T) { report(t, CheckWords(repository(t))) }

func TestDocs(t *testing.T) { report(t, CheckDocs(repository(t))) }

func TestSizes(t *testing.T) {
	code, tests := CheckSizes(repository(t))
	report(t, code)
	for _, finding := range tests {
		t.Log("for information: ", finding)
	}
}

// planted builds a tree from file names and sources.
func planted(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	tree := NewTree()
	for name, source := range files {
		if err := tree.Add(name, []byte(source)); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// wantFindings compares findings with the text that each must contain, in
// order.
func wantFindings(t *testing.T, findings []string, want ...string) {
	t.Helper()
	if len(findings) != len(want) {
		t.Fatalf("findings:\n%s\nwant %d", strings.Join(findings, "\n"), len(want))
	}
	for i, finding := range findings {
		if !strings.Contains(finding, want[i]) {
			t.Errorf("finding %q does not contain %q", finding, want[i])
		}
	}
}

func TestCheckLayersFindsPlantedEdges(t *testing.T) {
	tests := []struct {
		name, file, imports string
		want                []string
	}{
		{"down", "gateway/a.go", "engine", nil},
		{"two levels down", "node/a.go", "wsframe", nil},
		{"other module", "engine/a.go", "", nil},
		{"up", "engine/a.go", "gateway", []string{"engine (L1) -> gateway (L3)"}},
		{"same level", "admin/a.go", "gateway", []string{"admin (L3) -> gateway (L3)"}},
		{"rule", "engine/a.go", "hyco", []string{"knows nothing of Azure"}},
		{"sub-package", "engine/simnet/a.go", "engine", nil},
		{"example", "examples/echo/a.go", "engine", []string{"public packages only"}},
		{"example of public package", "examples/echo/a.go", "sas", nil},
		{"among internal", "internal/leak/a.go", "internal/clock", nil},
		{"internal to code", "internal/leak/a.go", "metrics", []string{"(L-1) -> metrics (L0)"}},
		{"unknown importer", "novel/a.go", "sas", []string{"novel has no layer"}},
		{"unknown target", "gateway/a.go", "novel", []string{"novel has no layer"}},
		{"test file", "engine/a_test.go", "gateway", nil},
		{"own module", "interop/a.go", "gateway", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := "example.org/other"
			if tt.imports != "" {
				target = modulePath + "/" + tt.imports
			}
			source := fmt.Sprintf("package a\n\nimport _ %q\n", target)
			tree := planted(t, map[string]string{tt.file: source})
			wantFindings(t, CheckLayers(tree), tt.want...)
		})
	}
}

func TestCheckSizesFindsPlantedExcess(t *testing.T) {
	longFunc := "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", funcLinesMax-1) + "}\n"
	goodFunc := "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", funcLinesMax-2) + "}\n"
	longLine := "package a\n\n// " + strings.Repeat("x", lineRunesMax-2) + "\n"
	goodLine := "package a\n\n// " + strings.Repeat("ü", lineRunesMax-3) + "\n"
	longFile := "package a\n" + strings.Repeat("\n", fileLinesMax-1) + "// end\n"
	code, tests := CheckSizes(planted(t, map[string]string{
		"a/func.go": longFunc, "b/line.go": longLine, "c/file.go": longFile,
		"d/func.go": goodFunc, "e/line.go": goodLine, "f/func_test.go": longFunc,
	}))
	wantFindings(t, code, "func f has 71 lines", "101 characters", "801 lines")
	wantFindings(t, tests, "func_test.go:3: func f has 71 lines")
}

func TestCheckWordsFindsPlantedWords(t *testing.T) {
	tests := []struct {
		name, source string
		want         []string
	}{
		{"clean", "type Listener struct{ ID string }", nil},
		{"type", "type ConnManager struct{}", []string{`"manager"`}},
		{"field", "type T struct{ tenantID string }", []string{`"namespace", not "tenant"`}},
		{"parameter", "func f(upstream string) {}", []string{`"listener"`}},
		{"variable", "func f() { brokerURLs := 1; _ = brokerURLs }", []string{`"gateway"`}},
		{"range", "func f(m []int) { for _, agent := range m { _ = agent } }",
			[]string{`"listener"`}},
		{"plural", "var policies, accounts int", []string{`"policies"`, `"accounts"`}},
		{"part of a word", "var accountable, bridgehead int", nil},
		{"another's identifier", "func f() { f2(x.Manager) }", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := planted(t, map[string]string{"a/a.go": "package a\n" + tt.source + "\n"})
			wantFindings(t, CheckWords(tree), tt.want...)
		})
	}
	tree := planted(t, map[string]string{"util/a.go": "package util\n"})
	wantFindings(t, CheckWords(tree), `package name "util"`)
}

func TestCheckDocsFindsPlantedGaps(t *testing.T) {
	const good = "// Package a is a tour. The package may\n// change.\npackage a\n"
	tests := []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"good", map[string]string{"a/doc.go": good}, nil},
		{"tests only", map[string]string{"a/a_test.go": "package a\n"}, nil},
		{"missing", map[string]string{"a/a.go": good}, []string{"no doc.go"}},
		{"wrong start", map[string]string{"a/doc.go": "// A tour.\npackage a\n"},
			[]string{`begins with "Package a"`}},
		{"no promise", map[string]string{"a/doc.go": "// Package a is.\npackage a\n"},
			[]string{"may change"}},
		{"importable", map[string]string{"sas/doc.go": "// Package sas is.\npackage sas\n"},
			nil},
		{"command", map[string]string{"cmd/c/main.go": "// C does.\npackage main\n"}, nil},
		{"mute command", map[string]string{"cmd/c/main.go": "package main\n"},
			[]string{"what the command does"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantFindings(t, CheckDocs(planted(t, tt.files)), tt.want...)
		})
	}
}

func TestSplitWords(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"x", []string{"x"}},
		{"queueBytesMax", []string{"queue", "bytes", "max"}},
		{"HTTPServer", []string{"http", "server"}},
		{"listenerIDs", []string{"listener", "ids"}},
		{"ParseURL", []string{"parse", "url"}},
		{"test_name2Go", []string{"test", "name", "go"}},
		{"_", nil},
	}
	for _, tt := range tests {
		if got := splitWords(tt.name); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("splitWords(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}
