package arm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// newClient returns a client of a server that answers with h.
func newClient(t *testing.T, h http.HandlerFunc) (*Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(h)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Config{
		Base: base, Token: "t", Subscription: "s", ResourceGroup: "g", Timeout: 10 * time.Second,
		Program: "test/1",
	})
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c, server
}

func TestPaths(t *testing.T) {
	ns := Namespace("n")
	const base = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Relay/"
	c := New(Config{Base: &url.URL{}, Subscription: "s", ResourceGroup: "g"})
	for _, x := range []struct {
		path          Path
		want, version string
	}{
		{Namespaces(), "namespaces", apiVersionNamespace},
		{ns, "namespaces/n", apiVersionNamespace},
		{ns.Rules(), "namespaces/n/authorizationRules", apiVersion},
		{ns.NetworkRules(), "namespaces/n/networkRuleSets/default", apiVersion},
		{ns.HybridConnections(), "namespaces/n/hybridConnections", apiVersion},
		{ns.HybridConnection("a/b c"), "namespaces/n/hybridConnections/a%2Fb%20c", apiVersion},
		{ns.HybridConnection("?#%"), "namespaces/n/hybridConnections/%3F%23%25", apiVersion},
		{ns.HybridConnection("../x"), "namespaces/n/hybridConnections/..%2Fx", apiVersion},
		{ns.WCFRelays(), "namespaces/n/wcfRelays", apiVersion},
		{ns.WCFRelay("w").Rule("r"), "namespaces/n/wcfRelays/w/authorizationRules/r", apiVersion},
	} {
		path, version, err := c.path(x.path)
		if err != nil || path != base+x.want || version != x.version {
			t.Errorf("got %s, %s, %v; want %s", path, version, err, x.want)
		}
	}
	for _, name := range []string{"", ".", ".."} {
		if _, _, err := c.path(ns.HybridConnection(name)); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if a, b := ns.Rule("a"), ns.Rule("b"); a.Name() != "a" || b.Name() != "b" {
		t.Error("paths share their segments")
	}
}

func TestStatusErrors(t *testing.T) {
	for _, x := range []struct {
		status int
		body   string
		want   string
	}{
		{404, `{"error":{"code":"ResourceNotFound","message":"No."}}`, "ResourceNotFound: No."},
		{409, `{"code":"Conflict","message":"Older\nshape."}`, "Conflict: Older shape."},
		{409, `{"code":"x","message":"y","error":{"code":"Conflict","message":"Both."}}`, "Conflict: Both."},
		{400, `{"error":{"code":"OnlyCode"}}`, "OnlyCode (400 Bad Request)"},
		{400, `{"message":"only text"}`, "only text (400 Bad Request)"},
		{502, "<html>\x1b[2J bad\tgateway", "<html> [2J bad gateway (502 Bad Gateway)"},
		{503, "", "the gateway answered 503 Service Unavailable"},
		{500, `[]`, "[] (500 Internal Server Error)"},
		{302, "", "the gateway answered 302 Found"},
		{400, strings.Repeat("x", 5000), strings.Repeat("x", 1024) + "… (400 Bad Request)"},
	} {
		c, _ := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(x.status)
			_, _ = io.WriteString(w, x.body)
		})
		_, _, err := c.Get(t.Context(), Namespace("n"))
		var status *StatusError
		if !errors.As(err, &status) || status.Status != x.status || err.Error() != x.want {
			t.Errorf("%d %.40q: %v", x.status, x.body, err)
		}
	}
}

// TestNoContent: what a gateway may say of WCF relays, and of deletions.
func TestNoContent(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	_, _, err := c.Get(t.Context(), Namespace("n").WCFRelay("w"))
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("get: %v", err)
	}
	if existed, err := c.Delete(t.Context(), Namespace("n")); existed || err != nil {
		t.Errorf("delete: %v, %v", existed, err)
	}
}

// TestHeaders holds what each request carries.
func TestHeaders(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		h := r.Header
		if h.Get("Authorization") != "Bearer t" || h.Get("User-Agent") != "test/1" ||
			h.Get("Accept") != "application/json" || h.Get("If-Match") != `"5"` ||
			h.Get("Content-Type") != "application/json" || r.ContentLength != 2 {
			t.Errorf("%v", h)
		}
		_, _ = io.WriteString(w, "{}")
	})
	if _, err := c.Put(t.Context(), Namespace("n"), `"5"`, Resource{}); err != nil {
		t.Error(err)
	}
}

// TestLists: pages are followed, to their end and on the same host only.
func TestLists(t *testing.T) {
	for name, x := range map[string]struct {
		next string // BASE is the server.
		want error
	}{
		"other host":   {"http://127.0.0.2/x", ErrNextLink},
		"other scheme": {"https://HOST/x", ErrNextLink},
		"user info":    {"http://HOST@127.0.0.2/x", ErrNextLink},
		"relative":     {"/x", ErrNextLink},
		"no URL":       {"::", ErrNextLink},
		"for ever":     {"BASE/x", ErrPages},
	} {
		var server *httptest.Server
		var c *Client
		c, server = newClient(t, func(w http.ResponseWriter, _ *http.Request) {
			_, host, _ := strings.Cut(server.URL, "://")
			next := strings.NewReplacer("BASE", server.URL, "HOST", host).Replace(x.next)
			_, _ = io.WriteString(w, `{"value":[{"name":"a"}],"nextLink":"`+next+`"}`)
		})
		if _, err := c.List(t.Context(), Namespaces()); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRedirects are not followed: the token stays here.
func TestRedirects(t *testing.T) {
	reached := false
	c, _ := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			reached = true
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	if _, _, err := c.Get(t.Context(), Namespace("n")); err == nil || reached {
		t.Errorf("%v, %v", err, reached)
	}
}

// TestBounds: answers that are too long, no JSON, cut off, or never come.
func TestBounds(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	for name, x := range map[string]struct {
		serve http.HandlerFunc
		want  error
	}{
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			part := bytes.Repeat([]byte(" "), 1<<20)
			for range 17 {
				_, _ = w.Write(part)
			}
		}, ErrAnswerSize},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, ErrAnswer},
		"a list":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }, ErrAnswer},
		"empty":   {func(http.ResponseWriter, *http.Request) {}, ErrAnswer},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, io.ErrUnexpectedEOF},
		"never": {func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}, context.DeadlineExceeded},
	} {
		c, _ := newClient(t, x.serve)
		if x.want == context.DeadlineExceeded {
			c.cfg.Timeout = 50 * time.Millisecond
		}
		if _, _, err := c.Get(t.Context(), Namespace("n")); !errors.Is(err, x.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// endless is a reader without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestDownloadsAreBounded(t *testing.T) {
	c, _ := newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, endless{}) })
	var n counter
	if err := c.download(t.Context(), "/x", "", &n, 1<<20); !errors.Is(err, ErrFileSize) || n > 1<<20+1 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

func TestResource(t *testing.T) {
	r := Resource{
		"name": "a", "id": "/subscriptions/1/RESOURCEGROUPS/g/x", "properties": map[string]any{
			"name": "inner", "on": true, "off": false, "list": []any{"x", 1.0, "y"}, "none": nil,
		},
	}
	flat := r.Flat()
	if flat.Text("name") != "a" || flat.Text("on") != "true" || flat.Text("off") != "false" ||
		flat.Text("none") != "" || flat.Text("absent") != "" || flat.Text("list") != "" ||
		strings.Join(flat.Texts("list"), " ") != "x y" || flat["properties"] != nil || r.Group() != "g" {
		t.Errorf("%v", flat)
	}
	if r := (Resource)(nil); r.Flat().Text("x") != "" || r.Group() != "" || r.Texts("x") != nil {
		t.Error("the nil Resource")
	}
	if (Resource{"id": "resourceGroups"}).Group() != "" {
		t.Error("an id that ends")
	}
}

// FuzzStatusError: whatever a server says is one line without escapes.
func FuzzStatusError(f *testing.F) {
	f.Add(404, []byte(`{"error":{"code":"c","message":"m"}}`))
	f.Add(500, []byte("\x1b]0;title\a<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		text := statusError(status, body).Error()
		if strings.ContainsAny(text, "\n\r\x1b\a\u009b") || len(text) > 3*textMax {
			t.Errorf("%q", text)
		}
	})
}
