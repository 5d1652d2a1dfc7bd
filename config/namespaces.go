package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

const (
	// keyFileBytesMax bounds file:PATH; real keys have 44 characters.
	keyFileBytesMax = 4 * kib
	// keyMask is what Print writes for a key, and what must not become one.
	keyMask = "***"
)

// words are the names of the members of a namespace: ours, or those of the
// Azure emulators.
type words struct {
	name, hosts, rules, rights, primaryKey, secondaryKey string
	entities, clientAuthorization, userMetadata          string

	// Empty where there is no such member.
	listenersMax                           string
	responseTimeout, bodyGap, httpDelivery string // Of HTTP requests.

	properties string // Holds the members of an entity but name and rules.
	kind       string // Of a namespace; it must be a relay.

	foldCase bool              // Letter case does not matter.
	notYet   map[string]string // Members of a namespace that have no effect yet.
}

var snakeWords = words{
	name: "name", hosts: "hosts", rules: "authorization_rules", rights: "rights",
	primaryKey: "primary_key", secondaryKey: "secondary_key",
	entities: "hybrid_connections", clientAuthorization: "requires_client_authorization",
	userMetadata: "user_metadata", listenersMax: "listeners_max",
	responseTimeout: "http_response_timeout", bodyGap: "http_body_gap",
	httpDelivery: "http_delivery",
}

// namespaceReader turns parts of a file into definitions. It goes on after an
// error, so that all are reported at once.
type namespaceReader struct {
	words words
	file  string
	env   map[string]string
	lines map[string]int // Of what has been read, by path.
	errs  []error
}

func newNamespaceReader(w words, file string, env map[string]string) *namespaceReader {
	return &namespaceReader{words: w, file: file, env: env, lines: map[string]int{}}
}

func (r *namespaceReader) fail(path string, line int, format string, args ...any) {
	r.errs = append(r.errs, &Error{path, fmt.Sprintf(format, args...), at(r.file, line)})
}

// members returns the members of a mapping by their known names.
func (r *namespaceReader) members(n *node, path string, known ...string) map[string]*node {
	found := make(map[string]*node)
	if n == nil || n.kind == null {
		return found
	}
	if n.kind != mapping {
		r.fail(path, n.line, "want a mapping, got %v", n.kind)
		return found
	}
	for _, m := range n.members {
		key := r.canonical(m.key, known)
		memberPath := join(path, m.key)
		switch {
		case found[key] != nil:
			r.fail(memberPath, m.line, "given twice")
		case !slices.Contains(known, key):
			r.errs = append(r.errs, r.notKnown(path, m, known))
		default:
			found[key] = m.value
			r.lines[join(path, key)] = m.line
		}
	}
	return found
}

// canonical returns the known name that key is a spelling of, or key.
func (r *namespaceReader) canonical(key string, known []string) string {
	if r.words.foldCase {
		for _, name := range known {
			if strings.EqualFold(key, name) {
				return name
			}
		}
	}
	return key
}

// notKnown returns the error for a member that is not known, or not yet.
func (r *namespaceReader) notKnown(path string, m member, known []string) *Error {
	candidates := make([]string, len(known))
	for i, name := range known {
		candidates[i] = join(path, name)
	}
	source := at(r.file, m.line)
	for name, instead := range r.words.notYet {
		if strings.EqualFold(m.key, name) {
			return &Error{join(path, m.key), "not yet: " + instead, source}
		}
	}
	return unknown(join(path, m.key), source, candidates)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// list calls f for each item of a list.
func (r *namespaceReader) list(n *node, path string, f func(item *node, path string)) {
	if n == nil || n.kind == null {
		return
	}
	if n.kind != sequence {
		r.fail(path, n.line, "want a list, got %v", n.kind)
		return
	}
	for i, item := range n.items {
		path := path + "[" + strconv.Itoa(i) + "]"
		r.lines[path] = item.line
		f(item, path)
	}
}

// text returns the value of a scalar, or "" when it is absent.
func (r *namespaceReader) text(n *node, path string) string {
	if n == nil {
		return ""
	}
	if n.kind != scalar {
		r.fail(path, n.line, "want a value, got %v", n.kind)
	}
	return n.text
}

func (r *namespaceReader) definitions(n *node, path string) []namespace.Definition {
	var all []namespace.Definition
	r.list(n, path, func(item *node, path string) {
		all = append(all, r.definition(item, path))
	})
	return all
}

func (r *namespaceReader) definition(n *node, path string) namespace.Definition {
	w := &r.words
	known := []string{w.name, w.hosts, w.rules, w.entities}
	if w.kind != "" {
		known = append(known, w.kind)
	}
	m := r.members(n, path, known...)
	if n := m[w.kind]; n != nil && !strings.EqualFold(n.text, "Relay") {
		r.fail(join(path, w.kind), n.line, "want Relay, got %s", n.text)
	}
	d := namespace.Definition{Name: r.text(m[w.name], join(path, w.name))}
	r.list(m[w.hosts], join(path, w.hosts), func(item *node, path string) {
		d.Hosts = append(d.Hosts, r.text(item, path))
	})
	d.Rules = r.rules(m[w.rules], join(path, w.rules))
	r.list(m[w.entities], join(path, w.entities), func(item *node, path string) {
		d.HybridConnections = append(d.HybridConnections, r.entity(item, path))
	})
	return d
}

func (r *namespaceReader) entity(n *node, path string) namespace.Entity {
	w := &r.words
	known := []string{w.name, w.rules}
	properties := []string{w.clientAuthorization, w.userMetadata}
	for _, name := range []string{w.listenersMax, w.responseTimeout, w.bodyGap, w.httpDelivery} {
		if name != "" {
			properties = append(properties, name)
		}
	}
	if w.properties == "" {
		known = append(known, properties...)
	} else {
		known = append(known, w.properties)
	}
	m := r.members(n, path, known...)
	e := namespace.Entity{
		Name:                        r.text(m[w.name], join(path, w.name)),
		RequiresClientAuthorization: true, // As in Azure.
		Rules:                       r.rules(m[w.rules], join(path, w.rules)),
	}
	if w.properties != "" {
		path = join(path, w.properties)
		m = r.members(m[w.properties], path, properties...)
	}
	e.UserMetadata = r.text(m[w.userMetadata], join(path, w.userMetadata))
	if n := m[w.clientAuthorization]; n != nil {
		s := boolean(join(path, w.clientAuthorization),
			&e.RequiresClientAuthorization, "true", "")
		r.set(s, n)
	}
	if n := m[w.listenersMax]; n != nil {
		s := number(join(path, w.listenersMax), &e.ListenersMax, "0",
			1, namespace.ListenersMaxMax, "gateway.listeners_max", "")
		r.set(s, n)
	}
	r.httpTime(m[w.responseTimeout], join(path, w.responseTimeout), &e.HTTPResponseTimeout)
	r.httpTime(m[w.bodyGap], join(path, w.bodyGap), &e.HTTPBodyGap)
	r.delivery(m[w.httpDelivery], join(path, w.httpDelivery), &e.HTTPDelivery)
	return e
}

// httpTime reads a time of an entity: absent for the gateway's, 0 for never.
func (r *namespaceReader) httpTime(n *node, path string, p *time.Duration) {
	if n == nil {
		return
	}
	var d time.Duration
	r.set(span(path, &d, "", namespace.HTTPTimeMin, namespace.HTTPTimeMax, "never", ""), n)
	if d == 0 {
		d = namespace.Never
	}
	*p = d
}

func (r *namespaceReader) delivery(n *node, path string, p *namespace.Delivery) {
	if n == nil {
		return
	}
	auto, rendezvous := namespace.DeliveryAuto.String(), namespace.DeliveryRendezvous.String()
	var name string
	r.set(choice(path, &name, auto, "", auto, rendezvous), n)
	if name == rendezvous {
		*p = namespace.DeliveryRendezvous
	}
}

// set reads a scalar as a setting.
func (r *namespaceReader) set(s setting, n *node) {
	if text := r.text(n, s.path); n.kind == scalar && (!s.set(text) || !s.valid()) {
		r.errs = append(r.errs, s.wrong(text, at(r.file, n.line)))
	}
}

func (r *namespaceReader) rules(n *node, path string) []namespace.Rule {
	w := &r.words
	var all []namespace.Rule
	r.list(n, path, func(item *node, path string) {
		m := r.members(item, path, w.name, w.rights, w.primaryKey, w.secondaryKey)
		rule := namespace.Rule{Name: r.text(m[w.name], join(path, w.name))}
		r.list(m[w.rights], join(path, w.rights), func(item *node, path string) {
			name := r.text(item, path)
			right, err := sas.ParseRight(name)
			if err != nil && item.kind == scalar {
				r.fail(path, item.line, "want Listen, Send or Manage, got %s", name)
			}
			rule.Rights |= right
		})
		rule.PrimaryKey = r.key(m[w.primaryKey], join(path, w.primaryKey))
		rule.SecondaryKey = r.key(m[w.secondaryKey], join(path, w.secondaryKey))
		all = append(all, rule)
	})
	return all
}

// key returns a key that is given as it is, as env:NAME or as file:PATH.
// Errors name the place, never the key.
func (r *namespaceReader) key(n *node, path string) string {
	text := r.text(n, path)
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		key, set := r.env[name]
		switch {
		case !set:
			r.fail(path, n.line, "environment variable %s is not set", name)
		case key == "":
			r.fail(path, n.line, "environment variable %s is empty", name)
		}
		return key
	}
	if file, ok := strings.CutPrefix(text, "file:"); ok {
		b, err := readFile(file, keyFileBytesMax)
		key := strings.TrimRight(string(b), "\r\n")
		switch {
		case err != nil:
			r.fail(path, n.line, "%v", err)
		case key == "":
			r.fail(path, n.line, "file %s is empty", file)
		}
		return key
	}
	if text == keyMask {
		r.fail(path, n.line, "%s is how keys are printed; write the key, env:NAME or file:PATH",
			keyMask)
	}
	return text
}

// check validates definitions that were read without an error. rename turns a
// path of package namespace into the one in the file.
func (r *namespaceReader) check(
	defs []namespace.Definition, rename func(path string) string,
) {
	if len(r.errs) > 0 {
		return // They would be reported twice, as the values are missing.
	}
	for _, err := range validateNamespaces(defs, rename) {
		err.Source = at(r.file, r.lineOf(err.Path))
		r.errs = append(r.errs, err)
	}
}

// lineOf returns the line of a path, or of the nearest thing around it.
func (r *namespaceReader) lineOf(path string) int {
	for path != "" {
		if line, ok := r.lines[path]; ok {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

// validateNamespaces returns what package namespace finds wrong, with its
// paths renamed.
func validateNamespaces(
	defs []namespace.Definition, rename func(path string) string,
) (errs []*Error) {
	err := namespace.Validate(defs)
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, err := range all {
		var f *namespace.FieldError
		if !errors.As(err, &f) {
			f = &namespace.FieldError{Path: "namespaces", Want: "no error", Got: err.Error()}
		}
		text := "want " + rename(f.Want) + ", got " + f.Got
		errs = append(errs, &Error{Path: rename(f.Path), Text: text})
	}
	return errs
}

// samePath leaves a path of package namespace as it is: our file has the same.
func samePath(path string) string { return path }

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
