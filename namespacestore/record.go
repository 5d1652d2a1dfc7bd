package namespacestore

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// The values of the buckets, in JSON. Members are only ever added within one
// schema; what they may hold is what package namespace validates.

// namespaceRecord is a namespace without its entities. Its key is the name in
// lower case.
type namespaceRecord struct {
	Order               uint64 // of its creation
	Name                string
	Hosts               []string          `json:",omitempty"`
	Subscription        string            `json:",omitempty"`
	ResourceGroup       string            `json:",omitempty"`
	Location            string            `json:",omitempty"`
	Tags                map[string]string `json:",omitempty"`
	CreatedAt           time.Time         `json:",omitzero"`
	UpdatedAt           time.Time         `json:",omitzero"`
	MinimumTLSVersion   string            `json:",omitempty"`
	PublicNetworkAccess string            `json:",omitempty"`
	DefaultDeny         bool              `json:",omitempty"`
	IPRules             []ipRecord        `json:",omitempty"`
	TrustedServices     bool              `json:",omitempty"`
	Rules               []ruleRecord      `json:",omitempty"`
}

type ipRecord struct {
	Mask string
	Deny bool `json:",omitempty"`
}

// ruleRecord holds keys as they are, or sealed.
type ruleRecord struct {
	Name            string
	Rights          string // "Listen,Send"
	Primary         string `json:",omitempty"`
	Secondary       string `json:",omitempty"`
	PrimarySealed   []byte `json:",omitempty"`
	SecondarySealed []byte `json:",omitempty"`
}

// entityRecord is an entity. Its key is namespace.Entity.Key.
type entityRecord struct {
	Kind              string // "hybridConnection" or "wcfRelay"
	Name              string
	Anonymous         bool         `json:",omitempty"` // senders need no token
	UserMetadata      string       `json:",omitempty"`
	Disabled          bool         `json:",omitempty"`
	CreatedAt         time.Time    `json:",omitzero"`
	UpdatedAt         time.Time    `json:",omitzero"`
	ListenersMax      int          `json:",omitempty"`
	ResponseTimeout   string       `json:",omitempty"` // a duration
	BodyGap           string       `json:",omitempty"` // a duration
	Rendezvous        bool         `json:",omitempty"`
	RelayType         string       `json:",omitempty"`
	TransportSecurity bool         `json:",omitempty"`
	Rules             []ruleRecord `json:",omitempty"`
}

const (
	kindHybrid = "hybridConnection"
	kindWCF    = "wcfRelay"
)

// encodeNamespace returns the value of a namespace.
func (c *seal) encodeNamespace(d *namespace.Definition, order uint64) ([]byte, error) {
	r := namespaceRecord{
		Order: order, Name: d.Name, Hosts: d.Hosts, Subscription: d.Subscription,
		ResourceGroup: d.ResourceGroup, Location: d.Location, Tags: d.Tags,
		CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt, MinimumTLSVersion: d.MinimumTLSVersion,
		PublicNetworkAccess: string(d.PublicNetworkAccess), DefaultDeny: d.Network.DefaultDeny,
		TrustedServices: d.Network.TrustedServiceAccess,
	}
	for _, ip := range d.Network.IPRules {
		r.IPRules = append(r.IPRules, ipRecord{ip.Mask, ip.Deny})
	}
	r.Rules = c.encodeRules(strings.ToLower(d.Name), d.Rules)
	return json.Marshal(r)
}

// decodeNamespace reads a value of encodeNamespace. at is its key.
func (c *seal) decodeNamespace(at string, value []byte) (namespace.Definition, uint64, error) {
	var r namespaceRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return namespace.Definition{}, 0, err
	}
	d := namespace.Definition{
		Name: r.Name, Hosts: r.Hosts, Subscription: r.Subscription, ResourceGroup: r.ResourceGroup,
		Location: r.Location, Tags: r.Tags, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		MinimumTLSVersion:   r.MinimumTLSVersion,
		PublicNetworkAccess: namespace.PublicNetworkAccess(r.PublicNetworkAccess),
		Network: namespace.NetworkRules{
			DefaultDeny: r.DefaultDeny, TrustedServiceAccess: r.TrustedServices,
		},
	}
	for _, ip := range r.IPRules {
		rule, ok := namespace.ParseIPRule(ip.Mask)
		if !ok {
			return d, 0, fmt.Errorf("%q is no address or prefix", ip.Mask)
		}
		rule.Deny = ip.Deny
		d.Network.IPRules = append(d.Network.IPRules, rule)
	}
	var err error
	d.Rules, err = c.decodeRules(at, r.Rules)
	return d, r.Order, err
}

// encodeEntity returns the value of an entity.
func (c *seal) encodeEntity(e *namespace.Entity) ([]byte, error) {
	r := entityRecord{
		Kind: kindHybrid, Name: e.Name, Anonymous: !e.RequiresClientAuthorization,
		UserMetadata: e.UserMetadata, Disabled: e.Disabled,
		CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt, ListenersMax: e.ListenersMax,
		ResponseTimeout: durationText(e.HTTPResponseTimeout), BodyGap: durationText(e.HTTPBodyGap),
		Rendezvous: e.HTTPDelivery == namespace.DeliveryRendezvous, RelayType: string(e.RelayType),
		TransportSecurity: e.RequiresTransportSecurity, Rules: c.encodeRules(e.Key(), e.Rules),
	}
	if e.Kind == namespace.KindWCFRelay {
		r.Kind = kindWCF
	}
	return json.Marshal(r)
}

// decodeEntity reads a value of encodeEntity. at is its key.
func (c *seal) decodeEntity(at string, value []byte) (namespace.Entity, error) {
	var r entityRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return namespace.Entity{}, err
	}
	e := namespace.Entity{
		Name: r.Name, RequiresClientAuthorization: !r.Anonymous, UserMetadata: r.UserMetadata,
		Disabled: r.Disabled, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		ListenersMax: r.ListenersMax, RelayType: namespace.RelayType(r.RelayType),
		RequiresTransportSecurity: r.TransportSecurity,
	}
	switch r.Kind {
	case kindHybrid:
	case kindWCF:
		e.Kind = namespace.KindWCFRelay
	default:
		return e, fmt.Errorf("%q is no kind of entity", r.Kind)
	}
	if r.Rendezvous {
		e.HTTPDelivery = namespace.DeliveryRendezvous
	}
	var err error
	if e.HTTPResponseTimeout, err = parseDuration(r.ResponseTimeout); err != nil {
		return e, err
	}
	if e.HTTPBodyGap, err = parseDuration(r.BodyGap); err != nil {
		return e, err
	}
	e.Rules, err = c.decodeRules(at, r.Rules)
	return e, err
}

const never = "never"

func durationText(d time.Duration) string {
	switch d {
	case 0:
		return ""
	case namespace.Never:
		return never
	}
	return d.String()
}

func parseDuration(text string) (time.Duration, error) {
	switch text {
	case "":
		return 0, nil
	case never:
		return namespace.Never, nil
	}
	return time.ParseDuration(text)
}

func (c *seal) encodeRules(at string, rules []namespace.Rule) []ruleRecord {
	var all []ruleRecord
	for _, rule := range rules {
		r := ruleRecord{Name: rule.Name, Rights: rule.Rights.String()}
		if c == nil {
			r.Primary, r.Secondary = rule.PrimaryKey, rule.SecondaryKey
		} else {
			r.PrimarySealed = c.close(sealed{at, rule.Name, "primary"}, rule.PrimaryKey)
			r.SecondarySealed = c.close(sealed{at, rule.Name, "secondary"}, rule.SecondaryKey)
		}
		all = append(all, r)
	}
	return all
}

func (c *seal) decodeRules(at string, records []ruleRecord) ([]namespace.Rule, error) {
	var all []namespace.Rule
	for _, r := range records {
		rule := namespace.Rule{Name: r.Name, PrimaryKey: r.Primary, SecondaryKey: r.Secondary}
		for name := range strings.SplitSeq(r.Rights, ",") {
			right, err := sas.ParseRight(name)
			if err != nil {
				return nil, fmt.Errorf("rule %q: %w", r.Name, err)
			}
			rule.Rights |= right
		}
		for _, key := range []struct {
			p      *string
			name   string
			sealed []byte
		}{
			{&rule.PrimaryKey, "primary", r.PrimarySealed},
			{&rule.SecondaryKey, "secondary", r.SecondarySealed},
		} {
			if key.sealed == nil {
				continue
			}
			var err error
			if *key.p, err = c.open(sealed{at, r.Name, key.name}, key.sealed); err != nil {
				return nil, fmt.Errorf("rule %q: %w", r.Name, err)
			}
		}
		all = append(all, rule)
	}
	return all, nil
}
