package relayctl

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// sorted returns list in order; it changes list.
func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// or is a member of a resource, or what its absence means.
func or(name, absent string) func(arm.Resource) string {
	return func(r arm.Resource) string {
		if text := r.Text(name); text != "" {
			return text
		}
		return absent
	}
}

// view is the table of a kind.
func (k *entityKind) view() view {
	v := view{
		columns: []column{
			member("NAME", "name"),
			{"LISTENERS", or("listenerCount", "0")},
			{"SENDERS NEED TOKEN", or("requiresClientAuthorization", "true")},
			{"STATUS", or("status", "Active")},
		},
		details: []column{
			member("METADATA", "userMetadata"),
			member("LISTENERS MAX", "listenersMax"),
			member("HTTP RESPONSE TIMEOUT", "httpResponseTimeout"),
			member("HTTP BODY GAP", "httpBodyGap"),
			member("HTTP DELIVERY", "httpDelivery"),
			{"CREATED", stamp("createdAt")},
			{"UPDATED", stamp("updatedAt")},
		},
	}
	if k == wcfRelay {
		v.columns = slices.Insert(v.columns, 1, member("TYPE", "relayType"))
		v.details = append([]column{
			{"NEEDS TLS", or("requiresTransportSecurity", "true")}, member("DYNAMIC", "isDynamic"),
		}, v.details...)
	}
	return v
}

// writable are the properties that an update keeps.
func (k *entityKind) writable() []string {
	names := []string{"requiresClientAuthorization", "userMetadata", "status"}
	if k == wcfRelay {
		return append(names, "relayType", "requiresTransportSecurity")
	}
	return append(names, "listenersMax", "httpResponseTimeout", "httpBodyGap", "httpDelivery")
}

func (a *app) entityCommand(k *entityKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   k.word,
		Short: "hybrid connections: paths that listeners and senders meet at",
		Example: `  relayctl hyco create orders
  relayctl hyco list
  relayctl hyco authorization-rule create --hybrid-connection-name orders -n app \
    --rights Listen`,
	}
	scope := hycoScope
	if k == wcfRelay {
		scope = wcfScope
		cmd.Short = "WCF relays: entities of the older protocols"
		cmd.Example = `  relayctl wcfrelay create echo --relay-type NetTcp
  relayctl wcfrelay authorization-rule list --relay-name echo`
	}
	asGroup(cmd)
	cmd.AddCommand(a.entityCreateCommand(k), a.entityUpdateCommand(k), a.entityShowCommand(k),
		a.entityListCommand(k), a.entityDeleteCommand(k), a.ruleCommand(scope, "authorization-rule"))
	return cmd
}

// entityFlags are what can be said of an entity.
type entityFlags struct {
	clientAuthorization, transportSecurity truth
	metadata, status, relayType            string
	responseTimeout, bodyGap, delivery     string
	listenersMax                           int
}

func (e *entityFlags) register(cmd *cobra.Command, k *entityKind) {
	f := cmd.Flags()
	f.SortFlags = false
	if k == wcfRelay {
		f.StringVar(&e.relayType, "relay-type", "", "`TYPE`: NetTcp, Http")
		_ = cmd.RegisterFlagCompletionFunc("relay-type", fixed("NetTcp", "Http"))
	}
	e.clientAuthorization.register(f, "requires-client-authorization", "c",
		"whether senders need a token (default true)")
	if k == wcfRelay {
		e.transportSecurity.register(f, "requires-transport-security", "",
			"whether clients need TLS (default true)")
	}
	f.StringVar(&e.metadata, "user-metadata", "", "free `TEXT`, up to 1024 characters")
	f.StringVar(&e.status, "status", "", "`STATUS`: Active, Disabled")
	_ = cmd.RegisterFlagCompletionFunc("status", fixed("Active", "Disabled"))
	if k == wcfRelay {
		return
	}
	f.IntVar(&e.listenersMax, "listeners-max", 0,
		"most `LISTENERS` at once, 0 for the gateway's default (not in Azure, as what follows)")
	f.StringVar(&e.responseTimeout, "http-response-timeout", "",
		"longest `TIME` until a response begins: 30s, never, default")
	f.StringVar(&e.bodyGap, "http-body-gap", "",
		"longest `TIME` of silence within a body: 30s, never, default")
	f.StringVar(&e.delivery, "http-delivery", "", "`HOW` requests reach listeners: auto, rendezvous")
	_ = cmd.RegisterFlagCompletionFunc("http-delivery", fixed("auto", "rendezvous"))
}

// properties are those that were given.
func (e *entityFlags) properties(f *pflag.FlagSet) arm.Resource {
	given := arm.Resource{}
	if e.clientAuthorization.given {
		given["requiresClientAuthorization"] = e.clientAuthorization.value
	}
	if e.transportSecurity.given {
		given["requiresTransportSecurity"] = e.transportSecurity.value
	}
	for flag, value := range map[string]string{
		"relay-type": e.relayType, "user-metadata": e.metadata, "status": e.status,
		"http-response-timeout": e.responseTimeout, "http-body-gap": e.bodyGap,
		"http-delivery": e.delivery,
	} {
		if f.Changed(flag) {
			given[propertyOf[flag]] = value
		}
	}
	if f.Changed("listeners-max") {
		given["listenersMax"] = e.listenersMax
	}
	return given
}

var propertyOf = map[string]string{
	"relay-type": "relayType", "user-metadata": "userMetadata", "status": "status",
	"http-response-timeout": "httpResponseTimeout", "http-body-gap": "httpBodyGap",
	"http-delivery": "httpDelivery",
}

func (a *app) entityCreateCommand(k *entityKind) *cobra.Command {
	var e entityFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "create a " + k.noun,
		Long: "Create a " + k.noun + `. One that exists is set to what the flags and defaults say; its
rules stay. The name may have several segments: site-a/api.`,
		Example: "  relayctl " + k.word + " create orders\n" +
			"  relayctl " + k.word + " create site-a/api -c false --user-metadata 'owned by sales'",
	}
	e.register(cmd, k)
	name := named(cmd, k.noun, k.flag, nil)
	a.namespaceFlag(cmd, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		r, err := client.Put(cmd.Context(), k.one(ns, name.value), "",
			arm.Resource{"properties": e.properties(cmd.Flags())})
		if err != nil {
			return fmt.Errorf("create the %s %s: %w", k.noun, name.value, err)
		}
		return a.printOne(k.view(), r)
	}
	return cmd
}

func (a *app) entityUpdateCommand(k *entityKind) *cobra.Command {
	var e entityFlags
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "change what the flags name and keep the rest",
		Example: "  relayctl " + k.word + " update orders --status Disabled\n" +
			"  relayctl " + k.word + " update orders -c false",
	}
	e.register(cmd, k)
	name := named(cmd, k.noun, k.flag, a.completeEntities(k))
	a.namespaceFlag(cmd, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		changes := e.properties(cmd.Flags())
		if len(changes) == 0 {
			return usage("nothing to change; say what, for example --status Disabled")
		}
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		r, err := a.update(cmd.Context(), client, k.one(ns, name.value), k.writable(), changes)
		if err != nil {
			return fmt.Errorf("update the %s %s: %w", k.noun, name.value, err)
		}
		return a.printOne(k.view(), r)
	}
	return cmd
}

// update reads a resource, changes properties and writes it, unless somebody
// else has changed it in between. keep names the properties that can be written.
func (a *app) update(
	ctx context.Context, client *arm.Client, p arm.Path, keep []string, changes arm.Resource,
) (arm.Resource, error) {
	present, etag, err := client.Get(ctx, p)
	if err != nil {
		return nil, err
	}
	present = present.Flat()
	properties := arm.Resource{}
	for _, name := range keep {
		if value, ok := present[name]; ok && value != nil {
			properties[name] = value
		}
	}
	for name, value := range changes {
		properties[name] = value
	}
	return client.Put(ctx, p, etag, arm.Resource{"properties": properties})
}

func (a *app) entityShowCommand(k *entityKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "show a " + k.noun,
		Example: "  relayctl " + k.word + " show orders -o json",
	}
	name := named(cmd, k.noun, k.flag, a.completeEntities(k))
	a.namespaceFlag(cmd, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		r, _, err := client.Get(cmd.Context(), k.one(ns, name.value))
		if err != nil {
			return fmt.Errorf("show the %s %s: %w", k.noun, name.value, err)
		}
		return a.printOne(k.view(), r)
	}
	return cmd
}

func (a *app) entityListCommand(k *entityKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the " + k.plural + " of a namespace",
		Args:  cobra.NoArgs,
		Example: "  relayctl " + k.word + " list\n" +
			"  relayctl " + k.word + " list --namespace-name contoso -o tsv | cut -f1",
	}
	a.namespaceFlag(cmd, "n")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		all, err := client.List(cmd.Context(), k.list(ns))
		if err != nil {
			return fmt.Errorf("list the %s of %s: %w", k.plural, ns.Name(), err)
		}
		return a.printList(k.view(), all)
	}
	return cmd
}

func (a *app) entityDeleteCommand(k *entityKind) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "delete a " + k.noun + " with its rules",
		Long:    "Delete a " + k.noun + " with its rules. Its listeners are disconnected.",
		Example: "  relayctl " + k.word + " delete orders",
	}
	takeYes(cmd.Flags())
	name := named(cmd, k.noun, k.flag, a.completeEntities(k))
	a.namespaceFlag(cmd, "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		existed, err := client.Delete(cmd.Context(), k.one(ns, name.value))
		return a.deleted("the "+k.noun+" "+name.value, existed, err)
	}
	return cmd
}

// takeYes has f take --yes, which scripts for az say; nobody is asked.
func takeYes(f *pflag.FlagSet) {
	f.BoolP("yes", "y", false, "")
	_ = f.MarkHidden("yes")
}
