package config

import (
	"fmt"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/sas"
)

// The credentials of the emulator, by the habit of the Azure emulators.
const (
	DevKeyName = "RootManageSharedAccessKey"
	DevKey     = "SAS_KEY_VALUE"
	// DevSecondaryKey is ours: theirs have one key only.
	DevSecondaryKey = "SAS_SECONDARY_KEY_VALUE"
)

// DevNamespaces is the one namespace of the emulator, for every host name: the
// entities "authenticated" and "unauthenticated" and those given as
// NAME[:anonymous], which also replace one of the same name.
func DevNamespaces(entities []string) ([]namespace.Definition, error) {
	all := []namespace.Entity{
		{Name: "authenticated", RequiresClientAuthorization: true},
		{Name: "unauthenticated"},
	}
	for _, text := range entities {
		name, option, has := strings.Cut(text, ":")
		if has && option != "anonymous" {
			return nil, &Error{
				Path: "--hyco", Text: fmt.Sprintf("want NAME or NAME:anonymous, got %q", text),
			}
		}
		e := namespace.Entity{Name: name, RequiresClientAuthorization: !has}
		replaced := false
		for i := range all {
			if strings.EqualFold(all[i].Name, name) {
				all[i], replaced = e, true
			}
		}
		if !replaced {
			all = append(all, e)
		}
	}
	defs := []namespace.Definition{{
		Name: "dev",
		Rules: []namespace.Rule{{
			Name: DevKeyName, PrimaryKey: DevKey, SecondaryKey: DevSecondaryKey,
			Rights: sas.Listen | sas.Send | sas.Manage,
		}},
		HybridConnections: all,
	}}
	if err := namespace.Validate(defs); err != nil {
		return nil, &Error{Path: "--hyco", Text: err.Error()}
	}
	return defs, nil
}
