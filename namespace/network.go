package namespace

import "net/netip"

// PublicNetworkAccess says whether clients may use a namespace from the
// networks that the gateway listens on. The values are those of the management
// API; SecuredByPerimeter has no perimeter here and is as Enabled.
type PublicNetworkAccess string

// The values of PublicNetworkAccess; empty is Enabled.
const (
	AccessEnabled            PublicNetworkAccess = "Enabled"
	AccessDisabled           PublicNetworkAccess = "Disabled"
	AccessSecuredByPerimeter PublicNetworkAccess = "SecuredByPerimeter"
)

// NetworkRules say from which addresses clients may come. The zero
// NetworkRules let everybody in.
type NetworkRules struct {
	// DefaultDeny refuses whom no rule lets in. Without it the rules that allow
	// have no effect.
	DefaultDeny bool
	// IPRules are looked at in order, the first that fits decides; at most
	// IPRulesMax.
	IPRules []IPRule
	// TrustedServiceAccess is a label: there are no trusted services here.
	TrustedServiceAccess bool
}

// IPRule is a network that is let in, or not.
type IPRule struct {
	Prefix netip.Prefix // no bits behind the prefix
	Mask   string       // as the operator wrote it: an address or a prefix
	Deny   bool         // ours; Azure's rules can only allow
}

// ParseIPRule reads an address or a prefix, IPv4 or IPv6, without a zone.
func ParseIPRule(mask string) (IPRule, bool) {
	prefix, err := netip.ParsePrefix(mask)
	if err != nil {
		a, err := netip.ParseAddr(mask)
		if err != nil || a.Zone() != "" {
			return IPRule{}, false
		}
		prefix = netip.PrefixFrom(a, a.BitLen())
	}
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	return IPRule{Prefix: prefix.Masked(), Mask: mask}, true
}

// Admits says whether a client at that address may use the namespace.
//
//	Cost:   0 allocs; at most IPRulesMax comparisons.
//	Source: docs/protocol.md, section 6.10.
func (n *Namespace) Admits(a netip.Addr) bool {
	if n == nil {
		return true
	}
	d := &n.settings.def
	if d.PublicNetworkAccess == AccessDisabled {
		return false
	}
	if len(d.Network.IPRules) == 0 {
		return !d.Network.DefaultDeny
	}
	a = a.Unmap().WithZone("")
	for i := range d.Network.IPRules {
		if r := &d.Network.IPRules[i]; r.Prefix.Contains(a) {
			return !r.Deny
		}
	}
	return !d.Network.DefaultDeny
}
