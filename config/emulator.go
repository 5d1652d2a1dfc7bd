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
	entities: "HybridConnections", clientAuthorization: "RequiresClientAuthorization",
	userMetadata: "UserMetadata", properties: "Properties",
	foldCase: true,
	notYet: map[string]string{
		"WcfRelays":      "WCF relays are not part of this build; remove them",
		"NetworkRuleSet": "restrict addresses in front of the gateway and remove it",
		"Quotas":         "set gateway.listeners_max instead and remove them",
	},
}

// LoadEmulator reads the namespaces of an emulator's Config.json: JSON with
// comments, or the same in YAML. Below UserConfig it takes the Service Bus
// emulator's Namespaces and Logging, and the Event Hubs emulator's
// NamespaceConfig and LoggingConfig; logging has no effect. Keys may be
// env:NAME and file:PATH. A namespace without rules stays without.
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
	const path = "UserConfig"
	r := newNamespaceReader(pascalWords, file, env)
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
	all := r.definitions(m[list], join(path, list))
	inFile := strings.NewReplacer(
		"namespaces[", join(path, list)+"[",
		".authorization_rules", ".AuthorizationRules",
		".hybrid_connections", ".HybridConnections",
		".user_metadata", ".Properties.UserMetadata",
		".primary_key", ".PrimaryKey", ".secondary_key", ".SecondaryKey",
		".name", ".Name", ".hosts", ".Hosts", ".rights", ".Rights",
	)
	r.check(all, inFile.Replace)
	if err := errors.Join(r.errs...); err != nil {
		return nil, err
	}
	return all, nil
}
