package management

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
)

// path is what the URL of a request says, decoded segment by segment.
type path struct {
	subscription, group string
	namespace           string
	kind                namespace.Kind // of entity, and of a list of entities
	entity              string         // "" where the path names none
	rule                string
	name                string // of anything else
	id                  string // the path itself as it was sent, for the audit log
}

// action is one operation.
type action struct {
	// operation is its name in the activity log of Azure, without the
	// provider. Source: docs/protocol.md, section 13.8.
	operation string
	serve     func(*call) (answer, error)
	readers   bool // who may only read may do it
	changes   bool // it has a line in the audit log
	only      version
}

// route is a path and what can be done there.
type route struct {
	words   []string // in lower case; a name in braces stands for any segment
	since   version  // the first version that has it, or ours
	kind    namespace.Kind
	methods map[string]action
}

// action returns what method does in a version; nil if nothing.
func (r *route) action(method string, v version) *action {
	a, ok := r.methods[method]
	if !ok || a.only != 0 && a.only != v {
		return nil
	}
	return &a
}

// allow lists the methods of the route as the header Allow has them.
func (r *route) allow(v version) string {
	var methods []string
	for _, m := range []string{
		http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete,
	} {
		if r.action(m, v) == nil {
			continue
		}
		methods = append(methods, m)
		if m == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	return strings.Join(methods, ", ")
}

// pathBytesMax bounds what is split; longer paths lead nowhere. The longest
// that leads somewhere has an entity name and a rule name, each byte escaped.
const pathBytesMax = 4096

// find returns the route of a request and sets c.path.
//
//	Shape:  fixed words fold case. Each segment is decoded by itself, so that
//	        %2F belongs to a name; a segment that is empty fits nothing.
//	Errors: *fault 404.
//	Source: docs/protocol.md, section 13.1.
func (c *call) find() (*route, error) {
	escaped := c.r.URL.EscapedPath()
	c.id = escaped
	if segments, ok := splitPath(escaped); ok {
		for i := range c.routes {
			if c.take(&c.routes[i], segments) {
				c.id = escaped
				return &c.routes[i], nil
			}
		}
	}
	return nil, newFault(http.StatusNotFound, codeNotFound,
		"The path '%s' leads to no resource of Microsoft.Relay.", shown(escaped))
}

// splitPath decodes a path segment by segment.
func splitPath(escaped string) ([]string, bool) {
	if len(escaped) > pathBytesMax || !strings.HasPrefix(escaped, "/") {
		return nil, false
	}
	segments := strings.Split(escaped[1:], "/")
	for i, segment := range segments {
		var err error
		if segments[i], err = url.PathUnescape(segment); err != nil || segment == "" {
			return nil, false
		}
	}
	return segments, true
}

// take fits segments into a route and keeps the names.
func (p *path) take(r *route, segments []string) bool {
	if len(segments) != len(r.words) {
		return false
	}
	for i, word := range r.words {
		if word[0] != '{' && !equalFold(word, segments[i]) {
			return false
		}
	}
	*p = path{kind: r.kind}
	for i, word := range r.words {
		switch word {
		case "{sub}":
			p.subscription = segments[i]
		case "{group}":
			p.group = segments[i]
		case "{ns}":
			p.namespace = segments[i]
		case "{entity}":
			p.entity = segments[i]
		case "{rule}":
			p.rule = segments[i]
		case "{name}":
			p.name = segments[i]
		}
	}
	return true
}

// builder collects routes.
type builder []route

const (
	inProvider     = "/providers/Microsoft.Relay"
	inSubscription = "/subscriptions/{sub}" + inProvider
	inGroup        = "/subscriptions/{sub}/resourceGroups/{group}" + inProvider
	inNamespace    = inGroup + "/namespaces/{ns}"
	inCluster      = inGroup + "/clusters/{name}"
)

func (b *builder) add(pattern string, since version, methods map[string]action) *route {
	*b = append(*b, route{
		words: strings.Split(strings.ToLower(pattern[1:]), "/"), since: since, methods: methods,
	})
	return &(*b)[len(*b)-1]
}

// read, change and act make actions.
func read(operation string, serve func(*call) (answer, error)) action {
	return action{operation: operation, serve: serve, readers: true}
}

func change(operation string, serve func(*call) (answer, error)) action {
	return action{operation: operation, serve: serve, changes: true}
}

// act is an action that changes nothing and that readers may not do.
func act(operation string, serve func(*call) (answer, error)) action {
	return action{operation: operation, serve: serve}
}

// only20160701 is one that no later version has.
func only20160701(a action) action {
	a.only = v20160701
	return a
}

// newRoutes returns all paths of the API. Source: docs/protocol.md, section
// 13.1.
func newRoutes() []route {
	type methods = map[string]action
	const get, put, patch = http.MethodGet, http.MethodPut, http.MethodPatch
	const post, remove = http.MethodPost, http.MethodDelete
	var b builder
	b.add(inProvider+"/operations", v20160701, methods{
		get: read("operations/read", (*call).listOperations),
	})
	b.add(inSubscription+"/checkNameAvailability", v20160701, methods{
		post: act("checkNameAvailability/action", (*call).checkName),
	})
	list := read("namespaces/read", (*call).listNamespaces)
	b.add(inSubscription+"/namespaces", v20160701, methods{get: list})
	b.add(inGroup+"/namespaces", v20160701, methods{get: list})
	b.add(inNamespace, v20160701, methods{
		get:    read("namespaces/read", (*call).getNamespace),
		put:    change("namespaces/write", (*call).putNamespace),
		patch:  change("namespaces/write", (*call).patchNamespace),
		remove: change("namespaces/delete", (*call).deleteNamespace),
	})
	b.rules(inNamespace, "namespaces", 0)
	for _, kind := range []namespace.Kind{namespace.KindHybridConnection, namespace.KindWCFRelay} {
		word := "namespaces/" + kindWord(kind)
		all := inNamespace + "/" + kindWord(kind)
		b.add(all, v20160701, methods{
			get: read(word+"/read", (*call).listEntities),
		}).kind = kind
		b.add(all+"/{entity}", v20160701, methods{
			get:    read(word+"/read", (*call).getEntity),
			put:    change(word+"/write", (*call).putEntity),
			remove: change(word+"/delete", (*call).deleteEntity),
		}).kind = kind
		b.rules(all+"/{entity}", word, kind)
	}
	b.add(inNamespace+"/networkRuleSets/default", v20211101, methods{
		get: read("namespaces/networkRuleSets/read", (*call).getNetworkRules),
		put: change("namespaces/networkRuleSets/write", (*call).putNetworkRules),
	})
	const private = "namespaces/privateEndpointConnections"
	b.add(inGroup+"/namespaces/{ns}/privateEndpointConnections", v20211101, methods{
		get: read(private+"/read", (*call).listNothing),
	})
	b.add(inNamespace+"/privateEndpointConnections/{name}", v20211101, methods{
		get:    read(private+"/read", (*call).getNothing),
		put:    change(private+"/write", (*call).putNothing),
		remove: change(private+"/delete", (*call).deleteNothing),
	})
	const links = "namespaces/privateLinkResources/read"
	b.add(inNamespace+"/privateLinkResources", v20211101, methods{
		get: read(links, (*call).listNothing),
	})
	b.add(inNamespace+"/privateLinkResources/{name}", v20211101, methods{
		get: read(links, (*call).getNothing),
	})
	b.clusters()
	b.add("/relayhouse/version", ours, methods{get: read("version/read", (*call).getVersion)})
	b.add("/relayhouse/export", ours, methods{get: act("export/action", (*call).export)})
	b.add("/relayhouse/import", ours, methods{post: change("import/action", (*call).importAll)})
	b.add("/relayhouse/backup", ours, methods{get: act("backup/action", (*call).backup)})
	return slices.Clip(b)
}

// rules adds the paths of the authorization rules of something.
func (b *builder) rules(pattern, word string, kind namespace.Kind) {
	type methods = map[string]action
	pattern, word = pattern+"/authorizationRules", word+"/authorizationRules"
	get := read(word+"/read", (*call).getRule)
	list := read(word+"/read", (*call).listRules)
	b.add(pattern, v20160701, methods{
		http.MethodGet:  list,
		http.MethodPost: only20160701(list),
	}).kind = kind
	b.add(pattern+"/{rule}", v20160701, methods{
		http.MethodGet:    get,
		http.MethodPost:   only20160701(get),
		http.MethodPut:    change(word+"/write", (*call).putRule),
		http.MethodDelete: change(word+"/delete", (*call).deleteRule),
	}).kind = kind
	b.add(pattern+"/{rule}/listKeys", v20160701, methods{
		http.MethodPost: act(word+"/listkeys/action", (*call).listKeys),
	}).kind = kind
	b.add(pattern+"/{rule}/regenerateKeys", v20160701, methods{
		http.MethodPost: change(word+"/regenerateKeys/action", (*call).regenerateKeys),
	}).kind = kind
}

// kindWord is the last segment of a kind's type, as Azure writes it.
func kindWord(k namespace.Kind) string {
	if k == namespace.KindWCFRelay {
		return "WcfRelays"
	}
	return "HybridConnections"
}
