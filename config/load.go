package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	kmaps "github.com/knadh/koanf/maps"
	"github.com/knadh/koanf/v2"
)

// Options says where Load reads from. Empty members are left out.
type Options struct {
	File  string            // Path of the file.
	Env   []string          // NAME=value, as of os.Environ.
	Flags map[string]string // By path, as of FlagValues.
	Made  bool              // The program will put a certificate into TLS.Made.

	// Defaults are other ones than those of the settings, by path.
	Defaults map[string]string
}

// layer is one source of settings: text by path, and where each was found.
type layer struct{ values, sources map[string]string }

func newLayer() layer { return layer{map[string]string{}, map[string]string{}} }

func (l layer) put(path, value, source string) {
	l.values[path] = value
	l.sources[path] = source
}

// Read implements koanf.Provider.
func (l layer) Read() (map[string]any, error) {
	flat := make(map[string]any, len(l.values))
	for path, value := range l.values {
		flat[path] = value
	}
	return kmaps.Unflatten(flat, "."), nil
}

// ReadBytes implements koanf.Provider, which has no use for it here.
func (l layer) ReadBytes() ([]byte, error) { return nil, errors.ErrUnsupported }

// Load reads the settings and checks them all.
//
//	Errors: all that is wrong, joined; each is an *Error. The Config is the
//	        zero value then.
func Load(o Options) (Config, error) {
	c := Default()
	l := newLoader(o.Env)
	k := koanf.New(".")
	sources := map[string]string{}
	for _, read := range []func(*Config, Options) layer{l.defaults, l.file, l.environ, l.flags} {
		layer := read(&c, o)
		if err := k.Load(layer, nil); err != nil {
			l.fail(&Error{Text: err.Error()})
		}
		maps.Copy(sources, layer.sources)
	}
	for _, s := range c.settings() {
		if !k.Exists(s.path) {
			continue
		}
		if text := k.String(s.path); !s.set(text) || !s.valid() {
			l.fail(s.wrong(text, sources[s.path]))
		}
	}
	l.errs = append(l.errs, c.validateTogether(o.Made)...)
	if err := errors.Join(l.errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// loader collects what is wrong while the sources are read.
type loader struct {
	env   map[string]string
	known map[string]bool // Paths of settings.
	lists map[string]bool // Paths of those that are lists.
	paths []string        // The same as known in order.
	errs  []error
}

func newLoader(env []string) *loader {
	l := &loader{env: environment(env), known: map[string]bool{},
		lists: map[string]bool{}}
	for _, f := range Fields() {
		l.known[f.Path] = true
		l.lists[f.Path] = f.Kind == "list"
		l.paths = append(l.paths, f.Path)
	}
	return l
}

func (l *loader) fail(err *Error) { l.errs = append(l.errs, err) }

func environment(env []string) map[string]string {
	values := make(map[string]string, len(env))
	for _, entry := range env {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	return values
}

func (l *loader) defaults(_ *Config, o Options) layer {
	values := newLayer()
	for path, value := range o.Defaults {
		values.put(path, value, "default")
	}
	return values
}

// file reads the settings of a file, and the namespaces into c.
func (l *loader) file(c *Config, o Options) layer {
	if o.File == "" {
		return newLayer()
	}
	root, err := readTree(o.File)
	if err != nil {
		l.errs = append(l.errs, err)
		return newLayer()
	}
	return l.tree(c, o.File, root)
}

func (l *loader) tree(c *Config, file string, root *node) layer {
	values := newLayer()
	if root.kind != mapping && root.kind != null {
		l.errs = append(l.errs, fileError(file, root.line, "want a mapping of sections"))
		return values
	}
	sections := []string{"namespaces"}
	for _, path := range l.paths {
		section, _, _ := strings.Cut(path, ".")
		sections = append(sections, section)
	}
	seen := map[string]bool{}
	for _, m := range root.members {
		source := at(file, m.line)
		switch {
		case len(l.errs) > errorsMax:
			return values
		case seen[m.key]:
			l.fail(&Error{m.key, "given twice", source})
		case m.key == "namespaces":
			r := newNamespaceReader(snakeWords, file, l.env)
			c.Namespaces = r.definitions(m.value, m.key)
			r.check(c.Namespaces, root, samePath)
			l.errs = append(l.errs, r.errs...)
		case !slices.Contains(sections, m.key):
			l.fail(unknown(m.key, source, sections))
		default:
			l.section(c, values, m.key, m, file)
		}
		seen[m.key] = true
	}
	return values
}

// section puts the settings of one section of a file into a layer, those of
// sections within it too.
func (l *loader) section(c *Config, values layer, name string, section member, file string) {
	if k := section.value.kind; k != mapping && k != null {
		l.fail(&Error{name, "want a mapping, got " + k.String(), at(file, section.line)})
	}
	seen := map[string]bool{}
	for _, m := range section.value.members {
		path, source := name+"."+m.key, at(file, m.line)
		switch {
		case len(l.errs) > errorsMax:
			return
		case seen[m.key]:
			l.fail(&Error{path, "given twice", source})
		case path == certificatesPath:
			r := newNamespaceReader(snakeWords, file, l.env)
			c.TLS.Certificates = r.pairs(m.value, path)
			l.errs = append(l.errs, r.errs...)
		case l.isSection(path):
			l.section(c, values, path, m, file)
		case !l.known[path]:
			l.fail(unknown(path, source, append(l.paths, certificatesPath)))
		default:
			l.value(values, path, m.value, source)
		}
		seen[m.key] = true
	}
}

// value puts one setting into a layer, a list of values with commas between.
func (l *loader) value(values layer, path string, v *node, source string) {
	texts := []string{v.text}
	if v.kind == sequence && l.lists[path] {
		texts = nil
		for i, item := range v.items {
			if item.kind != scalar || strings.Contains(item.text, ",") || item.text == "" {
				l.fail(&Error{fmt.Sprintf("%s[%d]", path, i), "want a value", source})
				return
			}
			texts = append(texts, item.text)
		}
	} else if v.kind != scalar {
		l.fail(&Error{path, "want a value, got " + v.kind.String(), source})
		return
	}
	values.put(path, strings.Join(texts, ","), source)
}

// certificatesPath is a list of pairs, in a file only.
const certificatesPath = "tls.certificates"

func (l *loader) isSection(path string) bool {
	return slices.ContainsFunc(l.paths, func(p string) bool {
		return strings.HasPrefix(p, path+".")
	})
}

// pairs reads tls.certificates.
func (r *namespaceReader) pairs(n *node, path string) (all []KeyPair) {
	r.list(n, path, func(item *node, path string) {
		line := item.line
		m := r.members(item, path, "certificate", "key")
		pair := KeyPair{
			Certificate: r.text(m["certificate"], path+".certificate"),
			Key:         r.text(m["key"], path+".key"),
		}
		for _, f := range []struct{ name, text string }{
			{"certificate", pair.Certificate}, {"key", pair.Key},
		} {
			if f.text == "" || !isPath(f.text) {
				r.fail(path+"."+f.name, line, "want a PEM file, got %s", orNothing(f.text))
			}
		}
		all = append(all, pair)
	})
	if len(all) > listMax {
		r.fail(path, n.line, "want at most %d, got %d", listMax, len(all))
	}
	return all
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// environ reads the variables with our prefix. Those without a double
// underscore are none of ours: Kubernetes sets RELAYHOUSE_PORT and the like for
// a service of our name.
func (l *loader) environ(*Config, Options) layer {
	values := newLayer()
	paths, names := map[string]string{}, []string(nil)
	for _, path := range l.paths {
		paths[envName(path)] = path
		names = append(names, envName(path))
	}
	for _, name := range sortedKeys(l.env) {
		path, known := paths[name]
		switch {
		case known:
			values.put(path, l.env[name], name)
		case strings.HasPrefix(name, envPrefix) && strings.Contains(name, "__"):
			l.fail(unknown(name, "environment", names))
		}
	}
	return values
}

func (l *loader) flags(_ *Config, o Options) layer {
	values := newLayer()
	for _, path := range sortedKeys(o.Flags) {
		if !l.known[path] {
			l.fail(unknown(path, "flags", l.paths))
			continue
		}
		values.put(path, o.Flags[path], "--"+flagName(path))
	}
	return values
}
