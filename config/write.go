package config

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/relayhouse/relayhouse/namespace"
)

// WriteDefinitions writes namespaces as YAML that ReadDefinitions reads as equal
// ones, keys included: whoever reads it can sign tokens.
//
//	Shape:  defs are valid, see namespace.Validate. Times are in UTC, and what
//	        an entity of its kind does not have is left out.
//	Errors: those of w, and *Error for text that is not UTF-8 or a year beyond
//	        9999, for which YAML has no words; nothing is written then.
func WriteDefinitions(w io.Writer, defs []namespace.Definition) error {
	if err := checkWritable(defs); err != nil {
		return err
	}
	p := printer{w: bufio.NewWriter(w), keys: true}
	p.definitions(defs)
	return p.w.Flush()
}

// checkWritable finds what valid definitions may hold and files may not.
func checkWritable(defs []namespace.Definition) error {
	var errs []error
	check := func(path string, times [2]time.Time, texts ...string) {
		for _, t := range times {
			if year := t.UTC().Year(); year < 0 || year > 9999 {
				errs = append(errs, &Error{Path: path, Text: "want years up to 9999"})
				break
			}
		}
		for _, text := range texts {
			if !utf8.ValidString(text) {
				errs = append(errs, &Error{Path: path, Text: "want texts in UTF-8"})
				break
			}
		}
	}
	for i := range defs {
		d := &defs[i]
		path := fmt.Sprintf("namespaces[%d]", i)
		texts := []string{d.Subscription, d.ResourceGroup, d.Location}
		for name, value := range d.Tags {
			texts = append(texts, name, value)
		}
		check(path, [2]time.Time{d.CreatedAt, d.UpdatedAt}, texts...)
		for kind, entities := range [][]namespace.Entity{d.HybridConnections, d.WCFRelays} {
			list := []string{snakeWords.hybridConnections, snakeWords.wcfRelays}[kind]
			for j := range entities {
				e := &entities[j]
				check(fmt.Sprintf("%s.%s[%d]", path, list, j),
					[2]time.Time{e.CreatedAt, e.UpdatedAt}, e.UserMetadata)
			}
		}
	}
	return errors.Join(errs...)
}

// The Config.json of the emulators, see emulator.go.
type (
	emulatorFile struct{ UserConfig emulatorConfig }

	emulatorConfig struct {
		Namespaces []emulatorNamespace
		Logging    struct{ Type string }
	}
	emulatorNamespace struct {
		Name               string
		Hosts              []string         `json:",omitempty"`
		AuthorizationRules []emulatorRule   `json:",omitempty"`
		NetworkRuleSet     *emulatorNetwork `json:",omitempty"`
		Quotas             *emulatorQuotas  `json:",omitempty"`
		HybridConnections  []emulatorEntity `json:",omitempty"`
		WcfRelays          []emulatorEntity `json:",omitempty"` //nolint:revive // Azure's.
	}
	emulatorRule struct {
		Name         string
		Rights       []string
		PrimaryKey   string
		SecondaryKey string `json:",omitempty"`
	}
	emulatorNetwork struct {
		DefaultAction               string
		PublicNetworkAccess         string           `json:",omitempty"`
		TrustedServiceAccessEnabled bool             `json:",omitempty"`
		IPRules                     []emulatorIPRule `json:"IpRules,omitempty"`
	}
	emulatorIPRule struct {
		IPMask string `json:"IpMask"`
		Action string
	}
	emulatorQuotas struct{ ListenersPerEntity int }
	emulatorEntity struct {
		Name               string
		Properties         emulatorProperties
		AuthorizationRules []emulatorRule `json:",omitempty"`
	}
	emulatorProperties struct {
		RelayType                   string `json:",omitempty"`
		RequiresClientAuthorization bool
		RequiresTransportSecurity   *bool  `json:",omitempty"`
		UserMetadata                string `json:",omitempty"`
	}
)

// WriteEmulator writes namespaces as the Config.json that ReadDefinitions reads,
// keys included. What that form has no member for is lost: labels, tags, times
// and the least version of TLS of a namespace; times and the members for HTTP
// of an entity; listeners_max where not all entities of a namespace have the
// same. Entities that are disabled are left out, for in that form they would
// serve.
//
//	Shape:  as WriteDefinitions.
//	Errors: as WriteDefinitions.
func WriteEmulator(w io.Writer, defs []namespace.Definition) error {
	if err := checkWritable(defs); err != nil {
		return err
	}
	file := emulatorFile{emulatorConfig{Namespaces: []emulatorNamespace{}}}
	file.UserConfig.Logging.Type = "Console"
	for i := range defs {
		file.UserConfig.Namespaces = append(file.UserConfig.Namespaces, emulatorOf(&defs[i]))
	}
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(file); err != nil {
		return err
	}
	return b.Flush()
}

func emulatorOf(d *namespace.Definition) emulatorNamespace {
	n := emulatorNamespace{
		Name: d.Name, Hosts: d.Hosts, AuthorizationRules: emulatorRules(d.Rules),
		HybridConnections: emulatorEntities(d.HybridConnections),
		WcfRelays:         emulatorEntities(d.WCFRelays),
	}
	rules := &d.Network
	if rules.DefaultDeny || rules.TrustedServiceAccess || len(rules.IPRules) > 0 ||
		d.PublicNetworkAccess != "" {
		n.NetworkRuleSet = &emulatorNetwork{
			DefaultAction:               emulatorAction(rules.DefaultDeny),
			PublicNetworkAccess:         string(d.PublicNetworkAccess),
			TrustedServiceAccessEnabled: rules.TrustedServiceAccess,
		}
		for _, r := range rules.IPRules {
			n.NetworkRuleSet.IPRules = append(n.NetworkRuleSet.IPRules,
				emulatorIPRule{r.Mask, emulatorAction(r.Deny)})
		}
	}
	if most := listenersOfAll(d); most != 0 {
		n.Quotas = &emulatorQuotas{most}
	}
	return n
}

// listenersOfAll returns the ListenersMax that all entities have which are
// written, else 0.
func listenersOfAll(d *namespace.Definition) int {
	most, first := 0, true
	for _, entities := range [][]namespace.Entity{d.HybridConnections, d.WCFRelays} {
		for i := range entities {
			e := &entities[i]
			if e.Disabled {
				continue
			}
			if !first && e.ListenersMax != most {
				return 0
			}
			most, first = e.ListenersMax, false
		}
	}
	return most
}

func emulatorAction(deny bool) string {
	if deny {
		return pascalWords.deny
	}
	return pascalWords.allow
}

func emulatorEntities(entities []namespace.Entity) (all []emulatorEntity) {
	for i := range entities {
		e := &entities[i]
		if e.Disabled {
			continue
		}
		written := emulatorEntity{
			Name: e.Name, AuthorizationRules: emulatorRules(e.Rules),
			Properties: emulatorProperties{
				RelayType:                   string(e.RelayType),
				RequiresClientAuthorization: e.RequiresClientAuthorization,
				UserMetadata:                e.UserMetadata,
			},
		}
		if e.Kind == namespace.KindWCFRelay {
			written.Properties.RequiresTransportSecurity = &e.RequiresTransportSecurity
		}
		all = append(all, written)
	}
	return all
}

func emulatorRules(rules []namespace.Rule) (all []emulatorRule) {
	for i := range rules {
		r := &rules[i]
		all = append(all, emulatorRule{
			Name: r.Name, Rights: rightsOf(r),
			PrimaryKey: writtenKey(r.PrimaryKey), SecondaryKey: writtenKey(r.SecondaryKey),
		})
	}
	return all
}
