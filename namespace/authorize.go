package namespace

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/sas"
)

// DefaultSkew is how long after its expiry a token is still good. Clients
// renew at the expiry, not before it. Source: docs/protocol.md, section 6.5.
const DefaultSkew = 300 * time.Second

// AuthorizerConfig holds the settings of an Authorizer.
type AuthorizerConfig struct {
	// Skew is how long after its expiry a token is still good.
	Skew time.Duration
	// CacheMax bounds the tokens that are remembered; 0 remembers none.
	CacheMax int
	// MissingClaimStatus is 401, or 403 as the protocol's documents have it
	// and its clients do not. 0 means 401.
	MissingClaimStatus int
}

// Authorizer decides whether a token allows an action.
type Authorizer struct {
	// Fixed after NewAuthorizer.
	skew               time.Duration
	missingClaimStatus int
	cache              cache
}

// NewAuthorizer returns an Authorizer with an empty cache.
func NewAuthorizer(c AuthorizerConfig) *Authorizer {
	if c.MissingClaimStatus == 0 {
		c.MissingClaimStatus = http.StatusUnauthorized
	}
	return &Authorizer{
		skew:               c.Skew,
		missingClaimStatus: c.MissingClaimStatus,
		cache:              newCache(c.CacheMax),
	}
}

// Grant is what Authorize found. The zero Grant is that of a sender who needs
// no token.
type Grant struct {
	// Expiry is that of the token, without skew.
	Expiry time.Time
	// Rule is the name of the rule that signed.
	Rule string
}

// Authorize decides whether token allows the action right at path.
//
//	Shape:  ns and e are of one snapshot; ns is nil for an unknown host and e
//	        for an unknown entity. path is the decoded path of the request, in
//	        full. token is as in the header, empty if there was none.
//	Order:  A sender to an entity that takes anonymous senders passes, and its
//	        token is not looked at. Then: is there a token, can it be read, did
//	        a rule of that name sign it, is it expired, does it cover path,
//	        has the rule the right, and at last, is there an entity. So only
//	        a token that is good for the namespace learns that it is not, or
//	        one that was good for an entity that is gone.
//	        A rule of the entity goes before one of the namespace with the same
//	        name; one that passes is enough, else the first one's error holds.
//	Errors: always a *hyco.Refusal. With RefusalNoSuchEntity the token is good,
//	        and the Grant is its.
//	Cost:   on a cache hit a SHA-256 and a map lookup, 0 allocs; else up to
//	        four HMAC-SHA256.
//	Source: docs/protocol.md, sections 2.1, 3.1, 6.3 to 6.7.
func (a *Authorizer) Authorize(
	ns *Namespace, path string, e *Entity,
	token string, right sas.Right, now time.Time,
) (Grant, error) {
	known := e
	if e == nil && right != sas.Manage {
		known = ns.Gone(path)
	}
	if right == sas.Send && known != nil && !known.RequiresClientAuthorization {
		if e == nil {
			return Grant{}, hyco.RefusalNoSuchEntity
		}
		return Grant{}, nil
	}
	if token == "" {
		return Grant{}, hyco.RefusalMissingToken
	}
	if len(token) > sas.TokenMax {
		return Grant{}, hyco.RefusalMalformedToken
	}
	key := proofKey{sum: tokenSum(token), e: known}
	if ns != nil {
		key.ns = ns.settings
	}
	p, ok := a.cache.get(key, now)
	if !ok {
		var err error
		if p, err = prove(ns, known, token); err != nil {
			return Grant{}, hyco.RefusalMalformedToken
		}
		p.end = p.expiry.Add(a.skew)
		if p.valid(now) {
			a.cache.put(key, p)
		}
	}
	grant, refusal := a.judge(ns, path, &p, right, now)
	switch {
	case refusal != nil:
		return Grant{}, refusal
	case e == nil:
		return grant, hyco.RefusalNoSuchEntity
	}
	return grant, nil
}

// tokenSum hashes a token. Tokens of usual length are not copied to the heap.
func tokenSum(token string) [sha256.Size]byte {
	var room [1024]byte
	return sha256.Sum256(append(room[:0], token...))
}

// proof is what a token proves about its bearer in one namespace and at one
// entity, whatever the action, the path and the time. It holds no part of the
// token's signature.
type proof struct {
	audience sas.Audience
	expiry   time.Time
	end      time.Time // expiry plus skew
	levels   [2]level  // entity, namespace
}

// level is the rule of the token's name on one level; nil if there is none.
type level struct {
	rule   *Rule
	signed bool // by one of its keys
}

// valid says whether p is worth remembering.
func (p *proof) valid(now time.Time) bool {
	return p.signed() && !now.After(p.end)
}

// signed says whether any key did.
func (p *proof) signed() bool { return p.levels[0].signed || p.levels[1].signed }

// prove does the work that a cache hit saves.
func prove(ns *Namespace, e *Entity, token string) (proof, error) {
	t, err := sas.Parse(token)
	if err != nil {
		return proof{}, err
	}
	p := proof{expiry: t.Expiry}
	if p.audience, err = sas.ParseAudience(t.Resource); err != nil {
		return proof{}, err
	}
	if e != nil {
		p.levels[0] = newLevel(e.Rules, t)
	}
	if ns != nil {
		p.levels[1] = newLevel(ns.settings.def.Rules, t)
	}
	return p, nil
}

func newLevel(rules []Rule, t sas.Token) level {
	for i := range rules {
		if r := &rules[i]; strings.EqualFold(r.Name, t.KeyName) {
			return level{rule: r, signed: r.signedBy(t)}
		}
	}
	return level{}
}

// judge applies a proof to a request.
func (a *Authorizer) judge(
	ns *Namespace, path string, p *proof, right sas.Right, now time.Time,
) (Grant, *hyco.Refusal) {
	var first *hyco.Refusal
	for i := range p.levels {
		l := &p.levels[i]
		if l.rule == nil {
			continue
		}
		var refusal *hyco.Refusal
		switch {
		case !l.signed:
			refusal = hyco.RefusalInvalidSignature
		case now.After(p.end):
			refusal = hyco.RefusalExpiredToken(p.expiry)
		case !p.audience.Covers(ns.HasHost, path):
			refusal = hyco.RefusalInvalidAudience
		case !l.rule.Rights.Has(right):
			refusal = a.missingClaim(right)
		default:
			return Grant{Expiry: p.expiry, Rule: l.rule.Name}, nil
		}
		if first == nil {
			first = refusal
		}
	}
	if first == nil {
		first = hyco.RefusalInvalidSignature // no rule of that name
	}
	return Grant{}, first
}

func (a *Authorizer) missingClaim(right sas.Right) *hyco.Refusal {
	refusal := hyco.RefusalMissingClaim(right.String())
	refusal.Status = a.missingClaimStatus
	return refusal
}
