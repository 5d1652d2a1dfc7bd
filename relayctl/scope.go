package relayctl

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// completionTimeout bounds how long a shell waits for suggestions.
const completionTimeout = 1500 * time.Millisecond

// namespaceFlag gives cmd the flag --namespace-name, with a shorthand that may be
// empty: commands about something with a name have -n for that.
func (a *app) namespaceFlag(cmd *cobra.Command, short string) {
	cmd.Flags().StringVarP(&a.flags.namespace, "namespace-name", short, "",
		"`NAME` of the namespace (default: the context's, else the only one)")
	_ = cmd.RegisterFlagCompletionFunc("namespace-name", a.completeNamespaces)
}

// nameFlag is the name of what a command is about: -n, --name, --OTHER, or the
// only argument.
type nameFlag struct {
	value string
	what  string
}

// named gives cmd a nameFlag. complete may be nil.
func named(cmd *cobra.Command, what, other string, complete cobra.CompletionFunc) *nameFlag {
	n := &nameFlag{what: what}
	f := cmd.Flags()
	alias(f, other, "name")
	f.StringVarP(&n.value, "name", "n", "", "`NAME` of the "+what+"; may be written without the flag")
	cmd.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 1 && n.value == "":
			n.value = args[0]
		case len(args) > 1:
			return usage("want one name, got %q as well", args[1])
		case len(args) == 1:
			return usage("the name is given twice: %q and %q", n.value, args[0])
		}
		if n.value == "" {
			return usage("name the %s: %s", what, cmd.CommandPath()+" NAME")
		}
		return nil
	}
	if complete != nil {
		cmd.ValidArgsFunction = func(
			cmd *cobra.Command, args []string, start string,
		) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || n.value != "" {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return complete(cmd, args, start)
		}
		_ = cmd.RegisterFlagCompletionFunc("name", complete)
	}
	return n
}

// alias lets the flag name of f be written as other too.
func alias(f *pflag.FlagSet, other, name string) {
	before := f.GetNormalizeFunc()
	f.SetNormalizeFunc(func(f *pflag.FlagSet, given string) pflag.NormalizedName {
		if given == other {
			return pflag.NormalizedName(name)
		}
		return before(f, given)
	})
}

// entityKind is what differs between hybrid connections and WCF relays.
type entityKind struct {
	word, noun, plural string
	flag               string // az's for its name, in commands about something else.
	list               func(arm.Path) arm.Path
	one                func(arm.Path, string) arm.Path
}

var (
	hybridConnection = &entityKind{
		"hyco", "hybrid connection", "hybrid connections", "hybrid-connection-name",
		arm.Path.HybridConnections, arm.Path.HybridConnection,
	}
	wcfRelay = &entityKind{
		"wcfrelay", "WCF relay", "WCF relays", "relay-name",
		arm.Path.WCFRelays, arm.Path.WCFRelay,
	}
)

// scope says where rules are: at the namespace, at an entity of a kind, or where
// the flags say.
type scope struct {
	kind     *entityKind
	any      bool
	optional bool // An entity of the kind, unless a connection string names it.
}

var (
	namespaceScope = scope{}
	hycoScope      = scope{kind: hybridConnection}
	wcfScope       = scope{kind: wcfRelay}
	anyScope       = scope{any: true}
	relayScope     = scope{kind: hybridConnection, optional: true}
)

// parentFlags are the flags that lead to what a rule belongs to.
type parentFlags struct {
	scope
	hyco, wcfRelay string
}

// parent gives cmd the flags of its scope. short is the shorthand of the
// namespace, or empty.
func (a *app) parent(cmd *cobra.Command, s scope, short string) *parentFlags {
	p := &parentFlags{scope: s}
	f := cmd.Flags()
	entity := func(value *string, kind *entityKind, name, other string) {
		alias(f, other, name)
		f.StringVar(value, name, "", "`NAME` of the "+kind.noun)
		_ = cmd.RegisterFlagCompletionFunc(name, a.completeEntities(kind))
	}
	switch {
	case s.any:
		entity(&p.hyco, hybridConnection, hybridConnection.word, hybridConnection.flag)
		entity(&p.wcfRelay, wcfRelay, wcfRelay.word, wcfRelay.flag)
	case s.optional:
		entity(&p.hyco, hybridConnection, hybridConnection.word, hybridConnection.flag)
	case s.kind == hybridConnection:
		entity(&p.hyco, hybridConnection, hybridConnection.flag, hybridConnection.word)
	case s.kind == wcfRelay:
		entity(&p.wcfRelay, wcfRelay, wcfRelay.flag, wcfRelay.word)
	}
	a.namespaceFlag(cmd, short)
	return p
}

// check looks at the flags alone.
func (p *parentFlags) check() error {
	switch {
	case p.hyco != "" && p.wcfRelay != "":
		return usage("give --hyco or --wcfrelay, not both")
	case p.optional:
	case p.kind == hybridConnection && p.hyco == "", p.kind == wcfRelay && p.wcfRelay == "":
		return usage("say which %s with --%s", p.kind.noun, p.kind.flag)
	}
	return nil
}

// parent is what rules belong to.
type parent struct {
	client *arm.Client
	path   arm.Path
	text   string // "the hybrid connection orders", for people.
}

// find returns what the flags lead to.
func (a *app) find(ctx context.Context, p *parentFlags) (parent, error) {
	if err := p.check(); err != nil {
		return parent{}, err
	}
	client, ns, err := a.namespace(ctx)
	if err != nil {
		return parent{}, err
	}
	switch {
	case p.hyco != "":
		return parent{client, hybridConnection.one(ns, p.hyco), "the hybrid connection " + p.hyco}, nil
	case p.wcfRelay != "":
		return parent{client, wcfRelay.one(ns, p.wcfRelay), "the WCF relay " + p.wcfRelay}, nil
	}
	return parent{client, ns, "the namespace " + ns.Name()}, nil
}

// namespace returns the namespace that a command is about: the one of the flag or
// the context, or the only one that there is. The client is one for its resource
// group.
func (a *app) namespace(ctx context.Context) (*arm.Client, arm.Path, error) {
	client, err := a.api()
	if err != nil {
		return nil, arm.Path{}, err
	}
	if a.where.namespace != "" {
		return client, arm.Namespace(a.where.namespace), nil
	}
	all, err := client.AllNamespaces(ctx)
	if err != nil {
		return nil, arm.Path{}, fmt.Errorf("look for the namespace: %w", err)
	}
	switch len(all) {
	case 0:
		return nil, arm.Path{}, usage("there is no namespace yet; make one with " +
			"\"relayctl namespace create NAME\"")
	case 1:
		a.where.namespace = all[0].Text("name")
		if group := all[0].Group(); a.where.group == "" && group != "" {
			client = client.InGroup(group)
			a.client = client
		}
		return client, arm.Namespace(a.where.namespace), nil
	}
	return nil, arm.Path{}, usage("there are %d namespaces (%s); say which with --namespace-name",
		len(all), someNames(all))
}

// someNames lists names, at most five.
func someNames(all []arm.Resource) string {
	const most = 5
	var names []string
	for _, r := range all {
		names = append(names, clean(r.Text("name")))
	}
	slices.Sort(names)
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// suggest returns the names that list finds, for a shell; none if that takes too
// long or fails.
func (a *app) suggest(
	cmd *cobra.Command, start string, list func(context.Context) ([]arm.Resource, error),
) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	all, err := list(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, r := range all {
		if name := clean(r.Text("name")); strings.HasPrefix(name, start) {
			names = append(names, name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeNamespaces(
	cmd *cobra.Command, _ []string, start string,
) ([]string, cobra.ShellCompDirective) {
	return a.suggest(cmd, start, func(ctx context.Context) ([]arm.Resource, error) {
		client, err := a.api()
		if err != nil {
			return nil, err
		}
		return client.AllNamespaces(ctx)
	})
}

func (a *app) completeEntities(kind *entityKind) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
		return a.suggest(cmd, start, func(ctx context.Context) ([]arm.Resource, error) {
			client, ns, err := a.namespace(ctx)
			if err != nil {
				return nil, err
			}
			return client.List(ctx, kind.list(ns))
		})
	}
}

func (a *app) completeRules(p *parentFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
		return a.suggest(cmd, start, func(ctx context.Context) ([]arm.Resource, error) {
			parent, err := a.find(ctx, p)
			if err != nil {
				return nil, err
			}
			return parent.client.List(ctx, parent.path.Rules())
		})
	}
}

func (a *app) completeContexts(
	_ *cobra.Command, args []string, start string,
) ([]string, cobra.ShellCompDirective) {
	file, err := a.readContexts()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range file.Contexts {
		if strings.HasPrefix(c.Name, start) {
			names = append(names, c.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}
