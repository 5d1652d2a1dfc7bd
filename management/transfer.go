package management

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	// importBytesMax bounds the body of an import, 100,000 entities with their
	// rules and room to spare; a longer one is 413.
	importBytesMax = 64 << 20
	// importErrorsMax bounds the message about what is wrong with an import, in
	// bytes.
	importErrorsMax = 4096
	// transferTimeout is how long an import, an export or a backup may take on
	// the wire.
	transferTimeout = 10 * time.Minute

	typeYAML   = "application/yaml; charset=utf-8"
	typeBinary = "application/octet-stream"
)

func (c *call) getVersion() (answer, error) {
	return answerOK(struct {
		Version     string   `json:"version"`
		APIVersions []string `json:"apiVersions"`
	}{c.o.Version, versionNames[1:]}), nil
}

// extend gives a request that carries much the time it needs.
func (c *call) extend() {
	control := http.NewResponseController(c.w)
	end := time.Now().Add(transferTimeout)
	_ = control.SetReadDeadline(end) // a recorder of a test has none
	_ = control.SetWriteDeadline(end)
}

// transfer lets one import, export or backup run at a time: each holds all
// namespaces, or a transaction of the store.
func (c *call) transfer() (release func(), err error) {
	select {
	case c.transfers <- struct{}{}:
		c.extend()
		return func() { <-c.transfers }, nil
	default:
		return nil, faultTooManyRequests()
	}
}

// The forms of an export.
const (
	formYAML     = "yaml"
	formEmulator = "emulator"
)

// export answers with all namespaces and their keys, in our YAML or as the
// Config.json of the Azure emulators.
func (c *call) export() (answer, error) {
	format, kind := c.o.Format, typeYAML
	switch form := c.r.URL.Query().Get("form"); form {
	case "", formYAML:
	case formEmulator:
		format, kind = c.o.FormatEmulator, typeJSON
	default:
		return answer{}, newFault(http.StatusBadRequest, codeBadRequest,
			"The parameter form must be %s or %s, but is '%s'.", formYAML, formEmulator, shown(form))
	}
	if format == nil {
		return answer{}, faultNotImplemented("This gateway cannot write definitions")
	}
	release, err := c.transfer()
	if err != nil {
		return answer{}, err
	}
	defer release()
	all := slices.Clone(c.snapshot().Namespaces())
	slices.SortFunc(all, func(a, b *namespace.Namespace) int {
		return strings.Compare(namespaceKey(a), namespaceKey(b))
	})
	defs := make([]namespace.Definition, len(all))
	for i, n := range all {
		defs[i] = n.Definition()
	}
	var b bytes.Buffer
	if err := format(&b, defs); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, secret: true, raw: func(w http.ResponseWriter) {
		w.Header().Set(contentType, kind)
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(b.Bytes())
	}}, nil
}

// backup answers with a copy of the store. It ends the connection if that
// fails on the way, so that nobody takes half of one for the whole.
func (c *call) backup() (answer, error) {
	if c.o.Backup == nil {
		return answer{}, faultNotImplemented("This gateway keeps no store that could be copied")
	}
	release, err := c.transfer()
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, secret: true, raw: func(w http.ResponseWriter) {
		defer release()
		w.Header().Set(contentType, typeBinary)
		w.Header().Set("Content-Disposition", `attachment; filename="relayhouse.db"`)
		started := &startedWriter{w: w}
		err := c.o.Backup(started)
		switch {
		case err == nil:
		case !started.started:
			w.Header().Del("Content-Disposition")
			c.log.Error("backup failed", slog.Any("error", err))
			c.refuse(faultUnavailable("The store cannot be copied at the moment."))
		default:
			c.log.Error("backup broke off", slog.Any("error", err))
			panic(http.ErrAbortHandler) // how net/http is told to cut an answer
		}
	}}, nil
}

// startedWriter remembers whether anything was written.
type startedWriter struct {
	w       io.Writer
	started bool
}

// Write passes p on.
func (s *startedWriter) Write(p []byte) (int, error) {
	s.started = true
	return s.w.Write(p)
}

// counts are what an import answers with.
type counts struct {
	Namespaces int `json:"namespaces"`
	Entities   int `json:"entities"`
	Rules      int `json:"rules"`
}

func countOf(defs []namespace.Definition) counts {
	n := counts{Namespaces: len(defs)}
	for i := range defs {
		n.Rules += len(defs[i].Rules)
		for _, list := range [][]namespace.Entity{defs[i].HybridConnections, defs[i].WCFRelays} {
			n.Entities += len(list)
			for j := range list {
				n.Rules += len(list[j].Rules)
			}
		}
	}
	return n
}

// importAll takes over definitions, all of them or none.
//
//	Shape:  mode merge, the default, puts what the body has in place of what is
//	        there under the same names, and leaves the rest; mode replace
//	        removes the rest. A rule without a key keeps those that it has, or
//	        gets new ones.
func (c *call) importAll() (answer, error) {
	if c.o.Parse == nil {
		return answer{}, faultNotImplemented("This gateway cannot read definitions")
	}
	mode := c.r.URL.Query().Get("mode")
	if mode != "" && mode != "merge" && mode != "replace" {
		return answer{}, faultBadRequest("mode", "mode: want merge or replace, got '%s'.",
			shown(mode))
	}
	release, err := c.transfer()
	if err != nil {
		return answer{}, err
	}
	defer release()
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.importMax))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return answer{}, newFault(http.StatusRequestEntityTooLarge, codeTooLarge,
			"The body of the request is longer than %d bytes.", c.importMax)
	case err != nil:
		return answer{}, faultBadRequest("", "The body of the request cannot be read.")
	}
	defs, err := c.o.Parse("body", text)
	if err != nil {
		return answer{}, faultBadRequest("", "%s.", cut(strings.TrimSpace(err.Error())))
	}
	_, err = c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		for i := range defs {
			c.fillKeys(s.Namespace(defs[i].Name), &defs[i])
		}
		if err := namespace.Validate(defs); err != nil {
			return nil, err
		}
		return importChanges(s, defs, mode == "replace"), nil
	})
	if err != nil {
		return answer{}, err
	}
	n := countOf(defs)
	c.note.after = n
	return answerOK(n), nil
}

// cut bounds what a client is told of its errors; Parse quotes no keys.
func cut(text string) string {
	if len(text) <= importErrorsMax {
		return text
	}
	return strings.ToValidUTF8(text[:importErrorsMax], "") + " ..."
}

// fillKeys gives keys to the rules of d that come without a primary one: those
// that the rule of that name has in n, which may be nil, or new ones.
func (c *call) fillKeys(n *namespace.Namespace, d *namespace.Definition) {
	fill := func(rules, old []namespace.Rule) {
		for i := range rules {
			if rules[i].PrimaryKey != "" {
				continue
			}
			if was := namespace.FindRule(old, rules[i].Name); was != nil {
				rules[i].PrimaryKey, rules[i].SecondaryKey = was.PrimaryKey, was.SecondaryKey
				continue
			}
			rules[i].PrimaryKey, rules[i].SecondaryKey = c.newKey(), c.newKey()
		}
	}
	fill(d.Rules, n.Rules())
	for _, list := range [][]namespace.Entity{d.HybridConnections, d.WCFRelays} {
		for i := range list {
			var old []namespace.Rule
			if e := n.Entity(list[i].Kind, list[i].Name); e != nil {
				old = e.Rules
			}
			fill(list[i].Rules, old)
		}
	}
}

// importChanges are the changes from s to what defs say. Removals come first,
// for a name may change its kind; entities come in the order of their names,
// which is the cheapest for Apply.
func importChanges(
	s *namespace.Snapshot, defs []namespace.Definition, replace bool,
) []namespace.Change {
	var changes []namespace.Change
	if replace {
		changes = removals(s, defs)
	}
	// Host names may move from one namespace to another: all let go first.
	for i := range defs {
		if n := s.Namespace(defs[i].Name); n != nil && !n.AnyHost() {
			d := n.Settings()
			d.Hosts = nil
			changes = append(changes, namespace.PutNamespace(d))
		}
	}
	for _, d := range defs {
		changes = append(changes, namespace.PutNamespace(d))
		for _, list := range [][]namespace.Entity{d.HybridConnections, d.WCFRelays} {
			list = slices.Clone(list)
			slices.SortFunc(list, func(a, b namespace.Entity) int {
				return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
			})
			for _, e := range list {
				changes = append(changes, namespace.PutEntity(d.Name, e))
			}
		}
	}
	return changes
}

// removals removes all that is in s and not in defs.
func removals(s *namespace.Snapshot, defs []namespace.Definition) []namespace.Change {
	type name struct {
		kind namespace.Kind
		text string
	}
	kept := make(map[string]map[name]bool, len(defs))
	for i := range defs {
		names := make(map[name]bool)
		for _, list := range [][]namespace.Entity{defs[i].HybridConnections, defs[i].WCFRelays} {
			for j := range list {
				names[name{list[j].Kind, strings.ToLower(list[j].Name)}] = true
			}
		}
		kept[strings.ToLower(defs[i].Name)] = names
	}
	var changes []namespace.Change
	for _, n := range s.Namespaces() {
		names := kept[namespaceKey(n)]
		if names == nil {
			changes = append(changes, namespace.DeleteNamespace(n.Name()))
			continue
		}
		for _, kind := range []namespace.Kind{
			namespace.KindHybridConnection, namespace.KindWCFRelay,
		} {
			for _, e := range n.Entities(kind) {
				if !names[name{kind, strings.ToLower(e.Name)}] {
					changes = append(changes, namespace.DeleteEntity(n.Name(), kind, e.Name))
				}
			}
		}
	}
	return changes
}
