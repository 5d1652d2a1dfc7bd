package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"unicode/utf8"
)

// Sizes where a reader should look twice (CONTRIBUTING.md, "Sizes"). They are
// enforced for code and reported for tests, where a long table is fine.
const (
	fileLinesMax = 800
	funcLinesMax = 70
	lineRunesMax = 100 // a tab counts as one
)

// CheckSizes returns what is too long: in code, which must be cut (or given a
// place in sizeExceptions with the reason), and in tests, for information.
func CheckSizes(t *Tree) (code, tests []string) {
	for _, dir := range t.sortedDirs() {
		for _, file := range t.Dirs[dir] {
			found := append(checkLines(file), checkFuncs(t, file)...)
			switch {
			case file.IsTest():
				tests = append(tests, found...)
			case sizeExceptions[file.Path] == "":
				code = append(code, found...)
			}
		}
	}
	return code, tests
}

// sizeExceptions names files that may be longer, with the reason.
var sizeExceptions = map[string]string{}

func checkLines(file *File) []string {
	var findings []string
	lines := bytes.Split(bytes.TrimSuffix(file.Source, []byte("\n")), []byte("\n"))
	if len(lines) > fileLinesMax {
		findings = append(findings, fmt.Sprintf("%s: %d lines, want at most %d: a file holds "+
			"one verb or noun", file.Path, len(lines), fileLinesMax))
	}
	for i, line := range lines {
		width := utf8.RuneCount(line)
		if width > lineRunesMax && !isDirective(line) {
			findings = append(findings, fmt.Sprintf("%s:%d: %d characters, want at most %d",
				file.Path, i+1, width, lineRunesMax))
		}
	}
	return findings
}

// isDirective says whether the line cannot be broken: a //go: comment.
func isDirective(line []byte) bool { return bytes.HasPrefix(line, []byte("//go:")) }

func checkFuncs(t *Tree, file *File) []string {
	var findings []string
	for _, decl := range file.Syntax.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		first, last := t.line(fn.Pos()), t.line(fn.End())
		if lines := last - first + 1; lines > funcLinesMax {
			findings = append(findings, fmt.Sprintf("%s:%d: func %s has %d lines, want at "+
				"most %d", file.Path, first, fn.Name.Name, lines, funcLinesMax))
		}
	}
	return findings
}
