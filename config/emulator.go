package config

import (
	"errors"
	"os"
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

// LoadEmulator reads the namespaces of an emulator's Config.json: JSON with
// comments, or the same in YAML. Below UserConfig it takes the Service Bus
// emulator's Namespaces and Logging, and the Event Hubs emulator's
// NamespaceConfig and LoggingConfig; logging has no effect, nor has
// Quotas.Connections: the gateway bounds the connections of all namespaces
// together. Keys may be env:NAME and file:PATH. A namespace without rules stays
// without.
//
//	Errors: all that is wrong, joined; each is an *Error.
//	Source: docs/protocol.md, section 12.2.
func LoadEmulator(path string) ([]namespace.Definition, error) {
	root, err := readTree(path)
	if err != nil {
		return nil, err
	}
	return emulatorDefinitions(path, root, environment(os.Environ()))
}

func emulatorDefinitions(
	file string, root *node, env map[string]string,
) ([]namespace.Definition, error) {
	r := newNamespaceReader(pascalWords, file, env)
	all := r.emulator(root)
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// emulator reads a file in the form of the emulators and checks it.
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
