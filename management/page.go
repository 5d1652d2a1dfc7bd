package management

import (
	"encoding/base64"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// Bounds of a page of a list; ours. $top asks for another length.
const (
	pageDefault = 100
	pageMax     = 1000
	skipMax     = 1_000_000
	tokenMax    = 1024 // bytes of $skipToken
)

// page is a part of a list as it is written.
type page struct {
	Value    []any  `json:"value"`
	NextLink string `json:"nextLink,omitempty"`
}

// paging is what a request says about the part of a list that it wants.
type paging struct {
	top, skip int
	after     string // the key of the last one seen; "" for the beginning
}

// readPaging reads $top, $skip and $skipToken, names in any letter case.
func readPaging(query url.Values) (paging, error) {
	p := paging{top: pageDefault}
	for name, values := range query {
		value := values[0]
		switch strings.ToLower(name) {
		case "$top":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > pageMax || len(values) > 1 {
				return p, faultBadRequest("$top", "$top: want 1 to %d, got '%s'.", pageMax,
					shown(value))
			}
			p.top = n
		case "$skip":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > skipMax || len(values) > 1 {
				return p, faultBadRequest("$skip", "$skip: want 0 to %d, got '%s'.", skipMax,
					shown(value))
			}
			p.skip = n
		case "$skiptoken":
			after, err := base64.RawURLEncoding.DecodeString(value)
			if err != nil || len(value) > tokenMax || len(values) > 1 {
				return p, faultBadRequest("$skipToken", "$skipToken: want that of a nextLink.")
			}
			p.after = string(after)
		}
	}
	return p, nil
}

// writePage answers with the part of items that the request asks for.
//
//	Shape:  items are sorted by key. A page begins behind the key of the one
//	        before, so that what is removed or added meanwhile neither repeats
//	        nor hides another item.
//	Source: docs/protocol.md, section 13.5.
func writePage[T any](
	c *call, items []T, key func(T) string, view func(T) any,
) (answer, error) {
	query := c.r.URL.Query()
	p, err := readPaging(query)
	if err != nil {
		return answer{}, err
	}
	if p.after != "" {
		items = items[sort.Search(len(items), func(i int) bool { return key(items[i]) > p.after }):]
	}
	items = items[min(p.skip, len(items)):]
	body := page{Value: make([]any, 0, min(p.top, len(items)))}
	for _, item := range items[:min(p.top, len(items))] {
		body.Value = append(body.Value, view(item))
	}
	if len(items) > p.top {
		body.NextLink = c.nextLink(query, key(items[p.top-1]))
	}
	return answerOK(body), nil
}

// nextLink is the address of the rest of a list: the one of the request, at
// the host that the client used. Headers of proxies do not count; a proxy
// keeps Host.
func (c *call) nextLink(query url.Values, last string) string {
	for name := range query {
		if folded := strings.ToLower(name); folded == "$skip" || folded == "$skiptoken" {
			delete(query, name)
		}
	}
	query.Set("$skipToken", base64.RawURLEncoding.EncodeToString([]byte(last)))
	scheme := "https"
	if c.r.TLS == nil {
		scheme = "http"
	}
	return scheme + "://" + c.r.Host + c.r.URL.EscapedPath() + "?" + query.Encode()
}
