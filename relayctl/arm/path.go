package arm

import (
	"errors"
	"net/url"
	"strings"
)

// The words of paths, as Azure writes them.
const (
	provider        = "Microsoft.Relay"
	namespaceWord   = "namespaces"
	hycoWord        = "hybridConnections"
	wcfRelayWord    = "wcfRelays"
	ruleWord        = "authorizationRules"
	networkRuleWord = "networkRuleSets"
)

// ErrName is a name that no path can hold.
var ErrName = errors.New(`want a name that is not empty, "." or ".."`)

// Path names a resource or a list of them, below the provider in a resource
// group: alternating words and names. Names are plain text, with any slashes
// that they have.
type Path struct{ segments []string }

// Namespaces is the list of the namespaces of a resource group.
func Namespaces() Path { return Path{[]string{namespaceWord}} }

// Namespace is one namespace.
func Namespace(name string) Path { return Namespaces().with(name) }

// HybridConnections is the list of those of namespace p.
func (p Path) HybridConnections() Path { return p.with(hycoWord) }

// HybridConnection is one of namespace p.
func (p Path) HybridConnection(name string) Path { return p.with(hycoWord, name) }

// WCFRelays is the list of those of namespace p.
func (p Path) WCFRelays() Path { return p.with(wcfRelayWord) }

// WCFRelay is one of namespace p.
func (p Path) WCFRelay(name string) Path { return p.with(wcfRelayWord, name) }

// Rules is the list of authorization rules of a namespace or entity p.
func (p Path) Rules() Path { return p.with(ruleWord) }

// Rule is one authorization rule of a namespace or entity p.
func (p Path) Rule(name string) Path { return p.with(ruleWord, name) }

// NetworkRules is the only network rule set of namespace p.
func (p Path) NetworkRules() Path { return p.with(networkRuleWord, "default") }

// Name is the last segment: the name of the resource.
func (p Path) Name() string { return p.segments[len(p.segments)-1] }

func (p Path) with(more ...string) Path {
	all := make([]string, 0, len(p.segments)+len(more))
	return Path{append(append(all, p.segments...), more...)}
}

// escape writes segments as a URL path, a slash within a name as %2F.
//
//	Errors: ErrName. A segment of dots would be taken for a step up by what lies
//	        between here and there, and lead to another resource.
func escape(segments ...string) (string, error) {
	var b strings.Builder
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return "", ErrName
		}
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String(), nil
}
