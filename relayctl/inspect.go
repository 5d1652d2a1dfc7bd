package relayctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relayctl/arm"
	"github.com/relayhouse/relayhouse/sas"
)

// segmentsMax bounds how deep the entity of a token's path is looked for.
const segmentsMax = 16

// rightsInOrder are what a token may be used for.
var rightsInOrder = []sas.Right{sas.Listen, sas.Send, sas.Manage}

// inspection is what is known of a token. The token is not in it.
type inspection struct {
	Rule     string `json:"rule,omitempty"`
	Resource string `json:"resource,omitempty"` // As it was signed.
	Expires  string `json:"expires,omitempty"`
	// Problem is why every gateway would refuse it; empty if it depends.
	Problem string `json:"problem,omitempty"`
	// Verdicts are a gateway's, by right; nil if none was asked.
	Verdicts []verdict `json:"verdicts,omitempty"`

	text     string
	token    sas.Token
	audience sas.Audience
	now      time.Time
}

// verdict is whether a gateway would take the token for a right, and why not.
type verdict struct {
	Right    string `json:"right"`
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"`
}

// inspect looks at the token alone.
func inspect(text string, now time.Time) inspection {
	i := inspection{text: text, now: now}
	var err error
	if i.token, err = sas.Parse(text); err != nil {
		i.Problem = err.Error()
		return i
	}
	i.Rule = i.token.KeyName
	i.Expires = i.token.Expiry.Format(time.RFC3339)
	i.Resource = i.token.Resource
	if i.audience, err = sas.ParseAudience(i.token.Resource); err != nil {
		i.Problem = err.Error()
		return i
	}
	i.Resource = i.audience.Host + "/" + i.audience.Path
	if now.After(i.token.Expiry.Add(namespace.DefaultSkew)) {
		i.Problem = i.expired()
	}
	return i
}

// expired says for how long the token has been so.
func (i *inspection) expired() string {
	return "expired " + i.now.Sub(i.token.Expiry).Truncate(time.Second).String() + " ago"
}

// good says whether the token would be taken for want, or if that is 0 for
// anything.
func (i *inspection) good(want sas.Right) bool {
	if i.Problem != "" {
		return false
	}
	return i.Verdicts == nil || slices.ContainsFunc(i.Verdicts, func(v verdict) bool {
		return v.Accepted && (want == 0 || v.Right == want.String())
	})
}

// ground is the part of a gateway's definitions that a token is about.
type ground struct {
	snapshot *namespace.Snapshot
	space    *namespace.Namespace
	entity   *namespace.Entity
	path     string // That the token is used at.

	anyEntity bool     // The token is for the namespace, and no entity was named.
	name      string   // "the hybrid connection orders" or "the namespace contoso".
	disabled  bool     // There is an entity, but it does not serve.
	rules     []string // Where there is a rule of the token's name.
}

// judge fills in the verdicts, from what the API says and by the Authorizer that
// gateways run.
//
//	Errors: those of the API. A token that is refused is none.
func (a *app) judge(ctx context.Context, i *inspection, where *parentFlags) error {
	g, err := a.ground(ctx, i, where)
	if err != nil {
		return err
	}
	auth := namespace.NewAuthorizer(namespace.AuthorizerConfig{Skew: namespace.DefaultSkew})
	for _, right := range rightsInOrder {
		_, err := auth.Authorize(g.space, g.path, g.entity, i.text, right, i.now)
		v := verdict{Right: right.String(), Accepted: err == nil}
		var refusal *hyco.Refusal
		switch {
		case errors.As(err, &refusal) && refusal == hyco.RefusalNoSuchEntity && g.anyEntity:
			v.Accepted = true // The last thing that is checked; all else is well.
		case errors.As(err, &refusal):
			v.Reason = g.reason(i, refusal, right)
		case err != nil:
			v.Reason = err.Error()
		}
		i.Verdicts = append(i.Verdicts, v)
	}
	return nil
}

// reason says more than a gateway tells a stranger.
func (g *ground) reason(i *inspection, r *hyco.Refusal, right sas.Right) string {
	switch r.Code {
	case hyco.RefusalInvalidSignature.Code:
		if len(g.rules) == 0 {
			return fmt.Sprintf("unknown rule: %s has no rule %s, nor has its namespace", g.name, i.Rule)
		}
		return fmt.Sprintf("wrong signature: no key of the rule %s of %s signed it; "+
			"were the keys renewed?", i.Rule, strings.Join(g.rules, " or "))
	case hyco.RefusalInvalidAudience.Code:
		return fmt.Sprintf("wrong audience: it is for %s, and not for %s/%s", i.Resource,
			g.space.Host(), g.path)
	case hyco.RefusalNoSuchEntity.Code:
		if g.disabled {
			return g.name + " is disabled"
		}
		return "there is no hybrid connection or WCF relay at /" + g.path
	case hyco.RefusalExpiredToken(i.token.Expiry).Code:
		return i.expired()
	case hyco.RefusalMissingClaim("").Code:
		return fmt.Sprintf("missing right: the rule %s of %s has no right %s", i.Rule,
			strings.Join(g.rules, " or "), right)
	}
	return r.Text
}

// ground fetches what the judgement needs: the namespace, the entity, and the
// rules of the token's name at both.
func (a *app) ground(ctx context.Context, i *inspection, where *parentFlags) (*ground, error) {
	if err := where.check(); err != nil {
		return nil, err
	}
	client, space, err := a.spaceOf(ctx, i.audience.Host)
	if err != nil {
		return nil, err
	}
	ns := arm.Namespace(space.Text("name"))
	g := &ground{path: i.audience.Path, name: "the namespace " + ns.Name()}
	def := namespace.Definition{Name: ns.Name(), Hosts: space.Texts("hosts")}
	if def.Rules, err = g.rulesOf(ctx, client, ns, i.Rule, g.name); err != nil {
		return nil, err
	}
	entity, path, err := g.entityOf(ctx, client, ns, where)
	if err != nil {
		return nil, err
	}
	if entity != "" {
		rules, err := g.rulesOf(ctx, client, path, i.Rule, g.name)
		if err != nil {
			return nil, err
		}
		def.HybridConnections = []namespace.Entity{{
			Name: entity, RequiresClientAuthorization: true, Rules: rules, Disabled: g.disabled,
		}}
	}
	g.anyEntity = g.path == ""
	if g.snapshot, err = namespace.NewSnapshot([]namespace.Definition{def}); err != nil {
		return nil, fmt.Errorf("the gateway's definitions: %w", err)
	}
	g.space = g.snapshot.Lookup(i.audience.Host)
	g.entity, _ = g.space.Find(g.path)
	return g, nil
}

// spaceOf returns the namespace of the flag or the context, else the one that
// has the host, else the only one.
func (a *app) spaceOf(ctx context.Context, host string) (*arm.Client, arm.Resource, error) {
	client, err := a.api()
	if err != nil {
		return nil, nil, err
	}
	if name := a.where.namespace; name != "" {
		r, _, err := client.Get(ctx, arm.Namespace(name))
		return client, r.Flat(), err
	}
	all, err := client.AllNamespaces(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, usage("the gateway has no namespace yet")
	}
	for n, r := range all {
		r = r.Flat()
		_, endpoint, _ := strings.Cut(r.Text("serviceBusEndpoint"), "://")
		endpoint, _, _ = strings.Cut(endpoint, "/")
		hosts := append(r.Texts("hosts"), sas.HostName(endpoint))
		first, _, _ := strings.Cut(host, ".")
		has := slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, host) }) ||
			len(hosts) == 1 && strings.EqualFold(first, r.Text("name"))
		if has || len(all) == 1 {
			if group := all[n].Group(); group != "" {
				client = client.InGroup(group)
			}
			return client, r, nil
		}
	}
	return nil, nil, usage("none of the %d namespaces has the host %s that the token is for; "+
		"choose one with --namespace-name", len(all), arm.Line(host))
}

// entityOf looks for the entity: the one of the flags, else the longest that the
// token's path is, or lies below. It is empty if there is none.
func (g *ground) entityOf(
	ctx context.Context, client *arm.Client, ns arm.Path, where *parentFlags,
) (name string, path arm.Path, err error) {
	kinds := []*entityKind{hybridConnection, wcfRelay}
	switch {
	case where.hyco != "":
		g.path, kinds = where.hyco, kinds[:1]
	case where.wcfRelay != "":
		g.path, kinds = where.wcfRelay, kinds[1:]
	}
	segments := strings.Split(g.path, "/")
	for n := min(len(segments), segmentsMax); n > 0 && g.path != ""; n-- {
		name = strings.Join(segments[:n], "/")
		for _, kind := range kinds {
			path = kind.one(ns, name)
			r, _, err := client.Get(ctx, path)
			if notFound(err) || errors.Is(err, arm.ErrName) {
				continue
			}
			if err != nil {
				return "", path, err
			}
			g.name = "the " + kind.noun + " " + r.Text("name")
			g.disabled = r.Flat().Text("status") == "Disabled"
			return name, path, nil
		}
		if where.hyco != "" || where.wcfRelay != "" {
			break
		}
	}
	return "", arm.Path{}, nil
}

// rulesOf returns the rule of that name with its keys, if place has one.
func (g *ground) rulesOf(
	ctx context.Context, client *arm.Client, place arm.Path, name, text string,
) ([]namespace.Rule, error) {
	r, _, err := client.Get(ctx, place.Rule(name))
	if notFound(err) || errors.Is(err, arm.ErrName) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	keys, err := client.Keys(ctx, place.Rule(name))
	if err != nil {
		return nil, err
	}
	rule := namespace.Rule{
		Name: r.Text("name"), PrimaryKey: keys.Text("primaryKey"),
		SecondaryKey: keys.Text("secondaryKey"),
	}
	for _, word := range r.Flat().Texts("rights") {
		right, err := sas.ParseRight(word)
		if err != nil {
			return nil, fmt.Errorf("the rights of the rule %s: %w", rule.Name, err)
		}
		rule.Rights |= right
	}
	g.rules = append(g.rules, text)
	return []namespace.Rule{rule}, nil
}

// printInspection writes what is known.
func (a *app) printInspection(i *inspection) error {
	if a.flags.output == outputJSON || a.flags.output == outputYAML {
		return a.printValue(i)
	}
	rows := [][]string{}
	add := func(name, text string) {
		if text != "" {
			rows = append(rows, []string{name, clean(text)})
		}
	}
	add("rule", i.Rule)
	add("resource", i.Resource)
	if i.Expires != "" {
		left := i.token.Expiry.Sub(i.now).Truncate(time.Second)
		switch {
		case left >= 0:
			add("expires", i.Expires+" (in "+left.String()+")")
		case i.Problem == "":
			add("expires", i.Expires+" ("+i.expired()+"; gateways take it for "+
				(namespace.DefaultSkew+left).String()+" more)")
		default:
			add("expires", i.Expires)
		}
	}
	if i.Problem != "" {
		add("refused", i.Problem)
	}
	for _, v := range i.Verdicts {
		text := "accepted"
		if !v.Accepted {
			text = "refused: " + v.Reason
		}
		add(v.Right, text)
	}
	if a.flags.output == outputTSV {
		return a.write(tabs(rows))
	}
	return a.write(align(rows))
}
