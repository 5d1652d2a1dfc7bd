package relayclient_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/relaytest"
)

// site is a node with a handler behind an entity, and a client for it.
type site struct {
	*relaytest.Node
	l      *relayclient.Listener
	client *http.Client
	entity relayclient.Entity
}

func serve(t *testing.T, h http.HandlerFunc, edit ...func(*relayclient.Options)) *site {
	t.Helper()
	n := relaytest.Start(t)
	e := entity(n, relaytest.Authorized)
	transport, err := e.Transport()
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport, Timeout: relaytest.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	l := listen(t, n, relaytest.Authorized, append(edit, func(o *relayclient.Options) {
		if h != nil {
			o.Handler = h
		}
	})...)
	return &site{n, l, client, e}
}

func (s *site) do(t *testing.T, method, suffix string, body io.Reader) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(patient(t), method, s.entity.URL(suffix), body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// ask is do with the whole body, of which the end must come.
func (s *site) ask(t *testing.T, method, suffix string) (*http.Response, string) {
	t.Helper()
	res := s.do(t, method, suffix, nil)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, suffix, err)
	}
	return res, string(body)
}

// TestResponses: what a handler does, and what the sender sees.
func TestResponses(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("large ", 20000)
	handlers := map[string]http.HandlerFunc{
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"sniffed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html><body>")
		},
		"cookies": func(w http.ResponseWriter, _ *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
			w.Header().Add("X-Many", "1")
			w.Header().Add("X-Many", "2")
			w.Header()["bad name"] = []string{"x"}
			w.Header().Set("X-Bad", "a\r\nX-More: b")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
			w.WriteHeader(http.StatusOK) // too late
			w.Header().Set("X-Late", "x")
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("write behind 204: %v", err)
			}
		},
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			if _, err := io.WriteString(w, "four"); !errors.Is(err, http.ErrContentLength) {
				t.Errorf("write over Content-Length: %v", err)
			}
			_, _ = io.WriteString(w, "thr")
		},
		"large":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) },
		"flushed": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"long headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 40<<10))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		},
		"panic": func(http.ResponseWriter, *http.Request) { panic("oh") },
		"panic late": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Gone", "x")
			_, _ = io.WriteString(w, "gone")
			panic(http.ErrAbortHandler)
		},
	}
	var log bytes.Buffer
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		handlers[r.URL.Query().Get("do")](w, r)
	}, func(o *relayclient.Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, tt := range []struct {
		do, method string
		status     int
		body       string
		header     string // name=value; no value: it must not be there
	}{
		{"nothing", "GET", 200, "", "Content-Type="},
		{"sniffed", "GET", 200, "<html><body>", "Content-Type=text/html; charset=utf-8"},
		{"sniffed", "GET", 200, "<html><body>", "Content-Length=12"},
		{"sniffed", "HEAD", 200, "", "X-Late="},
		{"cookies", "GET", 418, "", "Set-Cookie=a=1|b=2"},
		{"cookies", "GET", 418, "", "X-Many=1, 2"},
		{"cookies", "GET", 418, "", "X-Bad=a  X-More: b"},
		{"cookies", "GET", 418, "", "X-Late="},
		{"no content", "GET", 204, "", "Content-Length="},
		{"length", "GET", 200, "thr", "Content-Length=3"},
		{"large", "GET", 200, large, "Content-Type=text/plain; charset=utf-8"},
		{"large", "HEAD", 200, "", "X-Late="},
		{"flushed", "GET", 200, "", "Content-Length="},
		{"flushed", "HEAD", 200, "", "X-Late="},
		{"long headers", "GET", 200, "", "X-Long=" + strings.Repeat("x", 40<<10)},
		{"redirect", "GET", 302, "<a href=\"/elsewhere\">Found</a>.\n\n", "Location=/elsewhere"},
		{"panic", "GET", 500, "", "Via=1.1 127.0.0.1"},
		{"panic late", "GET", 500, "", "X-Gone="},
	} {
		res, body := s.ask(t, tt.method, "?do="+strings.ReplaceAll(tt.do, " ", "+"))
		name, value, _ := strings.Cut(tt.header, "=")
		if got := strings.Join(res.Header.Values(name), "|"); res.StatusCode != tt.status ||
			body != tt.body || got != value {
			t.Errorf("%s %s: %s, %d bytes, %s: %q", tt.method, tt.do, res.Status, len(body),
				name, got)
		}
	}
	_ = s.l.Close()
	if !strings.Contains(log.String(), "panic=oh") {
		t.Errorf("log: %s", &log)
	}
}

// TestRequests: what a handler sees.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s|%s|%d", r.Method, r.RequestURI, r.URL.Path, r.Host,
			r.Header.Get("ServiceBusAuthorization")+r.Header.Get("Host"), r.ContentLength)
	})
	for _, tt := range []struct{ method, suffix, want string }{
		{"GET", "", "/authenticated|/authenticated"},
		{"DELETE", "/a%20b?c=%20d", "/authenticated/a%20b?c=%20d|/authenticated/a b"},
		{"GET", "/a%2Fb%25%3f", "/authenticated/a%2Fb%25%3f|/authenticated/a/b%?"},
		{"GET", "/%C3%A4%7B", "/authenticated/%C3%A4%7B|/authenticated/ä{"},
		{"OPTIONS", "/?sb-hc-id=1&x", "/authenticated/?x|/authenticated/"},
	} {
		want := tt.method + "|" + tt.want + "|" + s.HTTP + "||0"
		if _, body := s.ask(t, tt.method, tt.suffix); body != want {
			t.Errorf("%s %s: %s, want %s", tt.method, tt.suffix, body, want)
		}
	}
}

// TestStreams: bodies of any size go both ways at the same time, and what is
// flushed arrives.
func TestStreams(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for lines := bufio.NewReader(r.Body); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(w, "echo "+line)
			w.(http.Flusher).Flush()
		}
	})
	in, out := io.Pipe()
	go func() { _, _ = io.WriteString(out, "line 0\n") }()
	res := s.do(t, "POST", "", in) // chunked
	lines := bufio.NewReader(res.Body)
	for i := range 3 {
		if i > 0 {
			_, _ = fmt.Fprintf(out, "line %d\n", i)
		}
		want := fmt.Sprintf("echo line %d\n", i)
		if got, err := lines.ReadString('\n'); got != want || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	_ = out.Close()
	if rest, err := io.ReadAll(lines); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestLargeBodies(t *testing.T) {
	t.Parallel()
	data := make([]byte, 10<<20)
	rand.New(rand.NewSource(1)).Read(data)
	want := sha256.Sum256(data)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		if got := [32]byte(h.Sum(nil)); got != want || err != nil || n != int64(len(data)) {
			t.Errorf("request: %d bytes, %v", n, err)
		}
		_, _ = w.Write(data)
	})
	res := s.do(t, "PUT", "", bytes.NewReader(data))
	h := sha256.New()
	n, err := io.Copy(h, res.Body)
	if got := [32]byte(h.Sum(nil)); got != want || err != nil {
		t.Errorf("response: %d bytes, %v", n, err)
	}
}

// TestUnreadBody: a handler that does not look at a large body answers all the
// same.
func TestUnreadBody(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, "no")
		_ = r.Body.Close()
		if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read behind Close: %v", err)
		}
	})
	for _, size := range []int{100 << 10, 300 << 10} {
		res := s.do(t, "PUT", "", bytes.NewReader(make([]byte, size)))
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != http.StatusConflict || string(body) != "no" {
			t.Errorf("%s %q", res.Status, body)
		}
	}
}

// TestSenderGone: the context of a request ends with its sender, where that can
// be known: when something of it is on a rendezvous connection.
func TestSenderGone(t *testing.T) {
	t.Parallel()
	begun, gone := make(chan struct{}, 1), make(chan error, 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.(http.Flusher).Flush()
		}
		_, err := io.Copy(io.Discard, r.Body)
		begun <- struct{}{}
		<-r.Context().Done()
		_, _ = w.Write([]byte("nobody reads this"))
		gone <- err
	})
	for _, tt := range []struct{ method, body string }{
		{"GET", ""}, {"PUT", strings.Repeat("x", 100<<10)},
	} {
		ctx, cancel := context.WithCancel(patient(t))
		r, _ := http.NewRequestWithContext(ctx, tt.method, s.entity.URL(""),
			strings.NewReader(tt.body))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if res, err := s.client.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}()
		relaytest.Receive(t, begun, "the request")
		cancel()
		if err := relaytest.Receive(t, gone, "the end of the context"); err != nil {
			t.Errorf("%s: body: %v", tt.method, err)
		}
		<-done
	}
}

// TestCutResponse: a handler that panics behind the beginning of its response
// must not look like one that is done.
func TestCutResponse(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "beginning")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	res := s.do(t, "GET", "", nil)
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("%q looks whole", body)
	}
}

// TestRequestsMax: further requests get 503, in both forms, and the next one is
// served again. Without a handler it is 501.
func TestRequestsMax(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := serve(t, nil, func(o *relayclient.Options) { o.RequestsMax = 1 })
	if res, _ := s.ask(t, "GET", ""); res.StatusCode != http.StatusNotImplemented {
		t.Errorf("without a handler: %s", res.Status)
	}
	served := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		served <- s.l.Serve(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			begun <- struct{}{}
			<-release
		}))
	}()
	first := make(chan struct{}, 1)
	ask := func() {
		s.ask(t, "GET", "")
		first <- struct{}{}
	}
	go ask()
	for waiting := true; waiting; {
		select {
		case <-begun:
			waiting = false
		case <-first: // Serve had not set the handler yet
			go ask()
		}
	}
	for _, body := range []io.Reader{nil, strings.NewReader(strings.Repeat("x", 100<<10))} {
		if res := s.do(t, "POST", "", body); res.StatusCode != http.StatusServiceUnavailable ||
			res.Header.Get("Via") == "" {
			t.Errorf("beyond the bound: %s", res.Status)
		}
	}
	close(release)
	relaytest.Receive(t, first, "the first response")
	if res, _ := s.ask(t, "GET", ""); res.StatusCode != http.StatusOK {
		t.Errorf("again: %s", res.Status)
	}
	_ = s.l.Close()
	if err := relaytest.Receive(t, served, "the end of Serve"); err != http.ErrServerClosed {
		t.Error(err)
	}
}

// TestManyRequests: at once, on one control channel, each gets its own answer.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			want := strings.Repeat(fmt.Sprint(i), i*1000)
			res := s.do(t, "POST", "", strings.NewReader(want))
			if got, err := io.ReadAll(res.Body); string(got) != want || err != nil {
				t.Errorf("request %d: %d bytes, %v", i, len(got), err)
			}
		})
	}
	wg.Wait()
}

// TestTokenStaysHome: the token goes to the entity's host only.
func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	other := relaytest.Start(t)
	var seen []string
	var mu sync.Mutex
	l := listen(t, other, relaytest.Anonymous, func(o *relayclient.Options) {
		o.Reject = func(r *relayclient.Request) (int, string) { return 400, "" }
		o.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, r.Header.Get("ServiceBusAuthorization"), r.Header.Get("Authorization"))
		})
	})
	defer func() { _ = l.Close() }()
	e := entity(other, relaytest.Authorized)
	r, _ := http.NewRequestWithContext(patient(t), "GET", e.URL(""), nil)
	res, err := s.client.Do(r) // by the transport of s
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized || r.Header.Get("ServiceBusAuthorization") != "" {
		t.Errorf("a token at another host: %s", res.Status)
	}
	if slices.ContainsFunc(seen, func(s string) bool { return s != "" }) {
		t.Errorf("seen %q", seen)
	}
}
