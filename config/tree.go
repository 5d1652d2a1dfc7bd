package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds of files.
const (
	// fileBytesMax is about 80,000 entities with a rule each.
	fileBytesMax = 16 * mib
	// depthMax is far beyond what any known key needs.
	depthMax = 32
)

// kind is what a node of a file is.
type kind uint8

const (
	null kind = iota
	scalar
	mapping
	sequence
)

func (k kind) String() string {
	return [...]string{"nothing", "a value", "a mapping", "a list"}[k]
}

// node is a part of a file, YAML and JSON alike.
type node struct {
	kind    kind
	line    int
	text    string // Of a scalar: its value, without quotes.
	members []member
	items   []*node
}

type member struct {
	key   string
	line  int
	value *node
}

// readFile reads a file up to a bound. The error names the file and why, on
// one line.
func readFile(path string, bytesMax int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, int64(bytesMax)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > bytesMax {
		return nil, fmt.Errorf("%s: larger than %s", path, formatSize(int64(bytesMax)))
	}
	return b, nil
}

// readTree reads and parses a file.
func readTree(path string) (*node, error) {
	b, err := readFile(path, fileBytesMax)
	if err != nil {
		return nil, &Error{Path: "config", Text: err.Error()} // The flag that names the file.
	}
	return parseTree(path, b)
}

// parseTree reads YAML, or, when the first character is a brace, JSON with
// comments and trailing commas.
func parseTree(name string, b []byte) (*node, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if plain := plainJSON(b); bytes.HasPrefix(bytes.TrimSpace(plain), []byte("{")) {
		return parseJSON(name, plain)
	}
	return parseYAML(name, b)
}

func fileError(name string, line int, text string) error {
	return &Error{Text: text, Source: at(name, line)}
}

// at writes a place in a file.
func at(name string, line int) string { return fmt.Sprintf("%s:%d", name, line) }

func parseYAML(name string, b []byte) (*node, error) {
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		// Only the message and the line: the text around it may hold keys.
		var y yaml.Error
		if errors.As(err, &y) && y.GetToken() != nil {
			return nil, fileError(name, y.GetToken().Position.Line, y.GetMessage())
		}
		return nil, fileError(name, 1, "not YAML")
	}
	root := &node{line: 1}
	for i, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case i > 0:
			return nil, fileError(name, doc.Body.GetToken().Position.Line,
				"a second document; want one")
		default:
			if root, err = fromYAML(name, doc.Body, 0); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

func fromYAML(name string, y ast.Node, depth int) (*node, error) {
	if y == nil {
		return &node{}, nil
	}
	n := &node{line: y.GetToken().Position.Line}
	if depth > depthMax {
		return nil, fileError(name, n.line, "nested too deep")
	}
	switch y := y.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		n.kind, n.text = scalar, y.Value
	case *ast.LiteralNode:
		n.kind, n.text = scalar, y.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		n.kind, n.text = scalar, y.GetToken().Value
	case *ast.SequenceNode:
		n.kind = sequence
		for _, value := range y.Values {
			item, err := fromYAML(name, value, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case *ast.MappingNode:
		n.kind = mapping
		for _, value := range y.Values {
			key, err := fromYAML(name, value.Key, depth+1)
			if err != nil {
				return nil, err
			}
			if key.kind != scalar {
				return nil, fileError(name, key.line, "a key is not a word")
			}
			item, err := fromYAML(name, value.Value, depth+1)
			if err != nil {
				return nil, err
			}
			if item.line == 0 {
				item.line = key.line
			}
			n.members = append(n.members, member{key.text, key.line, item})
		}
	default:
		return nil, fileError(name, n.line, "anchors, aliases and tags are not supported")
	}
	return n, nil
}

// jsonReader turns the tokens of encoding/json into nodes.
type jsonReader struct {
	name string
	b    []byte
	dec  *json.Decoder
	line int   // Of offset.
	seen int64 // The offset up to which line counts.
}

func parseJSON(name string, b []byte) (*node, error) {
	r := &jsonReader{name: name, b: b, dec: json.NewDecoder(bytes.NewReader(b)), line: 1}
	r.dec.UseNumber()
	token, err := r.next()
	if err != nil {
		return nil, err
	}
	root, err := r.value(token, 0)
	if err != nil {
		return nil, err
	}
	if _, err := r.dec.Token(); err != io.EOF {
		return nil, fileError(name, r.here(), "text behind the closing brace")
	}
	return root, nil
}

// here returns the line that has been read up to.
func (r *jsonReader) here() int { return r.lineAt(r.dec.InputOffset()) }

func (r *jsonReader) lineAt(offset int64) int {
	offset = min(offset, int64(len(r.b)))
	if offset > r.seen {
		r.line += bytes.Count(r.b[r.seen:offset], []byte("\n"))
		r.seen = offset
	}
	return r.line
}

func (r *jsonReader) next() (json.Token, error) {
	token, err := r.dec.Token()
	if err == nil {
		return token, nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return nil, fileError(r.name, r.lineAt(syntax.Offset), "not JSON: "+syntax.Error())
	}
	return nil, fileError(r.name, r.lineAt(int64(len(r.b))), "not JSON: ends too early")
}

func (r *jsonReader) value(token json.Token, depth int) (*node, error) {
	n := &node{line: r.here()}
	if depth > depthMax {
		return nil, fileError(r.name, n.line, "nested too deep")
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			n.kind = sequence
		} else {
			n.kind = mapping
		}
		return n, r.children(n, depth)
	case string:
		n.kind, n.text = scalar, token
	case json.Number:
		n.kind, n.text = scalar, token.String()
	case bool:
		n.kind, n.text = scalar, fmt.Sprint(token)
	}
	return n, nil
}

// children reads up to the bracket that closes n.
func (r *jsonReader) children(n *node, depth int) error {
	for {
		token, err := r.next()
		if err != nil {
			return err
		}
		if token == json.Delim(']') || token == json.Delim('}') {
			return nil
		}
		m := member{line: r.here()}
		if n.kind == mapping {
			m.key, _ = token.(string)
			if token, err = r.next(); err != nil {
				return err
			}
		}
		if m.value, err = r.value(token, depth+1); err != nil {
			return err
		}
		if n.kind == mapping {
			n.members = append(n.members, m)
		} else {
			n.items = append(n.items, m.value)
		}
	}
}

// plainJSON returns b with comments and trailing commas turned into blanks.
// Line breaks and offsets stay where they are.
func plainJSON(b []byte) []byte {
	b = bytes.Clone(b)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	comma := -1 // Where the last comma is, if only blanks have followed.
	for i := 0; i < len(b); i++ {
		switch rest := b[i:]; {
		case b[i] == '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			comma = -1
		case bytes.HasPrefix(rest, []byte("//")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			blank(i, i+end)
		case bytes.HasPrefix(rest, []byte("/*")):
			end := bytes.Index(rest[2:], []byte("*/"))
			if end < 0 {
				return b // The slash is the error that the parser reports.
			}
			blank(i, i+2+end+2)
		case b[i] == ',':
			comma = i
		case b[i] == ']' || b[i] == '}':
			if comma >= 0 {
				b[comma] = ' '
			}
			comma = -1
		case b[i] != ' ' && b[i] != '\t' && b[i] != '\r' && b[i] != '\n':
			comma = -1
		}
	}
	return b
}
