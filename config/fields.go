package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// Field describes one setting, for help texts and documentation.
type Field struct {
	Path    string // Key in the file, sections joined with dots.
	Flag    string // Without the dashes.
	Env     string
	Kind    string // int, bytes, duration, bool, string or list.
	Default string
	Range   string
	Doc     string
}

// envPrefix begins the names of all variables of Relayhouse.
const envPrefix = "RELAYHOUSE_"

// shortFlags are the flags that are not named after their path.
var shortFlags = map[string]string{
	"listen.http":       "http",
	"listen.https":      "https",
	"admin.listen":      "admin",
	"management.listen": "management",
}

// Fields returns every setting in the order of Print. Namespaces are not among
// them: they come from a file.
func Fields() []Field {
	var c Config
	var all []Field
	for _, s := range c.settings() {
		all = append(all, Field{
			Path: s.path, Flag: flagName(s.path), Env: envName(s.path),
			Kind: s.kind, Default: s.def, Range: s.want, Doc: s.doc,
		})
	}
	return all
}

func flagName(path string) string {
	if short := shortFlags[path]; short != "" {
		return short
	}
	return strings.NewReplacer(".", "-", "_", "-").Replace(path)
}

func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "__"))
}

// RegisterFlags adds a flag for every setting. Values are checked by Load, so
// that a wrong one reads the same wherever it comes from.
func RegisterFlags(fs *pflag.FlagSet) {
	for _, f := range Fields() {
		usage := f.Doc + " (" + f.Range + ")"
		fs.Var(&flagValue{text: f.Default, kind: f.Kind}, f.Flag, usage)
		if f.Kind == "bool" {
			fs.Lookup(f.Flag).NoOptDefVal = "true"
		}
	}
}

// FlagValues returns the values of the flags that were given, by path: what
// Options.Flags wants. Flags that RegisterFlags did not add are left out.
func FlagValues(fs *pflag.FlagSet) map[string]string {
	values := make(map[string]string)
	for _, f := range Fields() {
		if flag := fs.Lookup(f.Flag); flag != nil && flag.Changed {
			values[f.Path] = flag.Value.String()
		}
	}
	return values
}

// flagValue is a pflag.Value that takes any text.
type flagValue struct{ text, kind string }

func (v *flagValue) String() string        { return v.text }
func (v *flagValue) Set(text string) error { v.text = text; return nil }
func (v *flagValue) Type() string          { return v.kind }

// nearest returns the candidate that most likely was meant by name, or "".
// Both are paths; the last part decides, and the section breaks ties, so that
// a key in the wrong section is found.
func nearest(name string, candidates []string) string {
	best, bestCost := "", 1<<30
	_, leaf := cutLast(name)
	for _, c := range candidates {
		_, candidateLeaf := cutLast(c)
		// Two errors in a short word, a third of a longer one.
		d := distance(leaf, candidateLeaf)
		if d > max(2, len(leaf)/3) || d >= len(candidateLeaf) {
			continue
		}
		if cost := 1000*d + distance(name, c); cost < bestCost {
			best, bestCost = c, cost
		}
	}
	return best
}

// cutLast splits a path before its last part.
func cutLast(path string) (section, leaf string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// distance is the number of bytes to insert, delete or replace to turn a into
// b. Long texts are not compared: nobody meant them.
func distance(a, b string) int {
	const bytesMax = 100
	if len(a) > bytesMax || len(b) > bytesMax {
		return bytesMax
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// unknown returns the error for a key that does not exist.
func unknown(path, source string, candidates []string) *Error {
	text := "unknown key"
	if meant := nearest(path, candidates); meant != "" {
		text += ", did you mean " + meant + "?"
	}
	return &Error{path, text, source}
}
