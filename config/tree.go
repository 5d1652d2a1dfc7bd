package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of files; beyond them there is an error that says so.
const (
	// fileBytesMax is about 25,000 entities with two rules each, written by
	// WriteDefinitions.
	fileBytesMax = 16 * mib
	// depthMax is far beyond what any known key needs.
	depthMax = 32
	// marksMax bounds what tooManyMarks counts, and so the time and the memory
	// that a file costs.
	marksMax = mib
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
//
//	Cost: linear in the text; 10,000 entities with two rules each, 5 MiB, take
//	      about 0.3 s as YAML.
func parseTree(name string, b []byte) (*node, error) {
	if len(b) > fileBytesMax {
		return nil, fileError(name, 1, "larger than "+formatSize(fileBytesMax))
	}
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if line := tooManyMarks(b); line > 0 {
		return nil, fileError(name, line, "too many values in one file")
	}
	if plain := plainJSON(b); bytes.HasPrefix(bytes.TrimSpace(plain), []byte("{")) {
		return parseJSON(name, plain)
	}
	return parseYAML(name, b)
}

// tooManyMarks counts what stands before values: a file has at most three nodes
// for each mark. It returns the line of the one beyond marksMax, or 0.
func tooManyMarks(b []byte) int {
	marks := 0
	for i, c := range b {
		switch c {
		case ',', '[', '{':
			marks++
		case '-', '?', ':':
			if i+1 == len(b) || b[i+1] <= ' ' {
				marks++
			}
		}
		if marks > marksMax {
			return 1 + bytes.Count(b[:i], []byte("\n"))
		}
	}
	return 0
}

func fileError(name string, line int, text string) error {
	return &Error{Text: text, Source: at(name, line)}
}

// at writes a place in a file.
func at(name string, line int) string { return fmt.Sprintf("%s:%d", name, line) }

func parseYAML(name string, b []byte) (root *node, err error) {
	defer func() {
		if recover() != nil { // The parser is not ours, and files are anyone's.
			root, err = nil, fileError(name, 1, "not YAML")
		}
	}()
	root = &node{line: 1}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	for first := true; ; first = false {
		var doc yaml.Node
		switch err := dec.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return root, nil
		case err != nil:
			return nil, yamlError(name, b, err)
		case len(doc.Content) == 0 || doc.Content[0].ShortTag() == "!!null":
		case !first:
			return nil, fileError(name, doc.Content[0].Line, "a second document; want one")
		default:
			if root, err = fromYAML(name, doc.Content[0], 0); err != nil {
				return nil, err
			}
		}
	}
}

// notSupported is the error for what only programs write into YAML.
const notSupported = "anchors, aliases and tags are not supported"

// yamlLine finds the line in an error of package yaml.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// yamlParserErrors are the messages with which package yaml counts lines from
// zero.
var yamlParserErrors = []string{
	"did not find expected ',' or ']'", "did not find expected ',' or '}'",
	"did not find expected '-' indicator", "did not find expected key",
	"did not find expected node content", "did not find expected <document start>",
}

// yamlError returns the message and the line. The messages quote nothing but
// the names of anchors, which could be parts of keys.
func yamlError(name string, b []byte, err error) error {
	m := yamlLine.FindStringSubmatch(err.Error())
	if m == nil {
		return fileError(name, 1, "not YAML")
	}
	line, _ := strconv.Atoi(m[1])
	if line == 0 || slices.Contains(yamlParserErrors, m[2]) {
		line++
	}
	text := m[2]
	if anchor, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		text = notSupported
		anchor = strings.TrimSuffix(anchor, "' referenced")
		line = 1 + bytes.Count(b[:max(bytes.Index(b, []byte("*"+anchor)), 0)], []byte("\n"))
	}
	// The parser sees the end of the text on a line of its own.
	last := 1 + bytes.Count(bytes.TrimRight(b, " \t\r\n"), []byte("\n"))
	return fileError(name, min(line, last), text)
}

func fromYAML(name string, y *yaml.Node, depth int) (*node, error) {
	n := &node{line: y.Line}
	if depth > depthMax {
		return nil, fileError(name, n.line, "nested too deep")
	}
	if y.Kind == yaml.AliasNode || y.Anchor != "" || y.Style&yaml.TaggedStyle != 0 {
		return nil, fileError(name, n.line, notSupported)
	}
	switch y.Kind {
	case yaml.ScalarNode:
		if y.Tag != "!!null" {
			n.kind, n.text = scalar, y.Value
		}
	case yaml.SequenceNode:
		n.kind = sequence
		n.items = make([]*node, 0, len(y.Content))
		for _, value := range y.Content {
			item, err := fromYAML(name, value, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
	case yaml.MappingNode:
		n.kind = mapping
		n.members = make([]member, 0, len(y.Content)/2)
		for i := 0; i+1 < len(y.Content); i += 2 {
			key, err := fromYAML(name, y.Content[i], depth+1)
			if err != nil {
				return nil, err
			}
			if key.kind != scalar {
				return nil, fileError(name, key.line, "a key is not a word")
			}
			item, err := fromYAML(name, y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, member{key.text, key.line, item})
		}
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
