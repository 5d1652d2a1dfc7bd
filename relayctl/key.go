package relayctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) keyCommand(s scope, word string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   word,
		Short: "keys of a rule of " + s.where(),
		Long: `A rule has two keys, so that one can be renewed while clients use the other: give the
clients the secondary key, renew the primary one, and the next time the other way round.`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.keyListCommand(s), a.keyRenewCommand(s))
	return cmd
}

func (a *app) keyListCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list RULE",
		Short: "show the keys and connection strings of a rule",
		Example: "  " + exampleOf(s, "key", "authorization-rule keys") + " list app" + s.example() +
			" -o json",
	}
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", a.completeRules(where))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := a.find(cmd.Context(), where)
		if err != nil {
			return err
		}
		r, err := parent.client.Keys(cmd.Context(), parent.path.Rule(name.value))
		if err != nil {
			return fmt.Errorf("list the keys of the rule %s of %s: %w", name.value, parent.text, err)
		}
		return a.printOne(keysView, r)
	}
	return cmd
}

func (a *app) keyRenewCommand(s scope) *cobra.Command {
	var which, value string
	cmd := &cobra.Command{
		Use:   "renew RULE",
		Short: "replace a key; tokens and connection strings with the old one are void",
		Example: "  " + exampleOf(s, "key", "authorization-rule keys") + " renew app" + s.example() +
			" --key PrimaryKey",
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&which, "key", "", "`WHICH` of them: PrimaryKey, SecondaryKey")
	f.StringVar(&value, "key-value", "",
		"`KEY` to set instead of a new one; env:NAME and file:PATH too")
	_ = cmd.RegisterFlagCompletionFunc("key", fixed("PrimaryKey", "SecondaryKey"))
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", a.completeRules(where))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch strings.ToLower(which) {
		case "primarykey", "primary":
			which = "PrimaryKey"
		case "secondarykey", "secondary":
			which = "SecondaryKey"
		default:
			return usage("say which key to replace: --key PrimaryKey or --key SecondaryKey")
		}
		value, err := a.secretText("--key-value", value)
		if err != nil {
			return err
		}
		parent, err := a.find(cmd.Context(), where)
		if err != nil {
			return err
		}
		r, err := parent.client.RenewKey(cmd.Context(), parent.path.Rule(name.value), which, value)
		if err != nil {
			return fmt.Errorf("renew the %s of the rule %s of %s: %w", which, name.value, parent.text, err)
		}
		return a.printOne(keysView, r)
	}
	return cmd
}
