package arm

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The versions of the API. The newer one is for namespaces, whose least TLS
// version the older one does not know; az does the same.
const (
	apiVersion          = "2024-01-01"
	apiVersionNamespace = "2026-07-01-preview"
)

// Bounds on what a server can do to us.
const (
	// AnswerMax is the longest answer that is read, in bytes.
	AnswerMax = 16 << 20
	// pagesMax bounds a list: a namespace may have 100,000 entities.
	pagesMax = 2000
	// dialTimeout is for a TCP connection, and for a TLS handshake.
	dialTimeout = 10 * time.Second
)

// Errors of answers that cannot be used.
var (
	ErrAnswerSize = errors.New("the answer is longer than 16 MiB")
	ErrAnswer     = errors.New("the answer is not the JSON that it should be")
	ErrPages      = errors.New("the list does not end")
	ErrNextLink   = errors.New("the list goes on at another host, which is not followed")
)

// Config says where and how.
type Config struct {
	// Base is scheme://host[:port].
	Base *url.URL
	// Token is the bearer token; empty sends none.
	Token string
	// CAs are trusted, nil for those of the system.
	CAs *x509.CertPool
	// Subscription and ResourceGroup are parts of every path.
	Subscription, ResourceGroup string
	// Timeout is for a request with its answer, of calls that do not say
	// otherwise.
	Timeout time.Duration
	// Program is the name and version to send.
	Program string
}

// Client speaks to one gateway.
type Client struct {
	cfg  Config
	http *http.Client
}

// New returns a client; it connects when it is used.
func New(cfg Config) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: cfg.CAs, MinVersion: tls.VersionTLS12}
	transport.TLSHandshakeTimeout = dialTimeout
	transport.MaxResponseHeaderBytes = 64 << 10
	return &Client{cfg: cfg, http: &http.Client{
		Transport: transport,
		// A token goes where its owner sent it and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// InGroup returns a client that differs in the resource group only.
func (c *Client) InGroup(group string) *Client {
	other := *c
	other.cfg.ResourceGroup = group
	return &other
}

// AllNamespaces lists the namespaces of the subscription, of every group.
func (c *Client) AllNamespaces(ctx context.Context) ([]Resource, error) {
	path, err := escape("subscriptions", c.cfg.Subscription, "providers", provider, namespaceWord)
	if err != nil {
		return nil, err
	}
	return c.list(ctx, path, apiVersionNamespace)
}

// CheckName asks whether a namespace could have a name.
func (c *Client) CheckName(ctx context.Context, name string) (Resource, error) {
	path, err := escape("subscriptions", c.cfg.Subscription, "providers", provider,
		"checkNameAvailability")
	if err != nil {
		return nil, err
	}
	return c.one(ctx, http.MethodPost, c.address(path, apiVersionNamespace), "",
		Resource{"name": name})
}

// List returns the items of the list p.
func (c *Client) List(ctx context.Context, p Path) ([]Resource, error) {
	path, version, err := c.path(p)
	if err != nil {
		return nil, err
	}
	return c.list(ctx, path, version)
}

// Get returns a resource and its ETag, which may be empty. A gateway may say of
// a WCF relay that it does not exist with 204; that is a *StatusError with 404.
func (c *Client) Get(ctx context.Context, p Path) (r Resource, etag string, err error) {
	path, version, err := c.path(p)
	if err != nil {
		return nil, "", err
	}
	a, err := c.send(ctx, http.MethodGet, c.address(path, version), "", nil)
	if err == nil && a.status == http.StatusNoContent {
		err = &StatusError{Status: http.StatusNotFound, Code: "ResourceNotFound"}
	}
	if err != nil {
		return nil, "", err
	}
	r, err = a.resource()
	return r, a.etag, err
}

// Put makes or replaces a resource. An etag that is not empty must be that of
// what is there, else the error has status 412.
func (c *Client) Put(ctx context.Context, p Path, etag string, body Resource) (Resource, error) {
	return c.change(ctx, http.MethodPut, p, etag, body)
}

// Patch changes some members of a namespace.
func (c *Client) Patch(ctx context.Context, p Path, body Resource) (Resource, error) {
	return c.change(ctx, http.MethodPatch, p, "", body)
}

// Delete removes a resource and says whether there was one.
func (c *Client) Delete(ctx context.Context, p Path) (existed bool, err error) {
	path, version, err := c.path(p)
	if err != nil {
		return false, err
	}
	a, err := c.send(ctx, http.MethodDelete, c.address(path, version), "", nil)
	return err == nil && a.status != http.StatusNoContent, err
}

// Keys returns the keys and connection strings of a rule.
func (c *Client) Keys(ctx context.Context, rule Path) (Resource, error) {
	return c.change(ctx, http.MethodPost, rule.with("listKeys"), "", nil)
}

// RenewKey gives a rule another PrimaryKey or SecondaryKey: key, or one that the
// gateway makes if key is empty. It returns what Keys does.
func (c *Client) RenewKey(ctx context.Context, rule Path, which, key string) (Resource, error) {
	body := Resource{"keyType": which}
	if key != "" {
		body["key"] = key
	}
	return c.change(ctx, http.MethodPost, rule.with("regenerateKeys"), "", body)
}

func (c *Client) change(
	ctx context.Context, method string, p Path, etag string, body Resource,
) (Resource, error) {
	path, version, err := c.path(p)
	if err != nil {
		return nil, err
	}
	return c.one(ctx, method, c.address(path, version), etag, body)
}

// path returns the URL path of p and the version that its requests name.
func (c *Client) path(p Path) (path, version string, err error) {
	segments := append([]string{
		"subscriptions", c.cfg.Subscription, "resourceGroups", c.cfg.ResourceGroup,
		"providers", provider,
	}, p.segments...)
	version = apiVersion
	if len(p.segments) <= 2 {
		version = apiVersionNamespace
	}
	path, err = escape(segments...)
	return path, version, err
}

func (c *Client) address(path, version string) string {
	address := strings.TrimSuffix(c.cfg.Base.String(), "/") + path
	if version != "" {
		address += "?api-version=" + version
	}
	return address
}

func (c *Client) list(ctx context.Context, path, version string) ([]Resource, error) {
	var all []Resource
	address := c.address(path, version)
	for range pagesMax {
		a, err := c.send(ctx, http.MethodGet, address, "", nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Value    []Resource
			NextLink string
		}
		if err := a.decode(&page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if page.NextLink == "" {
			return all, nil
		}
		next, err := url.Parse(page.NextLink)
		if err != nil || next.Scheme != c.cfg.Base.Scheme || next.Host != c.cfg.Base.Host {
			return nil, ErrNextLink
		}
		address = page.NextLink
	}
	return nil, ErrPages
}

// one sends a request and reads a resource.
func (c *Client) one(
	ctx context.Context, method, address, etag string, body Resource,
) (Resource, error) {
	a, err := c.send(ctx, method, address, etag, body)
	if err != nil {
		return nil, err
	}
	return a.resource()
}

// answer is a success.
type answer struct {
	status int
	etag   string
	body   []byte
}

func (a answer) decode(v any) error {
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return ErrAnswer
	}
	return nil
}

func (a answer) resource() (r Resource, err error) {
	err = a.decode(&r)
	return r, err
}

// send sends a request and reads the whole answer.
//
//	Errors: *StatusError if the answer is no success, ErrAnswerSize, or what
//	        net/http says; never with a token in it.
func (c *Client) send(
	ctx context.Context, method, address, etag string, body Resource,
) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var content io.Reader
	contentType := ""
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		content, contentType = bytes.NewReader(text), "application/json"
	}
	resp, err := c.do(ctx, method, address, contentType, etag, content)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, etag: resp.Header.Get("ETag")}
	a.body, err = readAll(resp.Body)
	return a, err
}

func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, AnswerMax+1))
	if err == nil && len(text) > AnswerMax {
		err = ErrAnswerSize
	}
	return text, err
}

// do sends a request and returns an answer that is a success; who calls closes
// its body.
func (c *Client) do(
	ctx context.Context, method, address, contentType, etag string, body io.Reader,
) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	set := func(name, value string) {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	set("Accept", "application/json")
	set("User-Agent", c.cfg.Program)
	set("Content-Type", contentType)
	set("If-Match", etag)
	if c.cfg.Token != "" {
		set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	return nil, statusError(resp.StatusCode, text)
}
