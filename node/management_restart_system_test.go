//go:build system

package node_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestProcessManagementRestart changes processes while clients write. A write
// that meets the change is told to come again; what was acknowledged, by
// whichever process, is in force and on disk.
func TestProcessManagementRestart(t *testing.T) {
	const restarts, writers = 8, 3
	root, dir := newIssuer(t), t.TempDir()
	certificate, key := root.issue(t, 1, time.Hour)
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, content := range map[string][]byte{
		"tls.crt": certificate, "tls.key": key, "tokens": []byte("ops secret-token\n"),
	} {
		if err := os.WriteFile(in(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startServiceWith(t, serviceSettings, nil, "--management", "127.0.0.1:0",
		"--management-tokens", in("tokens"), "--management-certificate", in("tls.crt"),
		"--management-key", in("tls.key"), "--management-audit-log", in("audit.jsonl"),
		"--store-file", in("store.db"))
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: root.pool, ServerName: "localhost"},
		MaxIdleConnsPerHost: writers,
	}
	defer transport.CloseIdleConnections()
	m := &managed{
		process: s.process, token: "secret-token",
		client: &http.Client{Transport: transport, Timeout: 20 * time.Second},
		base: "https://" + field(s.line("ready", `"http"`), "management") +
			"/subscriptions/s/resourceGroups/g/providers/Microsoft.Relay/namespaces/restart-1",
	}
	body := map[string]any{"location": "here", "sku": map[string]string{"name": "Standard"}}
	if status, text, err := m.call("PUT", "", body); status != 201 {
		t.Fatal(status, string(text), err)
	}
	var versions [writers]int
	var again, done atomic.Int64
	var group sync.WaitGroup
	stop := make(chan struct{})
	for w := range writers {
		group.Go(func() {
			for v := 1; ; v++ {
				select {
				case <-stop:
					return
				default:
				}
				for tries := 0; ; tries++ {
					status, text, err := m.call("PUT", fmt.Sprint("/hybridConnections/w", w), versioned(v))
					if err == nil && status == 200 {
						break
					}
					again.Add(1)
					if err == nil && status != 503 || tries > 1000 {
						t.Errorf("writer %d: %d %s %v", w, status, text, err)
						return
					}
					time.Sleep(5 * time.Millisecond) // as Retry-After would say, and more eagerly
				}
				versions[w] = v
				done.Add(1)
			}
		})
	}
	for range restarts {
		before := done.Load()
		s.restart()
		soon(t, "writes behind the restart", func() bool { return done.Load() > before+5*writers })
	}
	close(stop)
	group.Wait()
	all := m.entities()
	for w, v := range versions {
		if got := all[fmt.Sprint("w", w)].Properties; got != versioned(v).Properties {
			t.Errorf("writer %d: %+v, version %d was acknowledged", w, got, v)
		}
	}
	s.quiet()
	audit, err := os.ReadFile(in("audit.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	succeeded := 0
	for line := range strings.Lines(string(audit)) {
		var record struct {
			Actor  string
			Status int
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Actor != "ops" {
			t.Fatalf("audit log: %s: %v", line, err)
		}
		if record.Status < 300 {
			succeeded++
		}
	}
	if want := int(done.Load()) + 1; succeeded < want {
		t.Errorf("the audit log has %d changes, want %d", succeeded, want)
	}
	t.Logf("%d writes over %d restarts, %d tried again", done.Load(), restarts, again.Load())
}
