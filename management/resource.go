package management

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	typeNamespace = "Microsoft.Relay/Namespaces"
	typeRules     = "/AuthorizationRules"

	// defaultGroup stands in ids for the resource group of a namespace that
	// has none, where the request names none either.
	defaultGroup = "default"
	// noSubscription likewise.
	noSubscription = "00000000-0000-0000-0000-000000000000"
	// defaultLocation is where a namespace without a location is.
	defaultLocation = "local"

	// timeFormat has 7 decimals, as .NET writes times.
	timeFormat = "2006-01-02T15:04:05.0000000Z"
)

// resource is what all resources begin with.
type resource struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Type string `json:"type"`
}

// systemData is who did what when; who is not known.
type systemData struct {
	CreatedAt      string `json:"createdAt,omitempty"`
	LastModifiedAt string `json:"lastModifiedAt,omitempty"`
}

func newSystemData(v version, created, updated time.Time) *systemData {
	if !v.systemData() || created.IsZero() && updated.IsZero() {
		return nil
	}
	return &systemData{formatTime(created), formatTime(updated)}
}

// formatTime is "" for a time that is not known.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeFormat)
}

// namespaceID is the id of a namespace as this client sees it.
func (c *call) namespaceID(d *namespace.Definition) string {
	return namespaceID(d, c.subscription, cmp.Or(c.group, defaultGroup))
}

// namespaceID is the id of a namespace. Labels that it has not are those of the
// caller.
func namespaceID(d *namespace.Definition, subscription, group string) string {
	subscription, group = cmp.Or(d.Subscription, subscription), cmp.Or(d.ResourceGroup, group)
	return "/subscriptions/" + segment(subscription) + "/resourceGroups/" + segment(group) +
		inProvider + "/namespaces/" + segment(d.Name)
}

// segment escapes a name so that an id is a path that can be asked for.
func segment(name string) string { return url.PathEscape(name) }

// sees says whether a namespace is in the subscription and the resource group
// that were asked for. One without labels is in all of them.
func (c *call) sees(d *namespace.Definition) bool {
	return (d.Subscription == "" || equalFold(d.Subscription, c.subscription)) &&
		(d.ResourceGroup == "" || c.group == "" || equalFold(d.ResourceGroup, c.group))
}

// parent returns the namespace of a path, which must be there.
func (c *call) parent(s *namespace.Snapshot) (*namespace.Namespace, namespace.Definition, error) {
	n := s.Namespace(c.namespace)
	if n == nil {
		return nil, namespace.Definition{}, faultParent(c.namespace)
	}
	d := n.Settings()
	if !c.sees(&d) {
		return nil, namespace.Definition{}, faultParent(c.namespace)
	}
	return n, d, nil
}

// etag is a fingerprint of what a client can change in a resource. It is never
// made of keys.
func etag(parts ...any) string {
	text, _ := json.Marshal(parts) // strings, numbers, times and structs of them
	sum := sha256.Sum256(text)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// check holds a change against If-Match and If-None-Match.
//
//	Shape:  current is the etag of what is there, "" for nothing.
//	Errors: *fault 412.
//	Source: docs/protocol.md, section 13.6; RFC 9110 sections 13.1.1, 13.1.2.
func (c *call) check(current string) error {
	if lines := c.r.Header.Values("If-Match"); len(lines) > 0 && !matches(lines, current) {
		return newFault(http.StatusPreconditionFailed, codePrecondition,
			"The condition 'If-Match' is not met.")
	}
	if lines := c.r.Header.Values("If-None-Match"); len(lines) > 0 && matches(lines, current) {
		return newFault(http.StatusPreconditionFailed, codePrecondition,
			"The condition 'If-None-Match' is not met.")
	}
	return nil
}

// matches says whether one of the tags of a header is that of what is there.
func matches(lines []string, current string) bool {
	if current == "" {
		return false
	}
	for _, line := range lines {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == current {
				return true
			}
		}
	}
	return false
}
