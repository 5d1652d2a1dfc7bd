package sas

import (
	"net/url"
	"strings"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// Audience is the address that a token was signed for, normalized.
type Audience struct {
	// Host is in lower case, without port, user info and brackets.
	Host string
	// Path is decoded and has no slash at its ends, none doubled, and no
	// leading $hc segment. Empty means the whole namespace.
	Path string

	// exact is Path with the doubled slashes that were sent inside it; a
	// client may sign such an address and then dial it.
	exact string
}

// ParseAudience normalizes the sr field of a token.
//
//	Shape:  raw is Token.Resource: a URI, percent-encoded or not. Any scheme
//	        or none; user info, port, query and fragment are dropped. The path
//	        is decoded once as part of the token and once as part of the URI.
//	Errors: ErrEscape, ErrAudience.
//	Owner:  the Audience shares no memory with raw; it may be kept.
//	Source: docs/protocol.md, section 6.4.
func ParseAudience(raw string) (Audience, error) {
	text, err := url.QueryUnescape(strings.Clone(raw))
	if err != nil {
		return Audience{}, ErrEscape
	}
	if i := strings.Index(text, "://"); i >= 0 && !strings.ContainsAny(text[:i], "/?#") {
		text = text[i+len("://"):]
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i]
	}
	authority, path, _ := strings.Cut(text, "/")
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded // else the client signed the decoded path itself
	}
	a := Audience{Host: strings.ToLower(HostName(authority))}
	if a.Host == "" {
		return Audience{}, ErrAudience
	}
	a.exact = strings.Trim(path, "/")
	const prefix = "$hc"
	if len(a.exact) >= len(prefix) && ascii.EqualFold(a.exact[:len(prefix)], prefix) {
		if rest := a.exact[len(prefix):]; rest == "" || rest[0] == '/' {
			a.exact = strings.TrimLeft(rest, "/")
		}
	}
	a.Path = collapse(a.exact)
	return a, nil
}

// collapse makes one slash of each run of slashes.
func collapse(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// Covers says whether a token for a may be used at path.
//
//	Shape:  isHost knows the names of the namespace, in lower case. path is
//	        the whole decoded path of the request, without the slash or $hc
//	        segment before it. Letter case does not count, segments do: "hy"
//	        does not cover "hyco". Slashes of path are not collapsed, for that
//	        could turn an address below one entity into another entity.
//	Cost:   0 allocs.
//	Source: docs/protocol.md, section 6.4.
func (a Audience) Covers(isHost func(host string) bool, path string) bool {
	if !isHost(a.Host) {
		return false
	}
	return within(path, a.Path) || within(path, a.exact)
}

// within says whether path is base or lies below it.
func within(path, base string) bool {
	n := len(base)
	return n == 0 || len(path) >= n &&
		(len(path) == n || path[n] == '/') && ascii.EqualFold(path[:n], base)
}

// HostName cuts an authority down to its host: no user info, no port, no
// brackets around an IPv6 address, no dot at the end. Letter case stays.
func HostName(authority string) string {
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host[1:], "]")
		return host
	}
	if i := strings.IndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i+1:], ':') < 0 {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}
