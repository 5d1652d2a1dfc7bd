package relayclient

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/sas"
)

// Entity is a hybrid connection, how to reach it and how to get tokens for it.
// It may be copied.
type Entity struct {
	// Endpoint is [scheme://]host[:port][/]. The schemes sb, wss and https,
	// and none, are TLS; ws and http are plain text.
	Endpoint string
	// Path is the name of the hybrid connection, without a slash at its ends,
	// not escaped.
	Path string
	// Token makes tokens. Senders to an entity that wants none leave it nil.
	Token TokenSource

	// TLS is the configuration of TLS; nil is the system's trust. To trust an
	// authority of one's own, such as ca.pem of relayhouse dev, set RootCAs. It
	// holds for rendezvous addresses too, which may have other hosts.
	TLS *tls.Config
	// Insecure makes the scheme sb, and none, plain text.
	Insecure bool
	// Proxy says which HTTP proxy leads to a URL; nil is
	// http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// NetDial opens TCP connections; nil is that of net.Dialer.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)
}

// ParseConnectionString makes an Entity of a connection string. A path that is
// not empty goes before the EntityPath in it.
//
//	Errors: wrap sas.ErrConnectionString and quote nothing of the text.
//	Source: docs/protocol.md, section 6.8.
func ParseConnectionString(text, path string) (Entity, error) {
	c, err := sas.ParseConnectionString(text)
	if err != nil {
		return Entity{}, err
	}
	e := Entity{Endpoint: "sb://" + c.Host, Path: c.EntityPath}
	if path != "" {
		e.Path = path
	}
	switch {
	case c.ManagedIdentity:
		return Entity{}, fmt.Errorf("%w: managed identities are not supported",
			sas.ErrConnectionString)
	case c.Key != "":
		e.Token = Key(c.KeyName, c.Key)
	case c.Signature != "":
		e.Token = Fixed(c.Signature)
	}
	if _, err := e.base(); err != nil {
		return Entity{}, err
	}
	return e, nil
}

// ErrEntity is wrapped by the errors of entities that cannot be used.
var ErrEntity = errors.New("relayclient: invalid entity")

// base is the URL of the entity, ws or wss, without $hc, or an error that wraps
// ErrEntity.
func (e *Entity) base() (*url.URL, error) {
	endpoint := e.Endpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "sb://" + endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: want Endpoint as [scheme://]host[:port]", ErrEntity)
	}
	base := &url.URL{Host: strings.TrimSuffix(u.Host, ":")}
	switch u.Scheme {
	case "wss", "https":
		base.Scheme = "wss"
	case "ws", "http":
		base.Scheme = "ws"
	case "sb":
		base.Scheme = "wss"
		if e.Insecure {
			base.Scheme = "ws"
		}
	default:
		return nil, fmt.Errorf("%w: the scheme of Endpoint is none of sb, wss, ws, https, http",
			ErrEntity)
	}
	if e.Path == "" || e.Path != strings.Trim(e.Path, "/") {
		return nil, fmt.Errorf("%w: want a Path without a slash at its ends", ErrEntity)
	}
	base.Path = "/" + e.Path
	return base, nil
}

// leg is the address of a WebSocket to the entity. The suffix is escaped and
// may have a query.
func leg(base *url.URL, suffix, action, id string) (*url.URL, error) {
	path, query, _ := strings.Cut(suffix, "?")
	if path != "" && path[0] != '/' {
		path = "/" + path
	}
	if query != "" {
		query += "&"
	}
	query += "sb-hc-action=" + action + "&sb-hc-id=" + url.QueryEscape(id)
	u, err := url.Parse(base.Scheme + "://" + base.Host + "/$hc" + base.EscapedPath() + path +
		"?" + query)
	if err != nil || strings.Contains(suffix, "#") {
		return nil, fmt.Errorf("%w: the suffix is no path with a query", ErrEntity)
	}
	return u, nil
}

// audience is what tokens are signed for (docs/protocol.md, section 6.4).
func audience(base *url.URL) string {
	host := base.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "http://" + host + base.EscapedPath()
}

// URL is the address of the entity for HTTP requests, with a suffix: a path
// below the entity and a query, escaped. It is empty if the entity is not valid.
func (e *Entity) URL(suffix string) string {
	base, err := e.base()
	if err != nil {
		return ""
	}
	if suffix != "" && suffix[0] != '/' && suffix[0] != '?' {
		suffix = "/" + suffix
	}
	return httpScheme(base.Scheme) + "://" + base.Host + base.EscapedPath() + suffix
}

func httpScheme(scheme string) string { return "http" + strings.TrimPrefix(scheme, "ws") }

// Transport returns an http.RoundTripper that adds a token to the requests for
// the entity. Requests for other hosts, such as those that follow a redirect,
// or without TLS where the entity has it, go without.
//
//	Errors: wrap ErrEntity. Those of requests are of net/http or of the
//	        TokenSource. A refusal of the gateway is a response without the
//	        header Via (docs/protocol.md, section 5.6).
func (e *Entity) Transport() (http.RoundTripper, error) {
	base, err := e.base()
	if err != nil {
		return nil, err
	}
	t := e.transport()
	t.DisableKeepAlives = false
	return &sender{entity: *e, base: base, transport: t}, nil
}

// sender is the RoundTripper of Transport.
type sender struct {
	entity    Entity
	base      *url.URL
	transport *http.Transport
}

// RoundTrip adds a token.
func (s *sender) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.entity.Token == nil || !strings.EqualFold(r.URL.Host, s.base.Host) ||
		r.URL.Scheme != httpScheme(s.base.Scheme) {
		return s.transport.RoundTrip(r)
	}
	token, _, err := s.entity.token(r.Context(), s.base)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Header.Set(hyco.HeaderToken, token)
	return s.transport.RoundTrip(r)
}

// CloseIdleConnections is for http.Client.
func (s *sender) CloseIdleConnections() { s.transport.CloseIdleConnections() }
