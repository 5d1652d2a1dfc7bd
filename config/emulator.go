package config

import (
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
)

// pascalWords are the names in the Config.json of the Azure emulators, which
// do not mind letter case.
var pascalWords = words{
	name: "Name", hosts: "Hosts", rules: "AuthorizationRules", rights: "Rights",
	primaryKey: "PrimaryKey", secondaryKey: "SecondaryKey",
	hybridConnections: "HybridConnections", wcfRelays: "WcfRelays",
	properties:          "Properties",
	clientAuthorization: "RequiresClientAuthorization", userMetadata: "UserMetadata",
	relayType: "RelayType", transportSecurity: "RequiresTransportSecurity",
	network: "NetworkRuleSet", defaultAction: "DefaultAction", ipRules: "IpRules",
	trusted: "TrustedServiceAccessEnabled", networkAccess: "PublicNetworkAccess",
	ipMask: "IpMask", action: "Action", allow: "Allow", deny: "Deny",
	quotas: "Quotas", listenersPerEntity: "ListenersPerEntity", connectionsQuota: "Connections",
	foldCase: true,
}

// emulator reads the namespaces of an emulator's Config.json: JSON with
// comments, or the same in YAML. Below UserConfig it takes the Service Bus
// emulator's Namespaces and Logging, and the Event Hubs emulator's
// NamespaceConfig and LoggingConfig; logging has no effect, nor has
// Quotas.Connections: the gateway bounds the connections of all namespaces
// together. A namespace without rules stays without.
//
// Source: docs/protocol.md, section 12.2.
func (r *namespaceReader) emulator(root *node) []namespace.Definition {
	const path = "UserConfig"
	top := r.members(root, "", path)
	if top[path] == nil && len(r.errs) == 0 {
		r.fail(path, root.line, "want a mapping with Namespaces, got nothing")
	}
	m := r.members(top[path], path,
		"Namespaces", "NamespaceConfig", "Logging", "LoggingConfig")
	for _, name := range []string{"Logging", "LoggingConfig"} {
		r.members(m[name], join(path, name), "Type")
	}
	list := "Namespaces"
	if n := m["NamespaceConfig"]; n != nil {
		if m[list] != nil {
			r.fail(join(path, "NamespaceConfig"), n.line, "given beside Namespaces; want one")
		}
		list, r.words.kind = "NamespaceConfig", "Type"
	}
	r.wantList(m[list], root, join(path, list))
	all := r.definitions(m[list], join(path, list))
	inFile := strings.NewReplacer(
		"namespaces[", join(path, list)+"[",
		".authorization_rules", ".AuthorizationRules",
		".hybrid_connections", ".HybridConnections", ".wcf_relays", ".WcfRelays",
		".user_metadata", ".Properties.UserMetadata", ".relay_type", ".Properties.RelayType",
		".network_rules.ip_rules", ".NetworkRuleSet.IpRules", ".ip_mask", ".IpMask",
		".primary_key", ".PrimaryKey", ".secondary_key", ".SecondaryKey",
		".name", ".Name", ".hosts", ".Hosts", ".rights", ".Rights",
	)
	r.check(all, root, inFile.Replace)
	return all
}
