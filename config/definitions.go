package config

import (
	"errors"
	"os"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
)

// ReadOption changes what ReadDefinitions does.
type ReadOption func(*namespaceReader)

// WithReferences lets keys be env:NAME, of an environment as of os.Environ, and
// file:PATH. It is for files of the operator: whoever may write them can make
// a key of any variable and of any small file that this process can read.
func WithReferences(env []string) ReadOption {
	return func(r *namespaceReader) { r.env = environment(env) }
}

// ReadDefinitions reads and checks the namespaces of a document: YAML or JSON
// with comments, with nothing but our namespaces at its top, or with the
// UserConfig of the Azure emulators, see docs/protocol.md, section 12.2. It reads no file and no
// environment unless WithReferences says so.
//
//	Shape:  name stands for the document in errors. text has at most 16 MiB,
//	        values 32 deep. A document without either top is an error, for it
//	        may be one that is being written; "namespaces: []" is none.
//	Errors: all that is wrong, joined; each is an *Error with the line.
//	Cost:   10,000 entities with two rules each, 5 MiB, take about half a
//	        second as YAML, and less as JSON.
func ReadDefinitions(
	name string, text []byte, options ...ReadOption,
) ([]namespace.Definition, error) {
	all, _, err := readDefinitions(name, text, options...)
	return all, err
}

// readDefinitions is ReadDefinitions that also returns the files that it has
// read for keys.
func readDefinitions(
	name string, text []byte, options ...ReadOption,
) (all []namespace.Definition, files sums, err error) {
	root, err := parseTree(name, text)
	if err != nil {
		return nil, nil, err
	}
	r := newNamespaceReader(snakeWords, name, nil)
	for _, option := range options {
		option(r)
	}
	if isEmulators(root) {
		r.words = pascalWords
		all = r.emulator(root)
	} else {
		all = r.ours(root)
	}
	if err := errors.Join(r.errs...); err != nil {
		return nil, r.files, err
	}
	return all, r.files, nil
}

// ours reads a document with namespaces alone.
func (r *namespaceReader) ours(root *node) []namespace.Definition {
	const path = "namespaces"
	m := r.members(root, "", path)
	if len(r.errs) > 0 {
		r.fail("", root.line, "want namespaces or UserConfig and nothing beside")
		return nil
	}
	r.wantList(m[path], root, path)
	all := r.definitions(m[path], path)
	r.check(all, root, samePath)
	return all
}

// wantList wants a list to be there: without it the document may have been cut.
func (r *namespaceReader) wantList(n, root *node, path string) {
	if len(r.errs) == 0 && (n == nil || n.kind == null) {
		r.fail(path, r.lineOf(root, path), "want a list, got nothing; [] is an empty one")
	}
}

// isEmulators tells the form of the emulators by its top.
func isEmulators(root *node) bool {
	for _, m := range root.members {
		if strings.EqualFold(m.key, "UserConfig") {
			return true
		}
	}
	return false
}

// LoadDefinitions is ReadDefinitions for a file of the operator, in which keys
// may be env:NAME and file:PATH.
func LoadDefinitions(path string) ([]namespace.Definition, error) {
	text, err := readFile(path, fileBytesMax)
	if err != nil {
		return nil, &Error{Text: err.Error()}
	}
	return ReadDefinitions(path, text, WithReferences(os.Environ()))
}
