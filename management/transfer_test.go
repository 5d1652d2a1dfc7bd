package management

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/sas"
)

// parseJSON stands for package config: definitions as JSON.
func parseJSON(_ string, text []byte) ([]namespace.Definition, error) {
	var defs []namespace.Definition
	if err := json.Unmarshal(text, &defs); err != nil {
		return nil, fmt.Errorf("namespaces: %w", err)
	}
	return defs, nil
}

func formatJSON(w io.Writer, defs []namespace.Definition) error {
	return json.NewEncoder(w).Encode(defs)
}

func newTransferFixture(t *testing.T) *fixture {
	return newFixture(t, func(o *Options) { o.Parse, o.Format = parseJSON, formatJSON })
}

func body(t *testing.T, defs ...namespace.Definition) string {
	t.Helper()
	text, err := json.Marshal(defs)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func rule(name, key string) namespace.Rule {
	return namespace.Rule{Name: name, Rights: sas.Listen | sas.Send, PrimaryKey: key}
}

func TestImport(t *testing.T) {
	f := newTransferFixture(t).withContoso()
	const hc = contoso + "/hybridConnections"
	for _, name := range []string{"stays", "changes", "turns"} {
		f.want(200, http.MethodPut, at(hc+"/"+name), `{}`)
	}
	f.want(200, http.MethodPut, at(hc+"/changes/authorizationRules/r"),
		`{"properties":{"rights":["Send"]}}`)
	f.want(201, http.MethodPut, at(provider+"/namespaces/fabrikam"), `{"location":"a"}`)
	old := f.store.Load().Namespace("contoso")
	text := body(t,
		namespace.Definition{
			// The host name moves over.
			Name: "brandnew", Hosts: []string{"contoso.relay.test"},
			Rules: []namespace.Rule{rule("a", "KEY-GIVEN")},
		},
		namespace.Definition{
			Name: "Contoso", Hosts: []string{"new.test"},
			Rules: []namespace.Rule{rule(rootRule, ""), rule("more", "")},
			HybridConnections: []namespace.Entity{
				{Name: "zeta"}, {Name: "changes", UserMetadata: "x", Rules: []namespace.Rule{rule("R", "")}},
				{Name: "alpha"},
			},
		},
	)
	w := f.want(200, http.MethodPost, "/relayhouse/import", text)
	if got := w.Body.String(); got != `{"namespaces":2,"entities":3,"rules":4}`+"\n" {
		t.Errorf("%s", got)
	}
	s := f.store.Load()
	n := s.Namespace("contoso")
	if n.Len() != 5 || n.Entity(0, "stays") == nil || n.Entity(0, "zeta") == nil ||
		n.Entity(0, "CHANGES").UserMetadata != "x" || s.Namespace("fabrikam") == nil ||
		s.Lookup("contoso.relay.test").Name() != "brandnew" {
		t.Errorf("%+v", n.Definition())
	}
	// Keys that are not given stay or are made.
	if was, is := old.Rules()[0], *namespace.FindRule(n.Rules(), rootRule); is.PrimaryKey !=
		was.PrimaryKey || is.SecondaryKey != was.SecondaryKey || is.Rights == was.Rights {
		t.Errorf("%v", is)
	}
	if is := namespace.FindRule(n.Rules(), "more"); !strings.HasPrefix(is.PrimaryKey, "KEY-") ||
		is.SecondaryKey == "" {
		t.Errorf("%v", is)
	}
	was := old.Entity(0, "changes").Rules[0].PrimaryKey
	if is := n.Entity(0, "changes").Rules[0].PrimaryKey; is != was {
		t.Error("the key of an entity's rule has changed")
	}

	// Replace removes what is not named, and a name may become another kind.
	text = body(t, namespace.Definition{
		Name: "contoso", HybridConnections: []namespace.Entity{{Name: "stays"}},
		WCFRelays: []namespace.Entity{{
			Kind: namespace.KindWCFRelay, Name: "turns", RelayType: namespace.RelayHTTP,
		}},
	})
	f.want(409, http.MethodPost, "/relayhouse/import?mode=merge", text)
	w = f.want(200, http.MethodPost, "/relayhouse/import?mode=replace", text)
	if got := w.Body.String(); got != `{"namespaces":1,"entities":2,"rules":0}`+"\n" {
		t.Errorf("%s", got)
	}
	s = f.store.Load()
	if n := s.Namespace("contoso"); len(s.Namespaces()) != 1 || n.Len() != 2 ||
		n.Entity(namespace.KindWCFRelay, "turns") == nil || len(n.Rules()) != 0 {
		t.Errorf("%+v", n.Definition())
	}
	lines := f.auditLines()
	last := lines[len(lines)-1]
	if last.OperationName != "Relayhouse/import/action" || last.Status != 200 || last.After == nil {
		t.Errorf("%+v", last)
	}
}

// An import is taken as a whole or not at all.
func TestImportRefused(t *testing.T) {
	f := newTransferFixture(t).withContoso()
	before := f.store.Load()
	for _, test := range []struct {
		path, text, want string
		status           int
	}{
		{"?mode=append", body(t), "want merge or replace", 400},
		{"", `[{"Name":`, "namespaces: ", 400},
		{"", body(t, namespace.Definition{Name: "a"}, namespace.Definition{Name: "A"}),
			"another name", 400},
		{"", body(t, namespace.Definition{Name: "ok"}, namespace.Definition{Name: "-"}),
			"namespaces[1].name", 400},
		{"", body(t, namespace.Definition{
			Name: "ok", HybridConnections: []namespace.Entity{{Name: "x"}, {Name: "X"}},
		}), "hybridConnections[1].name", 400},
	} {
		w := f.want(test.status, http.MethodPost, "/relayhouse/import"+test.path, test.text)
		if message := messageOf(t, w); !strings.Contains(message, test.want) {
			t.Errorf("%s: %s", test.text, message)
		}
	}
	f.api.o.Parse = func(string, []byte) ([]namespace.Definition, error) {
		return nil, errors.New(strings.Repeat("ä", importErrorsMax))
	}
	w := f.want(400, http.MethodPost, "/relayhouse/import", "x")
	if n := len(messageOf(t, w)); n > importErrorsMax+200 {
		t.Errorf("a message of %d bytes", n)
	}
	f.api.importMax = 100
	w = f.want(413, http.MethodPost, "/relayhouse/import", strings.Repeat("x", 101))
	if codeOf(t, w) != codeTooLarge {
		t.Errorf("%s", w.Body)
	}
	if f.store.Load() != before {
		t.Error("something has changed")
	}
}

func TestExport(t *testing.T) {
	f := newTransferFixture(t).withContoso().withEntities(3)
	w := f.want(200, http.MethodGet, "/relayhouse/export", "")
	if kind := w.Header().Get("Content-Type"); kind != typeYAML ||
		w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
	exported := w.Body.String()
	if !strings.Contains(exported, "KEY-1") {
		t.Errorf("no keys in %s", exported)
	}
	f.want(200, http.MethodDelete, at(contoso), "")
	f.want(200, http.MethodPost, "/relayhouse/import?mode=replace", exported)
	again := f.want(200, http.MethodGet, "/relayhouse/export", "").Body.String()
	strip := func(s string) string { return times.ReplaceAllString(s, "") }
	if len(strip(again)) == 0 || f.store.Load().Namespace("contoso").Len() != 3 {
		t.Errorf("%s", again)
	}
	f.want(501, http.MethodGet, "/relayhouse/export?form=emulator", "")
	f.want(400, http.MethodGet, "/relayhouse/export?form=toml", "")
	f.api.o.FormatEmulator = func(w io.Writer, defs []namespace.Definition) error {
		_, err := fmt.Fprintf(w, `{"count":%d}`, len(defs))
		return err
	}
	w = f.want(200, http.MethodGet, "/relayhouse/export?form=emulator", "")
	if w.Header().Get("Content-Type") != typeJSON || w.Body.String() != `{"count":1}` {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	f.api.o.Format = func(io.Writer, []namespace.Definition) error { return errors.New("no") }
	f.want(500, http.MethodGet, "/relayhouse/export", "")
	if n := len(f.api.transfers); n != 0 {
		t.Errorf("%d transfers are left", n)
	}
}

func TestBackup(t *testing.T) {
	f := newTransferFixture(t)
	w := f.want(501, http.MethodGet, "/relayhouse/backup", "")
	if codeOf(t, w) != codeNotImplemented {
		t.Errorf("%s", w.Body)
	}
	f.api.o.Backup = func(w io.Writer) error {
		_, err := w.Write([]byte("bytes of the store"))
		// Another one is told to wait.
		second := f.do(http.MethodGet, "/relayhouse/backup", "")
		if second.Code != 429 || second.Header().Get("Retry-After") == "" {
			t.Errorf("%d while one runs", second.Code)
		}
		return err
	}
	w = f.want(200, http.MethodGet, "/relayhouse/backup", "")
	if w.Body.String() != "bytes of the store" || w.Header().Get("Content-Type") != typeBinary {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	f.api.o.Backup = func(io.Writer) error { return errors.New("locked") }
	w = f.want(503, http.MethodGet, "/relayhouse/backup", "")
	if codeOf(t, w) != codeUnavailable || w.Header().Get("Content-Disposition") != "" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	// One that breaks off ends the connection.
	f.api.o.Backup = func(w io.Writer) error {
		_, _ = w.Write([]byte("half"))
		return errors.New("disk gone")
	}
	server := httptest.NewServer(f.api)
	defer server.Close()
	r, _ := http.NewRequest(http.MethodGet, server.URL+"/relayhouse/backup", nil)
	r.Header.Set("Authorization", "Bearer "+ownerToken)
	response, err := server.Client().Do(r)
	if err == nil {
		_, err = io.ReadAll(response.Body)
		_ = response.Body.Close()
	}
	if err == nil {
		t.Error("half a backup came as a whole one")
	}
	if n := len(f.api.transfers); n != 0 {
		t.Errorf("%d transfers are left", n)
	}
	if log := f.log.String(); !strings.Contains(log, "locked") ||
		!strings.Contains(log, "disk gone") {
		t.Errorf("%s", log)
	}
}

func TestVersionAndNotBuilt(t *testing.T) {
	f := newFixture(t)
	w := f.want(200, http.MethodGet, "/relayhouse/version", "")
	if got := w.Body.String(); !strings.Contains(got, `"version":"1.2.3"`) ||
		!strings.Contains(got, `["2016-07-01",`) {
		t.Errorf("%s", got)
	}
	f.want(501, http.MethodGet, "/relayhouse/export", "")
	f.want(501, http.MethodPost, "/relayhouse/import", "x")
	f.api.o.Parse = parseJSON
	f.api.o.Writer = namespacestore.ReadOnly{}
	w = f.want(405, http.MethodPost, "/relayhouse/import", "[]")
	if !strings.Contains(messageOf(t, w), "declarative") {
		t.Errorf("%s", w.Body)
	}
}
