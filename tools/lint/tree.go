package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// File is one parsed Go file.
type File struct {
	Path   string // relative to the repository, with forward slashes
	Source []byte
	Syntax *ast.File
}

// IsTest says whether the file is compiled into tests only.
func (f *File) IsTest() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Tree is every Go file of a source tree, by directory. Build tags are not
// looked at: a rule holds for all builds.
type Tree struct {
	Fset *token.FileSet
	Dirs map[string][]*File // directory relative to the root; "." is the root
}

// NewTree returns an empty tree, to be filled by Add.
func NewTree() *Tree {
	return &Tree{Fset: token.NewFileSet(), Dirs: map[string][]*File{}}
}

// Add parses source as the file at name, a slash-separated relative path.
func (t *Tree) Add(name string, source []byte) error {
	mode := parser.ParseComments | parser.SkipObjectResolution
	syntax, err := parser.ParseFile(t.Fset, name, source, mode)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	dir := path.Dir(name)
	t.Dirs[dir] = append(t.Dirs[dir], &File{Path: name, Source: source, Syntax: syntax})
	return nil
}

// Load reads all Go files below root, leaving out what the go command leaves
// out (testdata, vendor, names that start with a dot or underscore) and the
// packages of npm.
func Load(root string) (*Tree, error) {
	t := NewTree()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != root && isSkippedDir(d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return t.Add(filepath.ToSlash(relative), source)
	})
	if err != nil {
		return nil, fmt.Errorf("load source tree: %w", err)
	}
	return t, nil
}

func isSkippedDir(name string) bool {
	return name == "testdata" || name == "vendor" || name == "node_modules" ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

// sortedDirs returns the directories in a stable order.
func (t *Tree) sortedDirs() []string {
	dirs := make([]string, 0, len(t.Dirs))
	for dir := range t.Dirs {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs
}

// line returns the line number of pos.
func (t *Tree) line(pos token.Pos) int { return t.Fset.Position(pos).Line }
