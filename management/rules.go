package management

import (
	"net/http"
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// ruleView is an authorization rule as it is written.
type ruleView struct {
	resource
	Properties ruleProperties `json:"properties"`
}

type ruleProperties struct {
	Rights []string `json:"rights"`
}

// ruled is a namespace or an entity, as that which has rules.
type ruled struct {
	namespace *namespace.Namespace
	entity    *namespace.Entity // nil for the namespace itself
	rules     []namespace.Rule  // shared with the snapshot
	id, kind  string            // of the resource
}

// ruled finds what the rules of the path belong to.
//
//	Errors: *fault 404.
func (c *call) ruled(s *namespace.Snapshot) (ruled, error) {
	n, d, err := c.parent(s)
	if err != nil {
		return ruled{}, err
	}
	r := ruled{namespace: n, rules: n.Rules(), id: c.namespaceID(&d), kind: typeNamespace}
	if c.entity == "" {
		return r, nil
	}
	if r.entity = n.Entity(c.kind, c.entity); r.entity == nil {
		return ruled{}, faultParent(c.entity)
	}
	r.rules, r.id = r.entity.Rules, entityID(r.id, r.entity)
	r.kind += "/" + kindWord(c.kind)
	return r, nil
}

// change makes the change to other rules.
func (r *ruled) change(rules []namespace.Rule) []namespace.Change {
	if r.entity != nil {
		e := *r.entity
		e.Rules = rules
		return []namespace.Change{namespace.PutEntity(r.namespace.Name(), e)}
	}
	d := r.namespace.Settings()
	d.Rules = rules
	return []namespace.Change{namespace.PutNamespace(d)}
}

// find returns the rule of that name; nil if there is none.
func (r *ruled) find(name string) *namespace.Rule { return namespace.FindRule(r.rules, name) }

func (r *ruled) view(rule *namespace.Rule) ruleView {
	view := ruleView{resource: resource{
		ID: r.id + typeRules + "/" + segment(rule.Name), Name: rule.Name, Type: r.kind + typeRules,
	}}
	view.Properties.Rights = rightsOf(rule)
	return view
}

// rightsOf lists the rights of a rule in the order of the alphabet, as Azure
// does.
func rightsOf(rule *namespace.Rule) []string {
	var names []string
	for _, right := range []sas.Right{sas.Listen, sas.Manage, sas.Send} {
		if rule.Rights.Has(right) {
			names = append(names, right.String())
		}
	}
	return names
}

func ruleETag(rule *namespace.Rule) string { return etag("rule", rule.Name, rule.Rights) }

func (r *ruled) answer(rule *namespace.Rule) answer {
	return answer{status: http.StatusOK, body: r.view(rule), etag: ruleETag(rule)}
}

func (c *call) listRules() (answer, error) {
	r, err := c.ruled(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	key := func(rule *namespace.Rule) string { return strings.ToLower(rule.Name) }
	rules := make([]*namespace.Rule, len(r.rules))
	for i := range r.rules {
		rules[i] = &r.rules[i]
	}
	slices.SortFunc(rules, func(a, b *namespace.Rule) int { return strings.Compare(key(a), key(b)) })
	return writePage(c, rules, key, func(rule *namespace.Rule) any { return r.view(rule) })
}

func (c *call) getRule() (answer, error) {
	r, err := c.ruled(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	rule := r.find(c.rule)
	if rule == nil {
		return answer{}, faultNotFound("authorization rule", c.rule)
	}
	return r.answer(rule), nil
}

// readRights reads the rights of a rule: a list of one to three names, each
// once, in any letter case; Manage stands beside both others.
func (c *call) readRights() (sas.Right, error) {
	body, err := c.readBody()
	if err != nil {
		return 0, err
	}
	p := body.object("properties")
	names, given := p.texts("rights")
	var rights sas.Right
	for _, name := range names {
		right, err := sas.ParseRight(name)
		switch {
		case err != nil:
			p.refuse("rights", "want Listen, Send or Manage, got '%s'", shown(name))
		case rights.Has(right):
			p.refuse("rights", "%v is given twice", right)
		}
		rights |= right
	}
	const all = sas.Listen | sas.Send | sas.Manage
	switch {
	case body.problem() != nil:
	case !given || rights == 0:
		p.refuse("rights", "want some of Listen, Send, Manage")
	case rights.Has(sas.Manage) && rights != all:
		p.refuse("rights", "Manage permission should also include Send and Listen")
	}
	return rights, body.problem()
}

// putRule makes a rule, with new keys, or changes the rights of one; both are
// 200.
func (c *call) putRule() (answer, error) {
	rights, err := c.readRights()
	if err != nil {
		return answer{}, err
	}
	var answer answer
	_, err = c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		r, err := c.ruled(s)
		if err != nil {
			return nil, err
		}
		r.rules = slices.Clone(r.rules)
		rule, current := r.find(c.rule), ""
		if rule != nil {
			current, c.note.before = ruleETag(rule), r.view(rule)
		}
		if err := c.check(current); err != nil {
			return nil, err
		}
		if rule == nil {
			if len(r.rules) >= namespace.RulesMax {
				return nil, newFault(http.StatusForbidden, codeQuota, "The maximum number of "+
					"authorization rules, %d, has been reached.", namespace.RulesMax)
			}
			r.rules = append(r.rules, namespace.Rule{
				Name: c.rule, PrimaryKey: c.newKey(), SecondaryKey: c.newKey(),
			})
			rule = &r.rules[len(r.rules)-1]
		}
		rule.Rights = rights
		c.note.after, answer = r.view(rule), r.answer(rule)
		return r.change(r.rules), nil
	})
	return answer, err
}

func (c *call) deleteRule() (answer, error) {
	status := http.StatusNoContent
	_, err := c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		r, err := c.ruled(s)
		if err != nil {
			return nil, err
		}
		rule := r.find(c.rule)
		if rule == nil {
			return nil, nil
		}
		c.note.before = r.view(rule)
		if err := c.check(ruleETag(rule)); err != nil {
			return nil, err
		}
		status = http.StatusOK
		name := rule.Name
		return r.change(slices.DeleteFunc(slices.Clone(r.rules), func(other namespace.Rule) bool {
			return other.Name == name
		})), nil
	})
	return answer{status: status}, err
}
