package relayctl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
	"github.com/relayhouse/relayhouse/sas"
)

var ruleView = view{columns: []column{
	member("NAME", "name"),
	{"RIGHTS", func(r arm.Resource) string { return strings.Join(r.Texts("rights"), " ") }},
}}

// keysView has its columns in the order of az's tsv, so that cut finds them.
var keysView = view{columns: []column{
	member("RULE", "keyName"),
	member("PRIMARY CONNECTION STRING", "primaryConnectionString"),
	member("PRIMARY KEY", "primaryKey"),
	member("SECONDARY CONNECTION STRING", "secondaryConnectionString"),
	member("SECONDARY KEY", "secondaryKey"),
}}

// where completes the sentences of help texts.
func (s scope) where() string {
	switch {
	case s.any:
		return "a namespace, hybrid connection or WCF relay"
	case s.kind == nil:
		return "a namespace"
	}
	return "a " + s.kind.noun
}

// example is the flag that leads to what a rule of the scope belongs to.
func (s scope) example() string {
	switch {
	case s.any:
		return " --hyco orders"
	case s.kind == nil:
		return ""
	}
	return " --" + s.kind.flag + " orders"
}

func (a *app) ruleCommand(s scope, word string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   word,
		Short: "authorization rules of " + s.where(),
		Long: `An authorization rule has a name, two keys, and rights: Listen, Send, Manage. Who has
one of its keys may do what the rule allows. Manage goes with both others.`,
	}
	if s.any {
		cmd.Long += `

Without --hyco and --wcfrelay it is about the rules of the namespace, which hold for all that
is in it. The same commands are in the groups namespace, hyco and wcfrelay.`
	}
	asGroup(cmd)
	cmd.AddCommand(a.ruleCreateCommand(s), a.ruleUpdateCommand(s), a.ruleShowCommand(s),
		a.ruleListCommand(s), a.ruleDeleteCommand(s))
	if !s.any {
		cmd.AddCommand(a.keyCommand(s, "keys"))
	}
	return cmd
}

// rightsFlag gives cmd --rights.
func rightsFlag(cmd *cobra.Command) *wordList {
	rights := &wordList{kind: "RIGHT...", split: true, check: func(word string) error {
		_, err := sas.ParseRight(word)
		return err
	}}
	rights.register(cmd.Flags(), "rights", "some of Listen, Send, Manage")
	_ = cmd.RegisterFlagCompletionFunc("rights", fixed("Listen", "Send", "Manage"))
	return rights
}

// rightsBody is the body of a rule.
func rightsBody(rights *wordList) (arm.Resource, error) {
	var set sas.Right
	for _, word := range rights.words {
		right, err := sas.ParseRight(word)
		if err != nil {
			return nil, err
		}
		set |= right
	}
	if set == 0 {
		return nil, usage("say what the rule allows: --rights Listen, --rights Send, " +
			"--rights Listen Send Manage")
	}
	return arm.Resource{
		"properties": arm.Resource{"rights": strings.Split(set.String(), ",")},
	}, nil
}

func (a *app) ruleCreateCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "create a rule, with new keys",
		Long:  `Create a rule, with new keys. One that exists gets the rights and keeps its keys.`,
	}
	rights := rightsFlag(cmd)
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", nil)
	cmd.Example = "  " + exampleOf(s, "rule", "authorization-rule") + " create app" + s.example() +
		" --rights Listen Send"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.putRule(cmd, where, name, rights, "create")
	}
	return cmd
}

// exampleOf returns the command line that leads to a group of rules or keys.
func exampleOf(s scope, short, long string) string {
	switch {
	case s.any:
		return "relayctl " + short
	case s.kind == nil:
		return "relayctl namespace " + long
	}
	return "relayctl " + s.kind.word + " " + long
}

func (a *app) putRule(
	cmd *cobra.Command, where *parentFlags, name *nameFlag, rights *wordList, verb string,
) error {
	body, err := rightsBody(rights)
	if err != nil {
		return err
	}
	parent, err := a.find(cmd.Context(), where)
	if err != nil {
		return err
	}
	path := parent.path.Rule(name.value)
	etag := ""
	if verb == "update" { // It must be there already.
		_, etag, err = parent.client.Get(cmd.Context(), path)
	}
	var r arm.Resource
	if err == nil {
		r, err = parent.client.Put(cmd.Context(), path, etag, body)
	}
	if err != nil {
		return fmt.Errorf("%s the rule %s of %s: %w", verb, name.value, parent.text, err)
	}
	return a.printOne(ruleView, r)
}

func (a *app) ruleUpdateCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "give a rule other rights; its keys stay",
	}
	rights := rightsFlag(cmd)
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", a.completeRules(where))
	cmd.Example = "  " + exampleOf(s, "rule", "authorization-rule") + " update app" + s.example() +
		" --rights Listen"
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.putRule(cmd, where, name, rights, "update")
	}
	return cmd
}

func (a *app) ruleShowCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "show a rule, without its keys"}
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", a.completeRules(where))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := a.find(cmd.Context(), where)
		if err != nil {
			return err
		}
		r, _, err := parent.client.Get(cmd.Context(), parent.path.Rule(name.value))
		if err != nil {
			return fmt.Errorf("show the rule %s of %s: %w", name.value, parent.text, err)
		}
		return a.printOne(ruleView, r)
	}
	return cmd
}

func (a *app) ruleListCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the rules of " + s.where(), Args: cobra.NoArgs}
	where := a.parent(cmd, s, "n")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := a.find(cmd.Context(), where)
		if err != nil {
			return err
		}
		all, err := parent.client.List(cmd.Context(), parent.path.Rules())
		if err != nil {
			return fmt.Errorf("list the rules of %s: %w", parent.text, err)
		}
		return a.printList(ruleView, all)
	}
	return cmd
}

func (a *app) ruleDeleteCommand(s scope) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "delete a rule; tokens of its keys are good for nothing then",
	}
	takeYes(cmd.Flags())
	where := a.parent(cmd, s, "")
	name := named(cmd, "rule", "authorization-rule-name", a.completeRules(where))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := a.find(cmd.Context(), where)
		if err != nil {
			return err
		}
		existed, err := parent.client.Delete(cmd.Context(), parent.path.Rule(name.value))
		return a.deleted("the rule "+name.value+" of "+parent.text, existed, err)
	}
	return cmd
}
