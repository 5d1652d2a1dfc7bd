package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
)

// words are the names of the members of a namespace: ours, or those of the
// Azure emulators. What a form does not have is empty.
type words struct {
	name, hosts, rules, rights, primaryKey, secondaryKey string
	hybridConnections, wcfRelays                         string
	createdAt, updatedAt                                 string // Of namespaces and entities.

	// Of an entity.
	properties                             string // Holds those that follow.
	clientAuthorization, userMetadata      string
	listenersMax, disabled                 string
	responseTimeout, bodyGap, httpDelivery string // Of HTTP requests.
	relayType, transportSecurity           string // Of a WCF relay.

	// Of a namespace.
	kind                                         string // It must be a relay.
	subscription, resourceGroup, location, tags  string
	access, minimumTLS                           string
	network, defaultAction, ipRules, trusted     string
	networkAccess                                string // The same as access, in network.
	ipMask, action, allow, deny                  string // Of ipRules; the last two are values.
	quotas, listenersPerEntity, connectionsQuota string

	foldCase bool // Letter case does not matter.
}

var snakeWords = words{
	name: "name", hosts: "hosts", rules: "authorization_rules", rights: "rights",
	primaryKey: "primary_key", secondaryKey: "secondary_key",
	hybridConnections: "hybrid_connections", wcfRelays: "wcf_relays",
	clientAuthorization: "requires_client_authorization",
	userMetadata:        "user_metadata", listenersMax: "listeners_max", disabled: "disabled",
	responseTimeout: "http_response_timeout", bodyGap: "http_body_gap",
	httpDelivery: "http_delivery",
	relayType:    "relay_type", transportSecurity: "requires_transport_security",
	subscription: "subscription", resourceGroup: "resource_group", location: "location",
	tags: "tags", createdAt: "created_at", updatedAt: "updated_at",
	access: "public_network_access", minimumTLS: "minimum_tls_version",
	network: "network_rules", defaultAction: "default_action", ipRules: "ip_rules",
	trusted: "trusted_service_access", ipMask: "ip_mask", action: "action",
	allow: "allow", deny: "deny",
}

// namespaceReader turns parts of a file into definitions. It goes on after an
// error, so that all are reported at once.
type namespaceReader struct {
	words words
	file  string
	env   map[string]string // nil where keys are not taken from elsewhere
	files sums              // Of files that keys were read from.
	errs  []error
}

func newNamespaceReader(w words, file string, env map[string]string) *namespaceReader {
	return &namespaceReader{words: w, file: file, env: env, files: sums{}}
}

// errorsMax bounds the errors of one file: nobody reads more, and a file may
// have as many as it has values.
const errorsMax = 100

func (r *namespaceReader) fail(path string, line int, format string, args ...any) {
	r.add(&Error{path, fmt.Sprintf(format, args...), at(r.file, line)})
}

func (r *namespaceReader) add(err *Error) {
	switch n := len(r.errs); {
	case n < errorsMax:
		r.errs = append(r.errs, err)
	case n == errorsMax:
		text := fmt.Sprintf("more than %d errors; these are the first", errorsMax)
		r.errs = append(r.errs, &Error{Text: text, Source: err.Source})
	}
}

// members returns the members of a mapping by their known names, of which those
// that are empty do not count.
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
		switch {
		case found[key] != nil:
			r.fail(join(path, m.key), m.line, "given twice")
		case key == "" || !slices.Contains(known, key):
			if len(r.errs) <= errorsMax {
				r.add(r.notKnown(path, m, known))
			}
		default:
			found[key] = m.value
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

// notKnown returns the error for a member that is not known.
func (r *namespaceReader) notKnown(path string, m member, known []string) *Error {
	var candidates []string
	for _, name := range known {
		if name != "" {
			candidates = append(candidates, join(path, name))
		}
	}
	return unknown(join(path, m.key), at(r.file, m.line), candidates)
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
		f(item, path+"["+strconv.Itoa(i)+"]")
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

// check validates definitions that were read from root without an error. rename
// turns a path of package namespace into the one in the file.
func (r *namespaceReader) check(
	defs []namespace.Definition, root *node, rename func(path string) string,
) {
	if len(r.errs) > 0 {
		return // They would be reported twice, as the values are missing.
	}
	for _, err := range validateNamespaces(defs, rename) {
		err.Source = at(r.file, r.lineOf(root, err.Path))
		r.add(err)
	}
}

// lineOf returns the line of a path, or of the nearest thing around it.
func (r *namespaceReader) lineOf(n *node, path string) int {
	line := 1
	for path != "" {
		part := path[1:]
		if end := strings.IndexAny(part, ".["); end >= 0 {
			part = part[:end]
		}
		part = path[:1+len(part)]
		path = path[len(part):]
		if i, ok := strings.CutPrefix(part, "["); ok {
			i, err := strconv.Atoi(strings.TrimSuffix(i, "]"))
			if err != nil || i >= len(n.items) {
				return line
			}
			n = n.items[i]
			line = n.line
			continue
		}
		name := []string{strings.TrimPrefix(part, ".")}
		i := slices.IndexFunc(n.members, func(m member) bool {
			return r.canonical(m.key, name) == name[0]
		})
		if i < 0 {
			return line
		}
		line, n = n.members[i].line, n.members[i].value
	}
	return line
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
