package management

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

// gated is a Writer that lets nobody begin before so many have come: whatever
// they read before, they read it before the first change.
type gated struct {
	namespacestore.Writer
	come *sync.WaitGroup
}

func (w gated) Update(
	f func(*namespace.Snapshot) ([]namespace.Change, error),
) (*namespace.Snapshot, error) {
	w.come.Done()
	w.come.Wait()
	return w.Writer.Update(f)
}

// gate puts a gate for n updates before the Writer and returns what opens it
// for good.
func (f *fixture) gate(n int) (open func()) {
	writer := f.api.o.Writer
	g := gated{writer, new(sync.WaitGroup)}
	g.come.Add(n)
	f.api.o.Writer = g
	return func() { f.api.o.Writer = writer }
}

// Of many clients that renew the keys of one rule at once, none loses its key
// to the other half, and each is answered with its own.
func TestRegenerateAtOnce(t *testing.T) {
	const clients = 64
	f := newFixture(t).withContoso()
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h"), `{}`)
	f.want(200, http.MethodPut, at(contoso+"/hybridConnections/h/authorizationRules/r"),
		`{"properties":{"rights":["Send"]}}`)
	for _, rule := range []string{
		contoso + "/authorizationRules/" + rootRule,
		contoso + "/hybridConnections/h/authorizationRules/r",
	} {
		answers := make([]keysView, clients)
		open := f.gate(clients)
		var group sync.WaitGroup
		for i := range clients {
			group.Go(func() {
				keyType := keyPrimary
				if i%2 == 1 {
					keyType = keySecondary
				}
				w := f.do(http.MethodPost, at(rule+"/regenerateKeys"),
					fmt.Sprintf(`{"keyType":"%s","key":"%s-%d"}`, keyType, keyType, i))
				if w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
					return
				}
				answers[i] = decode[keysView](t, w)
			})
		}
		group.Wait()
		open()
		for i, k := range answers {
			got, kind := k.PrimaryKey, keyPrimary
			if i%2 == 1 {
				got, kind = k.SecondaryKey, keySecondary
			}
			if want := fmt.Sprintf("%s-%d", kind, i); got != want {
				t.Errorf("client %d sent %s and was answered %s", i, want, got)
			}
			if !strings.HasSuffix(trimPath(k.PrimaryConnectionString), "="+k.PrimaryKey) ||
				!strings.HasSuffix(trimPath(k.SecondaryConnectionString), "="+k.SecondaryKey) {
				t.Errorf("mixed answer: %+v", k)
			}
		}
		// What is there in the end is one answer of somebody, in both halves.
		last := decode[keysView](t, f.want(200, http.MethodPost, at(rule+"/listKeys"), ""))
		found := false
		for _, k := range answers {
			found = found || k == last
		}
		if !found || !strings.HasPrefix(last.PrimaryKey, keyPrimary) ||
			!strings.HasPrefix(last.SecondaryKey, keySecondary) {
			t.Errorf("in the end %+v", last)
		}
	}
}

func trimPath(s string) string { s, _, _ = strings.Cut(s, ";EntityPath="); return s }

// Rules and entities that are made at the same time are all there afterwards.
func TestPutAtOnce(t *testing.T) {
	f := newFixture(t).withContoso()
	var group sync.WaitGroup
	const rules, entities = 11, 40
	f.gate(rules + entities + 20)
	for i := range rules {
		group.Go(func() {
			w := f.do(http.MethodPut, at(fmt.Sprintf("%s/authorizationRules/r%d", contoso, i)),
				`{"properties":{"rights":["Listen"]}}`)
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for i := range entities {
		group.Go(func() {
			w := f.do(http.MethodPut, at(fmt.Sprintf("%s/hybridConnections/h%d", contoso, i)), `{}`)
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			w = f.do(http.MethodGet, at(contoso+"/hybridConnections"), "")
			if w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for range 20 {
		group.Go(func() { f.do(http.MethodPatch, at(contoso), `{"tags":{"a":"b"}}`) })
	}
	group.Wait()
	n := f.store.Load().Namespace("contoso")
	if len(n.Rules()) != rules+1 || n.Len() != entities {
		t.Errorf("%d rules, %d entities", len(n.Rules()), n.Len())
	}
	keys := make(map[string]bool)
	for _, r := range n.Rules() {
		keys[r.PrimaryKey], keys[r.SecondaryKey] = true, true
	}
	if len(keys) != 2*(rules+1) {
		t.Errorf("%d keys", len(keys))
	}
	if lines := f.auditLines(); len(lines) != 1+rules+entities+20 {
		t.Errorf("%d lines in the audit log", len(lines))
	}
}

// Of two conditional changes of one thing, one wins.
func TestConditionalAtOnce(t *testing.T) {
	f := newFixture(t).withContoso()
	const hc = contoso + "/hybridConnections/h"
	tag := f.want(200, http.MethodPut, at(hc), `{}`).Header().Get("ETag")
	var group sync.WaitGroup
	codes := make([]int, 32)
	f.gate(len(codes))
	for i := range codes {
		group.Go(func() {
			codes[i] = f.do(http.MethodPut, at(hc),
				fmt.Sprintf(`{"properties":{"userMetadata":"%d"}}`, i), "If-Match", tag).Code
		})
	}
	group.Wait()
	won := 0
	for _, code := range codes {
		if code == 200 {
			won++
		} else if code != 412 {
			t.Errorf("%d", code)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}
