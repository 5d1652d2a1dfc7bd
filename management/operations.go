package management

import (
	"slices"
	"strings"

	"github.com/relayhouse/relayhouse/namespace"
)

const (
	providerName = "Microsoft.Relay"
	// providerText is how Azure calls its provider.
	providerText = "Microsoft Azure Relay"
)

// name is the operation as the activity log of Azure has it; ours are not of
// its provider.
func (a *action) name() string {
	provider := providerName
	if !strings.Contains(a.operation, "namespaces") && !strings.Contains(a.operation, "clusters") &&
		!slices.Contains([]string{"operations/read", "checkNameAvailability/action"}, a.operation) {
		provider = "Relayhouse"
	}
	return provider + "/" + a.operation
}

type operationView struct {
	Name         string           `json:"name"`
	IsDataAction bool             `json:"isDataAction,omitempty"`
	Display      operationDisplay `json:"display"`
}

type operationDisplay struct {
	Provider  string `json:"provider"`
	Resource  string `json:"resource"`
	Operation string `json:"operation"`
}

// operations lists what the API does, in the words of Azure's portal.
//
//	Source: docs/protocol.md, section 13.8.
func operations() []operationView {
	var all []operationView
	add := func(name, resource, text string) {
		all = append(all, operationView{
			Name:    providerName + "/" + name,
			Display: operationDisplay{providerText, resource, text},
		})
	}
	verbs := func(name, resource string, remove bool) {
		add(name+"/read", resource, "Get "+resource)
		add(name+"/write", resource, "Create or update "+resource)
		if remove {
			add(name+"/delete", resource, "Delete "+resource)
		}
	}
	rules := func(name, resource string) {
		name, resource = name+"/authorizationRules", resource+" authorization rule"
		verbs(name, resource, true)
		add(name+"/listkeys/action", resource, "List keys of "+resource)
		add(name+"/regenerateKeys/action", resource, "Regenerate keys of "+resource)
	}
	add("operations/read", "Operation", "Get operations")
	add("checkNameAvailability/action", "Non Resource Operation", "Get namespace availability.")
	verbs("namespaces", "namespace", true)
	rules("namespaces", "namespace")
	for _, kind := range []namespace.Kind{namespace.KindHybridConnection, namespace.KindWCFRelay} {
		name := "namespaces/" + kindWord(kind)
		verbs(name, kind.String(), true)
		rules(name, kind.String())
	}
	verbs("namespaces/networkRuleSets", "network rule set", false)
	verbs("namespaces/privateEndpointConnections", "private endpoint connection", true)
	add("namespaces/privateLinkResources/read", "private link resource",
		"Get private link resource")
	add("clusters/read", "cluster", "Get cluster")
	add("namespaces/messages/send/action", "messages", "Send messages")
	add("namespaces/messages/listen/action", "messages", "Listen to messages")
	for i := len(all) - 2; i < len(all); i++ {
		all[i].IsDataAction = true
	}
	return all
}

func (c *call) listOperations() (answer, error) {
	all := operations()
	body := page{Value: make([]any, len(all))}
	for i := range all {
		body.Value[i] = all[i]
	}
	return answerOK(body), nil
}
