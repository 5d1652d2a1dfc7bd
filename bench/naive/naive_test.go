package naive

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relayhouse/relayhouse/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func start(t *testing.T) (ctx context.Context, base string) {
	t.Helper()
	return startRelay(t, new(Relay))
}

func startRelay(t *testing.T, r *Relay) (ctx context.Context, base string) {
	t.Helper()
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(stop)
	return ctx, "ws://" + strings.TrimPrefix(srv.URL, "http://")
}

func dial(ctx context.Context, t *testing.T, url string) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		t.Fatalf("dial %s: %v", url, err)
	}
	if res.Body != nil {
		_ = res.Body.Close()
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// meet opens a sender and accepts it as the listener behind control.
func meet(
	ctx context.Context, t *testing.T, base string, control *websocket.Conn,
) (s, l *websocket.Conn) {
	t.Helper()
	opened := make(chan *websocket.Conn, 1)
	go func() {
		c, _, err := websocket.Dial(ctx, base+"/$hc/e?n=7&sb-hc-token=secret&sb-hc-action=connect",
			nil)
		if err != nil {
			t.Error(err)
		}
		opened <- c
	}()
	_, body, err := control.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Accept struct {
			Address, ID    string
			ConnectHeaders map[string]string
			RemoteEndpoint struct {
				Address string
				Port    int
			}
		}
	}
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatal(err)
	}
	a := m.Accept
	if !strings.HasPrefix(a.Address, base+"/$hc/e?n=7&sb-hc-rendezvous=") ||
		!strings.HasSuffix(a.Address, "&sb-hc-action=accept&sb-hc-id="+a.ID) ||
		strings.Contains(string(body), "secret") || a.ConnectHeaders["Sec-Websocket-Key"] == "" ||
		a.RemoteEndpoint.Address != "127.0.0.1" || a.RemoteEndpoint.Port == 0 {
		t.Errorf("accept message %s", body)
	}
	l = dial(ctx, t, a.Address)
	if s = <-opened; s == nil {
		t.FailNow()
	}
	s.SetReadLimit(-1)
	t.Cleanup(func() { _ = s.CloseNow() })
	if _, _, err := websocket.Dial(ctx, a.Address, nil); err == nil {
		t.Error("a rendezvous address worked twice")
	}
	return s, l
}

func TestRelayBothWaysAndClose(t *testing.T) {
	for _, gorilla := range []bool{false, true} {
		relayBothWaysAndClose(t, gorilla)
	}
}

func relayBothWaysAndClose(t *testing.T, gorilla bool) {
	ctx, base := startRelay(t, &Relay{Gorilla: gorilla})
	control := dial(ctx, t, base+"/$hc/e?sb-hc-action=listen")
	s, l := meet(ctx, t, base, control)
	for _, size := range []int{0, 1, 100, 1 << 20} {
		for _, leg := range [][2]*websocket.Conn{{s, l}, {l, s}} {
			want := bytes.Repeat([]byte{'x'}, size)
			go func() { _ = leg[0].Write(ctx, websocket.MessageText, want) }()
			kind, got, err := leg[1].Read(ctx)
			if err != nil || kind != websocket.MessageText || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d of kind %v, %v", size, len(got), kind, err)
			}
		}
	}
	go func() { _ = s.Close(4321, "done") }()
	_, _, err := l.Read(ctx)
	if websocket.CloseStatus(err) != 4321 {
		t.Errorf("listener's end: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	_, base := start(t)
	for path, want := range map[string]int{
		"/$hc/e?sb-hc-action=connect": http.StatusNotFound,
		"/$hc/e":                      http.StatusNotFound,
		"/$hc/e?sb-hc-action=accept&sb-hc-rendezvous=abc":  http.StatusForbidden,
		"/$hc/e?sb-hc-action=dance":                        http.StatusBadRequest,
		"/$hc/e?sb-hc-action=request&sb-hc-rendezvous=abc": http.StatusForbidden,
		"/e": http.StatusNotFound,
	} {
		res, err := http.Get("http" + strings.TrimPrefix(base, "ws") + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestServe(t *testing.T) {
	dir := t.TempDir()
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	go func() {
		done <- Serve(ctx, Config{HTTP: "127.0.0.1:0", HTTPS: "127.0.0.1:0",
			Admin: "127.0.0.1:0", DataDir: dir, Ready: func(at Addresses) { ready <- at }})
	}()
	at := <-ready
	body, err := os.ReadFile(filepath.Join(dir, "endpoints.json"))
	if err != nil || !strings.Contains(string(body), `"https":"`+at.HTTPS+`","admin":"`+at.Admin) {
		t.Errorf("endpoints.json: %s %v", body, err)
	}
	res, err := http.Get("http://" + at.Admin + "/readyz")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("readyz: %v %v", res, err)
	} else {
		_ = res.Body.Close()
	}
	meetOverTLS(t, at, filepath.Join(dir, "ca.pem"))
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{HTTP: at.Admin, Admin: "127.0.0.1:0"}, "listen for clients: "},
		{Config{HTTP: "127.0.0.1:0", Admin: at.Admin}, "listen for the operator: "},
		{Config{HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", HTTPS: at.Admin},
			"listen for clients with TLS: "},
		{Config{HTTP: "127.0.0.1:0", Admin: "127.0.0.1:0", DataDir: dir + "/none"},
			"write endpoints.json: "},
	} {
		if err := Serve(ctx, c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// meetOverTLS relays one message between clients that trust ca.pem; the listener
// is told an address that is served with TLS, too.
func meetOverTLS(t *testing.T, at Addresses, ca string) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	certificate, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	dial := func(url string) *websocket.Conn {
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Errorf("dial %s: %v", url, err)
			return nil
		}
		return c
	}
	base := "wss://" + at.HTTPS + "/$hc/e?sb-hc-action="
	control := dial(base + "listen")
	if control == nil {
		return
	}
	defer func() { _ = control.CloseNow() }()
	opened := make(chan *websocket.Conn, 1)
	go func() { opened <- dial(base + "connect") }()
	var m struct{ Accept struct{ Address string } }
	if _, body, err := control.Read(ctx); err != nil || json.Unmarshal(body, &m) != nil ||
		!strings.HasPrefix(m.Accept.Address, "wss://"+at.HTTPS+"/") {
		t.Fatalf("accept message %s, %v", body, err)
	}
	l := dial(m.Accept.Address)
	s := <-opened
	if l == nil || s == nil {
		return
	}
	defer func() { _ = l.CloseNow() }()
	defer func() { _ = s.CloseNow() }()
	if err := s.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, got, err := l.Read(ctx); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}
