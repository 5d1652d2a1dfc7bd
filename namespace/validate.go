package namespace

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/relayhouse/relayhouse/sas"
)

// The limits of what can be defined; Validate enforces them. Source:
// docs/protocol.md, sections 1.5, 6.1 and 12.1.
const (
	// NameMax bounds the name of a namespace, in bytes. Azure wants at least
	// 6, for the sake of its public host names; we do not.
	NameMax = 50
	// EntityNameMax bounds the name of an entity, in bytes.
	EntityNameMax = 260
	// RuleNameMax bounds the name of a rule, in bytes.
	RuleNameMax = 256
	// RulesMax bounds the rules of a namespace and of an entity.
	RulesMax = 12
	// KeyMax bounds a key, in bytes.
	KeyMax = 256
	// UserMetadataMax bounds an entity's metadata, in characters.
	UserMetadataMax = 1024
	// ListenersMaxMax bounds Entity.ListenersMax; it is ours.
	ListenersMaxMax = 10000
	// HTTPTimeMin and HTTPTimeMax bound Entity.HTTPResponseTimeout and
	// Entity.HTTPBodyGap, next to 0 and Never; they are ours.
	HTTPTimeMin = time.Second
	HTTPTimeMax = 24 * time.Hour

	// TagsMax, TagNameMax and TagValueMax bound Definition.Tags; the latter two
	// in characters, as in Azure.
	TagsMax     = 50
	TagNameMax  = 512
	TagValueMax = 256
	// LabelMax bounds Subscription, ResourceGroup and Location, in bytes.
	LabelMax = 90
	// IPRulesMax bounds the rules for addresses of a namespace. Source:
	// docs/protocol.md, section 12.1.
	IPRulesMax = 128

	hostMax = 253 // bytes of a host name; RFC 1035 section 2.3.4
)

// FieldError is a value that cannot be. Path leads to it in the settings:
// namespaces[0].hybrid_connections[2].listeners_max.
type FieldError struct {
	Path, Want string
	Got        string // never a key
}

// Error is one line: path: want …, got ….
func (e *FieldError) Error() string { return e.Path + ": want " + e.Want + ", got " + e.Got }

// Validate checks definitions against the limits and each other.
//
//	Errors: all *FieldError that apply, joined, the first 1,000 of them; nil if
//	        there are none.
func Validate(defs []Definition) error {
	var v validator
	namespaces, hosts := make(paths), make(paths)
	for i := range defs {
		d := &defs[i]
		path := fmt.Sprintf("namespaces[%d]", i)
		v.settings(path, d)
		v.unique(namespaces, path+".name", d.Name)
		for j, host := range d.Hosts {
			v.unique(hosts, fmt.Sprintf("%s.hosts[%d]", path, j), host)
		}
		entities := make(paths)
		for j := range d.HybridConnections {
			path := fmt.Sprintf("%s.hybrid_connections[%d]", path, j)
			v.entity(path, &d.HybridConnections[j], KindHybridConnection)
			v.unique(entities, path+".name", d.HybridConnections[j].Name)
		}
		for j := range d.WCFRelays {
			path := fmt.Sprintf("%s.wcf_relays[%d]", path, j)
			v.entity(path, &d.WCFRelays[j], KindWCFRelay)
			v.unique(entities, path+".name", d.WCFRelays[j].Name)
		}
	}
	return errors.Join(v.errs...)
}

// settings checks what a namespace has beside its entities.
func (v *validator) settings(path string, d *Definition) {
	if !validName(d.Name, NameMax, "-") {
		v.add(join(path, "name"), "1–50 letters, digits and hyphens, no hyphen at an end",
			strconv.Quote(d.Name))
	}
	for j, host := range d.Hosts {
		if !validHost(host) {
			v.add(join(path, fmt.Sprintf("hosts[%d]", j)), "a host name or address without port",
				strconv.Quote(host))
		}
	}
	for _, label := range []struct{ name, text string }{
		{"subscription", d.Subscription}, {"resource_group", d.ResourceGroup},
		{"location", d.Location},
	} {
		if len(label.text) > LabelMax || !printable(label.text) {
			v.add(join(path, label.name), "0–90 bytes of printable text", strconv.Quote(label.text))
		}
	}
	v.tags(join(path, "tags"), d.Tags)
	switch d.MinimumTLSVersion {
	case "", "1.2", "1.3":
	default:
		v.add(join(path, "minimum_tls_version"), "1.2 or 1.3", strconv.Quote(d.MinimumTLSVersion))
	}
	switch d.PublicNetworkAccess {
	case "", AccessEnabled, AccessDisabled, AccessSecuredByPerimeter:
	default:
		v.add(join(path, "public_network_access"), "Enabled, Disabled or SecuredByPerimeter",
			strconv.Quote(string(d.PublicNetworkAccess)))
	}
	v.network(join(path, "network_rules"), &d.Network)
	v.rules(path, d.Rules)
}

func (v *validator) tags(path string, tags map[string]string) {
	if len(tags) > TagsMax {
		v.add(path, "0–50 tags", strconv.Itoa(len(tags)))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if n := utf8.RuneCountInString(name); n == 0 || n > TagNameMax || !printable(name) {
			v.add(path, "names of 1–512 printable characters", strconv.Quote(name))
		}
		if value := tags[name]; utf8.RuneCountInString(value) > TagValueMax || !printable(value) {
			v.add(path, "values of 0–256 printable characters", strconv.Quote(value))
		}
	}
}

func (v *validator) network(path string, r *NetworkRules) {
	if len(r.IPRules) > IPRulesMax {
		v.add(path+".ip_rules", "0–128 rules", strconv.Itoa(len(r.IPRules)))
		return
	}
	for i := range r.IPRules {
		rule := &r.IPRules[i]
		read, ok := ParseIPRule(rule.Mask)
		if !ok || read.Prefix != rule.Prefix {
			v.add(fmt.Sprintf("%s.ip_rules[%d].ip_mask", path, i),
				"an address or a prefix such as 10.0.0.0/8", strconv.Quote(rule.Mask))
		}
	}
}

func printable(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) })
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// paths says where a lower-case name was first seen.
type paths map[string]string

type validator struct{ errs []error }

// errorsMax bounds the errors of one call: nobody reads more.
const errorsMax = 1000

func (v *validator) add(path, want, got string) {
	if len(v.errs) >= errorsMax {
		return
	}
	v.errs = append(v.errs, &FieldError{Path: path, Want: want, Got: got})
}

func (v *validator) unique(seen paths, path, name string) {
	name = lower(name)
	if first, ok := seen[name]; ok {
		v.add(path, "another name than "+first, strconv.Quote(name))
		return
	}
	seen[name] = path
}

func (v *validator) entity(path string, e *Entity, k Kind) {
	if e.Kind != k {
		v.add(join(path, "kind"), k.String(), e.Kind.String())
	}
	switch wcf := k == KindWCFRelay; {
	case wcf && e.RelayType != RelayNetTCP && e.RelayType != RelayHTTP:
		v.add(join(path, "relay_type"), "NetTcp or Http", strconv.Quote(string(e.RelayType)))
	case !wcf && e.RelayType != "":
		v.add(join(path, "relay_type"), "nothing", strconv.Quote(string(e.RelayType)))
	}
	if !validName(e.Name, EntityNameMax, "-._/") || !validSegments(e.Name) {
		v.add(join(path, "name"), "1–260 letters, digits and -._/, a letter or digit at both ends, "+
			"no segment that is empty or dots", strconv.Quote(e.Name))
	}
	if n := utf8.RuneCountInString(e.UserMetadata); n > UserMetadataMax {
		v.add(join(path, "user_metadata"), "0–1024 characters", strconv.Itoa(n))
	}
	if e.ListenersMax < 0 || e.ListenersMax > ListenersMaxMax {
		v.add(join(path, "listeners_max"), "0–10000", strconv.Itoa(e.ListenersMax))
	}
	v.httpTime(join(path, "http_response_timeout"), e.HTTPResponseTimeout)
	v.httpTime(join(path, "http_body_gap"), e.HTTPBodyGap)
	if e.HTTPDelivery > DeliveryRendezvous {
		v.add(join(path, "http_delivery"), "auto or rendezvous", strconv.Itoa(int(e.HTTPDelivery)))
	}
	v.rules(path, e.Rules)
}

func (v *validator) httpTime(path string, d time.Duration) {
	if d != 0 && d != Never && (d < HTTPTimeMin || d > HTTPTimeMax) {
		v.add(path, "1s–24h, Never, or 0 for the gateway's", d.String())
	}
}

func (v *validator) rules(path string, rules []Rule) {
	path = join(path, "authorization_rules")
	if len(rules) > RulesMax {
		v.add(path, "0–12 rules", strconv.Itoa(len(rules)))
	}
	seen := make(paths)
	for i, r := range rules {
		path := fmt.Sprintf("%s[%d]", path, i)
		if !validName(r.Name, RuleNameMax, "-._/") {
			v.add(path+".name", "1–256 letters, digits and -._/, a letter or digit at both ends",
				strconv.Quote(r.Name))
		}
		v.unique(seen, path+".name", r.Name)
		const all = sas.Listen | sas.Send | sas.Manage
		if r.Rights == 0 || r.Rights&^all != 0 {
			v.add(path+".rights", "some of Listen, Send, Manage", r.Rights.String())
		} else if r.Rights.Has(sas.Manage) && r.Rights != all {
			v.add(path+".rights", "Listen and Send beside Manage", r.Rights.String())
		}
		v.key(path+".primary_key", r.PrimaryKey, 1)
		v.key(path+".secondary_key", r.SecondaryKey, 0)
	}
}

// key checks that a connection string can carry a key; it must not quote it.
func (v *validator) key(path, key string, least int) {
	const want = "–256 printable ASCII characters without blanks and semicolons"
	if len(key) < least || len(key) > KeyMax {
		v.add(path, strconv.Itoa(least)+want, strconv.Itoa(len(key)))
	} else if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' || c == ';' }) {
		v.add(path, strconv.Itoa(least)+want, "another character")
	}
}

// validName says whether name is 1 to limit letters, digits and characters of
// also, with a letter or digit at both ends.
func validName(name string, limit int, also string) bool {
	if name == "" || len(name) > limit {
		return false
	}
	for i := range len(name) {
		c := name[i] | 0x20 // letters in lower case
		alphanumeric := '0' <= name[i] && name[i] <= '9' || 'a' <= c && c <= 'z'
		atEnd := i == 0 || i == len(name)-1
		if !alphanumeric && (atEnd || strings.IndexByte(also, name[i]) < 0) {
			return false
		}
	}
	return true
}

// validSegments says whether URL libraries leave the path alone. They take dot
// segments out of it, and token audiences have their slashes collapsed.
func validSegments(name string) bool {
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return false
		}
	}
	return true
}

func validHost(host string) bool {
	if host == "" || len(host) > hostMax || sas.HostName(host) != host {
		return false
	}
	return !strings.ContainsFunc(host, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !letter && !strings.ContainsRune("-._:", c)
	})
}
