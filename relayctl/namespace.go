package relayctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// locationDefault is the region that we say where nobody says one; Azure's API
// wants some.
const locationDefault = "local"

var namespaceView = view{
	columns: []column{
		member("NAME", "name"),
		{"GROUP", func(r arm.Resource) string { return r.Group() }},
		member("STATUS", "status"),
		member("ENDPOINT", "serviceBusEndpoint"),
	},
	details: []column{
		member("LOCATION", "location"),
		{"TAGS", tagsText},
		{"HOSTS", func(r arm.Resource) string { return strings.Join(r.Texts("hosts"), " ") }},
		member("PUBLIC ACCESS", "publicNetworkAccess"),
		member("LEAST TLS", "minimumTlsVersion"),
		{"CREATED", stamp("createdAt")},
		{"UPDATED", stamp("updatedAt")},
	},
}

func tagsText(r arm.Resource) string {
	tags, _ := r["tags"].(map[string]any)
	var all []string
	for name := range tags {
		all = append(all, name+"="+arm.Resource(tags).Text(name))
	}
	return strings.Join(sorted(all), " ")
}

func (a *app) namespaceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "namespace",
		Short: "namespaces: scopes of entities and rules",
		Long: `A namespace is a scope of hybrid connections, WCF relays and rules, with host names
of its own. It is born with the rule RootManageSharedAccessKey, which may do everything.`,
		Example: `  relayctl namespace create contoso
  relayctl namespace list
  relayctl namespace authorization-rule keys list --namespace-name contoso \
    -n RootManageSharedAccessKey`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.namespaceCreateCommand(), a.namespaceUpdateCommand(),
		a.namespaceShowCommand(), a.namespaceListCommand(), a.namespaceDeleteCommand(),
		a.namespaceExistsCommand(), a.ruleCommand(namespaceScope, "authorization-rule"),
		a.networkCommand())
	return cmd
}

// namespaceFlags are what can be said of a namespace.
type namespaceFlags struct {
	location, sku, tier, publicAccess, leastTLS string
	tags, hosts                                 wordList
}

func (n *namespaceFlags) register(cmd *cobra.Command, create bool) {
	f := cmd.Flags()
	f.SortFlags = false
	if create {
		f.StringVarP(&n.location, "location", "l", locationDefault, "`REGION`, a label")
	}
	n.tags = wordList{kind: "NAME=VALUE...", check: func(word string) error {
		if name, _, ok := strings.Cut(word, "="); !ok || name == "" {
			return fmt.Errorf("want NAME=VALUE")
		}
		return nil
	}}
	n.tags.register(f, "tags", "labels; \"\" takes all away")
	n.hosts = wordList{kind: "HOST...", split: true}
	n.hosts.register(f, "hosts", "host names of the namespace (not in Azure)")
	f.StringVar(&n.publicAccess, "public-network-access", "",
		"`MODE`: Enabled, Disabled, SecuredByPerimeter")
	f.StringVar(&n.leastTLS, "minimum-tls-version", "", "`VERSION`: 1.2, 1.3")
	f.StringVar(&n.sku, "sku", "Standard", "`NAME`: Standard")
	f.StringVar(&n.tier, "tier", "Standard", "`NAME`: Standard")
	_ = cmd.RegisterFlagCompletionFunc("public-network-access",
		fixed("Enabled", "Disabled", "SecuredByPerimeter"))
	_ = cmd.RegisterFlagCompletionFunc("minimum-tls-version", fixed("1.2", "1.3"))
	takeNoWait(f)
}

// takeNoWait has f take --no-wait, which scripts for az may say; nothing here
// is waited for.
func takeNoWait(f *pflag.FlagSet) {
	f.Bool("no-wait", false, "")
	_ = f.MarkHidden("no-wait")
}

// body is what to send: what was given only.
func (n *namespaceFlags) body(f *pflag.FlagSet) arm.Resource {
	body, properties := arm.Resource{}, arm.Resource{}
	if n.tags.given {
		tags := map[string]string{}
		for _, word := range n.tags.words {
			name, value, _ := strings.Cut(word, "=")
			tags[name] = value
		}
		body["tags"] = tags
	}
	if n.hosts.given {
		properties["hosts"] = append([]string{}, n.hosts.words...)
	}
	if f.Changed("public-network-access") {
		properties["publicNetworkAccess"] = n.publicAccess
	}
	if f.Changed("minimum-tls-version") {
		properties["minimumTlsVersion"] = n.leastTLS
	}
	if f.Changed("sku") || f.Changed("tier") || n.location != "" {
		body["sku"] = arm.Resource{"name": n.sku, "tier": n.tier}
	}
	if n.location != "" {
		body["location"] = n.location
	}
	if len(properties) > 0 {
		body["properties"] = properties
	}
	return body
}

func (a *app) namespaceCreateCommand() *cobra.Command {
	var n namespaceFlags
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "create a namespace",
		Long:  `Create a namespace. One that exists is set to what the flags say; its entities stay.`,
		Example: `  relayctl namespace create contoso
  relayctl namespace create contoso -g prod --tags team=sales --minimum-tls-version 1.3`,
	}
	n.register(cmd, true)
	name := named(cmd, "namespace", "namespace-name", a.completeNamespaces)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		r, err := client.Put(cmd.Context(), arm.Namespace(name.value), "", n.body(cmd.Flags()))
		if err != nil {
			return fmt.Errorf("create the namespace %s: %w", name.value, err)
		}
		return a.printOne(namespaceView, r)
	}
	return cmd
}

func (a *app) namespaceUpdateCommand() *cobra.Command {
	var n namespaceFlags
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "change what the flags name and keep the rest",
		Example: `  relayctl namespace update contoso --tags team=sales stage=test
  relayctl namespace update contoso --public-network-access Disabled`,
	}
	n.register(cmd, false)
	name := named(cmd, "namespace", "namespace-name", a.completeNamespaces)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		body := n.body(cmd.Flags())
		if len(body) == 0 {
			return usage("nothing to change; say what, for example --tags stage=test")
		}
		client, err := a.api()
		if err != nil {
			return err
		}
		r, err := client.Patch(cmd.Context(), arm.Namespace(name.value), body)
		if err != nil {
			return fmt.Errorf("update the namespace %s: %w", name.value, err)
		}
		return a.printOne(namespaceView, r)
	}
	return cmd
}

func (a *app) namespaceShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show NAME",
		Short:   "show a namespace",
		Example: `  relayctl namespace show contoso -o json`,
	}
	name := named(cmd, "namespace", "namespace-name", a.completeNamespaces)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		r, _, err := client.Get(cmd.Context(), arm.Namespace(name.value))
		if err != nil {
			return fmt.Errorf("show the namespace %s: %w", name.value, err)
		}
		return a.printOne(namespaceView, r)
	}
	return cmd
}

func (a *app) namespaceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the namespaces of the subscription, or with -g of the group",
		Example: `  relayctl namespace list
  relayctl namespace list -g prod -o tsv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.api()
			if err != nil {
				return err
			}
			var all []arm.Resource
			if cmd.Flags().Changed("resource-group") {
				all, err = client.List(cmd.Context(), arm.Namespaces())
			} else {
				all, err = client.AllNamespaces(cmd.Context())
			}
			if err != nil {
				return fmt.Errorf("list the namespaces: %w", err)
			}
			return a.printList(namespaceView, all)
		},
	}
}

func (a *app) namespaceDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "delete a namespace with all that is in it",
		Long: `Delete a namespace with its entities, rules and keys. Their listeners and senders are
disconnected. On a terminal you are asked, unless you say --yes.`,
		Example: `  relayctl namespace delete contoso --yes`,
	}
	f := cmd.Flags()
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	takeNoWait(f)
	name := named(cmd, "namespace", "namespace-name", a.completeNamespaces)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		if !yes && a.Terminal && !a.ask("Delete the namespace "+name.value+" with all that is in it?") {
			return fmt.Errorf("the namespace %s was not deleted", name.value)
		}
		existed, err := client.Delete(cmd.Context(), arm.Namespace(name.value))
		return a.deleted("the namespace "+name.value, existed, err)
	}
	return cmd
}

// ask asks a person; only yes is yes.
func (a *app) ask(question string) bool {
	_, _ = fmt.Fprint(a.Err, question+" [y/N] ")
	answer := make([]byte, 16)
	n, _ := a.In.Read(answer)
	text := strings.ToLower(strings.TrimSpace(string(answer[:n])))
	return text == "y" || text == "yes"
}

// deleted says how a deletion ended.
func (a *app) deleted(what string, existed bool, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("delete %s: %w", what, err)
	case existed:
		return a.say("%s is deleted", what)
	}
	return a.say("%s was not there", what)
}

func (a *app) namespaceExistsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "exists NAME",
		Short:   "ask whether a name is free and allowed",
		Example: `  relayctl namespace exists contoso`,
	}
	name := named(cmd, "namespace", "namespace-name", nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		r, err := client.CheckName(cmd.Context(), name.value)
		if err != nil {
			return fmt.Errorf("check the name %s: %w", name.value, err)
		}
		return a.printOne(view{columns: []column{
			member("AVAILABLE", "nameAvailable"), member("REASON", "reason"),
			member("MESSAGE", "message"),
		}}, r)
	}
	return cmd
}
