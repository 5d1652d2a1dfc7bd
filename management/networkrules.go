package management

import (
	"fmt"
	"net/http"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	typeNetworkRules = typeNamespace + "/NetworkRuleSets"
	nameDefault      = "default"
	actionAllow      = "Allow"
	actionDeny       = "Deny"
)

// networkView is the network rule set of a namespace as it is written.
type networkView struct {
	resource
	Properties networkProperties `json:"properties"`
}

type networkProperties struct {
	TrustedServiceAccessEnabled bool     `json:"trustedServiceAccessEnabled"`
	DefaultAction               string   `json:"defaultAction"`
	PublicNetworkAccess         string   `json:"publicNetworkAccess"`
	IPRules                     []ipRule `json:"ipRules"`
}

type ipRule struct {
	IPMask string `json:"ipMask"`
	Action string `json:"action"`
}

func (c *call) viewNetwork(d *namespace.Definition) networkView {
	view := networkView{
		resource: resource{
			ID:   c.namespaceID(d) + "/networkRuleSets/" + nameDefault,
			Name: nameDefault, Type: typeNetworkRules,
		},
		Properties: networkProperties{
			TrustedServiceAccessEnabled: d.Network.TrustedServiceAccess,
			DefaultAction:               actionAllow,
			PublicNetworkAccess:         string(accessOf(d)),
			IPRules:                     make([]ipRule, 0, len(d.Network.IPRules)),
		},
	}
	if d.Network.DefaultDeny {
		view.Properties.DefaultAction = actionDeny
	}
	for _, rule := range d.Network.IPRules {
		action := actionAllow
		if rule.Deny {
			action = actionDeny
		}
		view.Properties.IPRules = append(view.Properties.IPRules, ipRule{rule.Mask, action})
	}
	return view
}

func networkETag(d *namespace.Definition) string {
	return etag("network", d.Network, accessOf(d))
}

func (c *call) answerNetwork(d *namespace.Definition) answer {
	return answer{status: http.StatusOK, body: c.viewNetwork(d), etag: networkETag(d)}
}

func (c *call) getNetworkRules() (answer, error) {
	_, d, err := c.parent(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	return c.answerNetwork(&d), nil
}

// readNetwork reads a network rule set. What it does not say gets its default,
// but for publicNetworkAccess, which is the namespace's: "" lets it be.
//
//	Source: docs/protocol.md, sections 6.10 and 13.9.
func (c *call) readNetwork() (namespace.NetworkRules, string, error) {
	var rules namespace.NetworkRules
	body, err := c.readBody()
	if err != nil {
		return rules, "", err
	}
	p := body.object("properties")
	rules.DefaultDeny = p.choice("defaultAction", actionAllow, actionDeny) == actionDeny
	if trusted := p.boolean("trustedServiceAccessEnabled"); trusted != nil {
		rules.TrustedServiceAccess = *trusted
	}
	access := p.choice("publicNetworkAccess", accessWords...)
	list, _ := p.list("ipRules")
	if len(list) > namespace.IPRulesMax {
		p.refuse("ipRules", "want at most %d rules, got %d", namespace.IPRulesMax, len(list))
		return rules, "", body.problem()
	}
	for i, item := range list {
		name := fmt.Sprintf("ipRules[%d]", i)
		o, ok := item.(object)
		if !ok {
			p.fail(name, "an object", item)
			break
		}
		f := &fields{at: p.at + name + ".", all: o, err: p.err}
		mask := f.text("ipMask")
		if mask == nil {
			f.refuse("ipMask", "want an address or a prefix such as 10.0.0.0/8, got nothing")
			break
		}
		rule, ok := namespace.ParseIPRule(*mask)
		if !ok {
			f.refuse("ipMask", "want an address or a prefix such as 10.0.0.0/8, got '%s'",
				shown(*mask))
		}
		rule.Deny = f.choice("action", actionAllow, actionDeny) == actionDeny
		rules.IPRules = append(rules.IPRules, rule)
	}
	return rules, access, body.problem()
}

func (c *call) putNetworkRules() (answer, error) {
	rules, access, err := c.readNetwork()
	if err != nil {
		return answer{}, err
	}
	var answer answer
	_, err = c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		_, d, err := c.parent(s)
		if err != nil {
			return nil, err
		}
		c.note.before = c.viewNetwork(&d)
		if err := c.check(networkETag(&d)); err != nil {
			return nil, err
		}
		d.Network = rules
		if access != "" {
			d.PublicNetworkAccess = namespace.PublicNetworkAccess(access)
		}
		c.note.after, answer = c.viewNetwork(&d), c.answerNetwork(&d)
		return []namespace.Change{namespace.PutNamespace(d)}, nil
	})
	return answer, err
}
