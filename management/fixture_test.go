package management

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
)

const (
	ownerToken  = "owner-token"
	readerToken = "reader-token"
	sub         = "/subscriptions/11111111-2222-3333-4444-555555555555"
	group       = sub + "/resourceGroups/Group-1"
	provider    = group + "/providers/Microsoft.Relay"
	contoso     = provider + "/namespaces/contoso"
	newest      = "2026-07-01-preview"
)

// fixture is an API over a store in memory.
type fixture struct {
	testing.TB
	api   *API
	store *namespace.Store
	dir   string
	log   *lockedBuffer
	keys  atomic.Int64 // keys made so far: KEY-1, KEY-2
	// All that was ever answered, logged and audited, for the search for keys.
	mu    sync.Mutex
	out   bytes.Buffer
	quiet bool // nothing of that is kept
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newFixture returns an API without namespaces; change sets its options.
func newFixture(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	f := &fixture{TB: t, store: new(namespace.Store), dir: t.TempDir(), log: new(lockedBuffer)}
	f.write("tokens", "# who may what\nolga "+ownerToken+"\nrita "+readerToken+" reader\n")
	ids := new(atomic.Int64)
	log := slog.New(slog.NewTextHandler(f.log, nil))
	audit, err := OpenAuditLog(filepath.Join(f.dir, "audit"), log)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Namespaces: f.store,
		Writer:     namespacestore.NewMemory(f.store, namespacestore.Limits{}),
		TokensFile: filepath.Join(f.dir, "tokens"),
		Audit:      audit,
		Domain:     "relay.test",
		Endpoint: func(n *namespace.Namespace) (string, int) {
			return n.Host(), 8443
		},
		Version: "1.2.3",
		Log:     log,
		Random: func() string {
			return fmt.Sprintf("00000000-0000-4000-8000-%012d", ids.Add(1))
		},
	}
	for _, c := range change {
		c(&o)
	}
	if f.api, err = New(o); err != nil {
		t.Fatal(err)
	}
	f.api.newKey = func() string { return fmt.Sprintf("KEY-%d", f.keys.Add(1)) }
	return f
}

func (f *fixture) write(name, text string) {
	f.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) read(name string) string {
	f.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, name))
	if err != nil {
		f.Fatal(err)
	}
	return string(text)
}

// do sends a request of the owner; header sets more, or other, fields.
func (f *fixture) do(
	method, target, body string, header ...string,
) *httptest.ResponseRecorder {
	f.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "https://127.0.0.1:9091"+target, reader)
	r.Header.Set("Authorization", "Bearer "+ownerToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if method != http.MethodPost && !f.quiet {
		f.out.WriteString(w.Body.String())
	}
	return w
}

// want sends a request and checks the status of its answer.
func (f *fixture) want(
	status int, method, target, body string, header ...string,
) *httptest.ResponseRecorder {
	f.Helper()
	w := f.do(method, target, body, header...)
	if w.Code != status {
		f.Fatalf("%s %s = %d, want %d: %s", method, target, w.Code, status, w.Body)
	}
	return w
}

// at adds the newest version to a path.
func at(path string) string {
	if strings.Contains(path, "?") {
		return path + "&api-version=" + newest
	}
	return path + "?api-version=" + newest
}

// codeOf is the code of an error.
func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	return decode[struct{ Error errorBody }](t, w).Error.Code
}

func messageOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	return decode[struct{ Error errorBody }](t, w).Error.Message
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return v
}

// withContoso makes the namespace contoso.
func (f *fixture) withContoso() *fixture {
	f.Helper()
	f.want(http.StatusCreated, http.MethodPut, at(contoso), `{"location":"West US"}`)
	return f
}
