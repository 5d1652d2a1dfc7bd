package lint

import (
	"fmt"
	"path"
	"strings"
)

// importable are the packages that other projects may depend on; all others
// say in their doc.go that they may change.
var importable = []string{"hyco", "sas", "relayclient", "relaytest"}

// CheckDocs returns one finding per package without a package comment in the
// right place: doc.go, or for a command any of its files.
func CheckDocs(t *Tree) []string {
	var findings []string
	for _, dir := range t.sortedDirs() {
		code := codeFiles(t.Dirs[dir])
		if len(code) == 0 {
			continue
		}
		if code[0].Syntax.Name.Name == "main" {
			if packageComment(code) == "" {
				findings = append(findings, fmt.Sprintf("%s: no comment says what the "+
					"command does", dir))
			}
			continue
		}
		findings = append(findings, checkDoc(dir, code)...)
	}
	return findings
}

func checkDoc(dir string, code []*File) []string {
	for _, file := range code {
		if path.Base(file.Path) != "doc.go" {
			continue
		}
		text := packageComment([]*File{file})
		switch {
		case !strings.HasPrefix(text, "Package "+file.Syntax.Name.Name+" "):
			return []string{fmt.Sprintf("%s: the comment begins with %q", file.Path,
				"Package "+file.Syntax.Name.Name)}
		case !isImportable(dir) && !strings.Contains(text, "may change"):
			return []string{fmt.Sprintf("%s: end the tour by saying that the package "+
				"may change", file.Path)}
		}
		return nil
	}
	return []string{fmt.Sprintf("%s: the package has no doc.go", dir)}
}

// packageComment returns the package comments of the files, with line breaks
// turned into blanks so that phrases can be searched for.
func packageComment(files []*File) string {
	var text []string
	for _, file := range files {
		if file.Syntax.Doc != nil {
			text = append(text, strings.Fields(file.Syntax.Doc.Text())...)
		}
	}
	return strings.Join(text, " ")
}

func codeFiles(files []*File) []*File {
	var code []*File
	for _, file := range files {
		if !file.IsTest() {
			code = append(code, file)
		}
	}
	return code
}

func isImportable(dir string) bool {
	for _, name := range importable {
		if dir == name {
			return true
		}
	}
	return false
}
