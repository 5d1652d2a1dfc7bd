package relayctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
	"github.com/relayhouse/relayhouse/sas"
)

// keyFlags say which key to use: of a rule, from the API, or from a connection
// string.
type keyFlags struct {
	where     *parentFlags
	rule      string
	secondary bool
	text      string // --connection-string
}

// keyOf gives cmd the flags. Where right is not 0, the rule may be left out; its
// help text says which one is taken.
func (a *app) keyOf(cmd *cobra.Command, right sas.Right) *keyFlags {
	k := &keyFlags{}
	f := cmd.Flags()
	f.SortFlags = false
	absent := "the only one there"
	if right == 0 {
		k.where = a.parent(cmd, anyScope, "n")
	} else {
		k.where = a.parent(cmd, relayScope, "n")
		absent = "one with the right " + right.String() + " and few others"
	}
	f.StringVar(&k.rule, "rule", "",
		"`NAME` of the rule, of the entity or the namespace (default: "+absent+")")
	f.BoolVar(&k.secondary, "secondary", false, "use the secondary key")
	_ = cmd.RegisterFlagCompletionFunc("rule", a.completeRules(k.where))
	return k
}

// takeConnectionString gives cmd --connection-string, which makes all else
// unnecessary.
func (k *keyFlags) takeConnectionString(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.text, "connection-string", "",
		"`TEXT` to take address and key from, instead of the API; env:NAME and file:PATH too")
}

// connection returns address and key. Its EntityPath is that of the entity, or
// empty for the namespace.
func (a *app) connection(
	ctx context.Context, k *keyFlags, right sas.Right,
) (sas.ConnectionString, error) {
	entity := cmp.Or(k.where.hyco, k.where.wcfRelay)
	if k.text != "" {
		text, err := a.secretText("--connection-string", k.text)
		if err != nil {
			return sas.ConnectionString{}, err
		}
		c, err := sas.ParseConnectionString(text)
		if err != nil {
			return c, usage("--connection-string: %v", err)
		}
		a.secret(c.Key)
		a.secret(c.Signature)
		if c.EntityPath != "" && entity != "" && !strings.EqualFold(c.EntityPath, entity) {
			return c, usage("the connection string is for %s, not for %s", c.EntityPath, entity)
		}
		c.EntityPath = cmp.Or(entity, c.EntityPath)
		return c, nil
	}
	parent, err := a.find(ctx, k.where)
	if err != nil {
		return sas.ConnectionString{}, err
	}
	keys, err := a.keysOf(ctx, parent, entity != "", k.rule, right)
	if err != nil {
		return sas.ConnectionString{}, err
	}
	member := "primaryConnectionString"
	if k.secondary {
		member = "secondaryConnectionString"
	}
	a.secret(keys.Text("primaryKey"))
	a.secret(keys.Text("secondaryKey"))
	c, err := sas.ParseConnectionString(keys.Text(member))
	if err != nil {
		return c, fmt.Errorf("the gateway's %s of %s: %w", member, parent.text, err)
	}
	c.EntityPath = entity
	return c, nil
}

// keysOf returns the keys of a rule of parent, or of its namespace if parent is
// an entity that has no such rule.
func (a *app) keysOf(
	ctx context.Context, p parent, isEntity bool, rule string, right sas.Right,
) (arm.Resource, error) {
	places := []arm.Path{p.path}
	if isEntity {
		places = append(places, arm.Namespace(a.where.namespace))
	}
	for i, place := range places {
		name := rule
		var err error
		if name == "" {
			if right == 0 && i > 0 {
				break // What is good for all must be asked for by name.
			}
			if name, err = chooseRule(ctx, p.client, place, right); err != nil {
				return nil, fmt.Errorf("look for a rule of %s: %w", p.text, err)
			}
		}
		if name != "" {
			keys, err := p.client.Keys(ctx, place.Rule(name))
			if err == nil {
				return keys, nil
			}
			if !notFound(err) {
				return nil, fmt.Errorf("fetch the keys of the rule %s of %s: %w", name, p.text, err)
			}
		}
		if i == 0 {
			// A rule of the namespace is no sign that the entity is there.
			if _, _, err := p.client.Get(ctx, place); err != nil {
				return nil, fmt.Errorf("look for %s: %w", p.text, err)
			}
		}
	}
	switch {
	case rule != "":
		return nil, fmt.Errorf("%s has no rule %s; \"relayctl rule list\" shows those that are there, "+
			"\"relayctl rule create\" makes one", p.text, rule)
	case right != 0:
		return nil, fmt.Errorf("%s has no rule with the right %s; make one with "+
			"\"relayctl rule create NAME --rights %[2]s\"", p.text, right)
	}
	return nil, usage("%s has no rule of its own; say with --rule which one of the namespace, "+
		"or make one with \"relayctl rule create\"", p.text)
}

// chooseRule returns the rule with right and the fewest others; if right is 0 the
// only rule. It is empty if there is none.
func chooseRule(
	ctx context.Context, client *arm.Client, place arm.Path, right sas.Right,
) (string, error) {
	all, err := client.List(ctx, place.Rules())
	if err != nil {
		if notFound(err) {
			return "", nil
		}
		return "", err
	}
	if right == 0 {
		if len(all) > 1 {
			return "", usage("there are several (%s); say which with --rule", someNames(all))
		}
		if len(all) == 1 {
			return all[0].Text("name"), nil
		}
		return "", nil
	}
	all = slices.DeleteFunc(all, func(r arm.Resource) bool {
		return !slices.Contains(r.Flat().Texts("rights"), right.String())
	})
	if len(all) == 0 {
		return "", nil
	}
	return slices.MinFunc(all, func(x, y arm.Resource) int {
		return cmp.Or(
			cmp.Compare(len(x.Flat().Texts("rights")), len(y.Flat().Texts("rights"))),
			cmp.Compare(x.Text("name"), y.Text("name")))
	}).Text("name"), nil
}

func notFound(err error) bool {
	var status *arm.StatusError
	return errors.As(err, &status) && status.Status == http.StatusNotFound
}

func (a *app) connectionStringCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "connection-string",
		Short: "print a connection string, for the settings of a client",
		Long: `Print a connection string: where to connect, and with which key. The rule is looked
for at the hybrid connection, then at the namespace; --secondary takes the other key.`,
		Example: `  relayctl connection-string --hyco orders --rule app
  relayctl connection-string --hyco orders --rule RootManageSharedAccessKey --secondary
  export RELAY=$(relayctl connection-string --hyco orders)`,
		Args: cobra.NoArgs,
	}
	k := a.keyOf(cmd, 0)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if k.rule == "" && k.where.hyco == "" && k.where.wcfRelay == "" {
			return usage("say for what: --hyco NAME, --rule NAME, or both")
		}
		c, err := a.connection(cmd.Context(), k, 0)
		if err != nil {
			return err
		}
		switch a.flags.output {
		case outputJSON, outputYAML:
			return a.printValue(map[string]any{"connectionString": c.String()})
		}
		return a.write(c.String() + "\n")
	}
	return cmd
}
