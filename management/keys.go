package management

import (
	"net/http"
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// The words of keyType.
const (
	keyPrimary   = "PrimaryKey"
	keySecondary = "SecondaryKey"
)

// keysView has the keys of a rule. It is written to the client and nowhere
// else.
type keysView struct {
	PrimaryConnectionString   string `json:"primaryConnectionString"`
	SecondaryConnectionString string `json:"secondaryConnectionString"`
	PrimaryKey                string `json:"primaryKey"`
	SecondaryKey              string `json:"secondaryKey"`
	KeyName                   string `json:"keyName"`
}

// keys returns the keys of a rule and the connection strings with them.
//
//	Source: docs/protocol.md, sections 6.8 and 13.3.
func (c *call) keys(r *ruled, rule *namespace.Rule) answer {
	host, port := c.o.Endpoint(r.namespace)
	address := joinHost(host, port)
	if port == httpsPort {
		address = strings.TrimSuffix(address, ":443")
	}
	s := sas.ConnectionString{Host: address, KeyName: rule.Name}
	if r.entity != nil {
		s.EntityPath = r.entity.Name
	}
	view := keysView{
		PrimaryKey: rule.PrimaryKey, SecondaryKey: rule.SecondaryKey, KeyName: rule.Name,
	}
	s.Key = rule.PrimaryKey
	view.PrimaryConnectionString = s.String()
	if rule.SecondaryKey != "" {
		s.Key = rule.SecondaryKey
		view.SecondaryConnectionString = s.String()
	}
	return answer{status: http.StatusOK, body: view, secret: true}
}

func (c *call) listKeys() (answer, error) {
	r, err := c.ruled(c.snapshot())
	if err != nil {
		return answer{}, err
	}
	rule := r.find(c.rule)
	if rule == nil {
		return answer{}, faultNotFound("authorization rule", c.rule)
	}
	return c.keys(&r, rule), nil
}

// readRegenerate reads which key is to be replaced and by what; "" for a new
// one. Source: docs/protocol.md, section 13.3.
func (c *call) readRegenerate() (keyType, key string, err error) {
	body, err := c.readBody()
	if err != nil {
		return "", "", err
	}
	member := "keyType"
	if c.version == v20160701 && !body.has(member) {
		member = "policyKey"
	}
	keyType = body.choice(member, keyPrimary, keySecondary)
	if text := body.text("key"); text != nil {
		key = *text
		if !validKey(key) {
			body.refuse("key", "want 1 to %d printable ASCII characters without blanks and "+
				"semicolons", namespace.KeyMax)
		}
	}
	if keyType == "" {
		body.refuse(member, "want %s or %s", keyPrimary, keySecondary)
	}
	return keyType, key, body.problem()
}

// validKey says whether a connection string can carry a key.
func validKey(key string) bool {
	return key != "" && len(key) <= namespace.KeyMax && !strings.ContainsFunc(key,
		func(c rune) bool { return c <= ' ' || c > '~' || c == ';' })
}

// regenerateKeys replaces one key and answers with both. They are those of one
// moment: of the update that made the new one.
func (c *call) regenerateKeys() (answer, error) {
	keyType, key, err := c.readRegenerate()
	if err != nil {
		return answer{}, err
	}
	if key == "" {
		key = c.newKey()
	}
	var answer answer
	_, err = c.o.Writer.Update(func(s *namespace.Snapshot) ([]namespace.Change, error) {
		r, err := c.ruled(s)
		if err != nil {
			return nil, err
		}
		r.rules = slices.Clone(r.rules)
		rule := r.find(c.rule)
		if rule == nil {
			return nil, faultNotFound("authorization rule", c.rule)
		}
		c.note.before = r.view(rule)
		if err := c.check(ruleETag(rule)); err != nil {
			return nil, err
		}
		if keyType == keyPrimary {
			rule.PrimaryKey = key
		} else {
			rule.SecondaryKey = key
		}
		c.note.after, c.note.regenerated = r.view(rule), keyType
		answer = c.keys(&r, rule)
		return r.change(r.rules), nil
	})
	return answer, err
}
