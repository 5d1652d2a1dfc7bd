package relayctl

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// ipRulesMax is Azure's bound on the rules of a namespace.
const ipRulesMax = 128

var networkView = view{columns: []column{
	member("DEFAULT", "defaultAction"),
	{"RULES", func(r arm.Resource) string {
		list, _ := r["ipRules"].([]any)
		var all []string
		for _, item := range list {
			rule, _ := item.(map[string]any)
			text := arm.Resource(rule).Text("ipMask")
			if action := arm.Resource(rule).Text("action"); action != "" && action != "Allow" {
				text += "=" + action
			}
			all = append(all, text)
		}
		return strings.Join(all, " ")
	}},
	member("PUBLIC ACCESS", "publicNetworkAccess"),
	member("TRUSTED SERVICES", "trustedServiceAccessEnabled"),
}}

func (a *app) networkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network-rule-set",
		Short: "which addresses may connect to a namespace",
		Long: `A namespace may be closed to all but some addresses. The first rule that an address
falls under decides; where none does, the default action does. With the default action Allow
the rules have no effect.`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.networkShowCommand(), a.networkUpdateCommand())
	return cmd
}

func (a *app) networkShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show the network rules of a namespace",
		Args:  cobra.NoArgs,
	}
	a.namespaceFlag(cmd, "n")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		r, _, err := client.Get(cmd.Context(), ns.NetworkRules())
		if err != nil {
			return fmt.Errorf("show the network rules of %s: %w", ns.Name(), err)
		}
		return a.printOne(networkView, r)
	}
	return cmd
}

func (a *app) networkUpdateCommand() *cobra.Command {
	var action, publicAccess string
	var trusted truth
	rules := wordList{kind: "RULE..."}
	cmd := &cobra.Command{
		Use:     "update",
		Aliases: []string{"create"},
		Short:   "change what the flags name and keep the rest",
		Long: `Change what the flags name and keep the rest. --ip-rules replaces all rules. A rule is an
address or a prefix (10.0.0.0/8, 2001:db8::/32), with =Deny for one that closes (not in
Azure), or as az has it: ip-mask=10.0.0.0/8 action=Allow, or a list in brackets.`,
		Example: `  relayctl namespace network-rule-set update --default-action Deny \
    --ip-rules 10.0.0.0/8 192.0.2.7
  relayctl namespace network-rule-set update --default-action Allow --ip-rules ""`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&action, "default-action", "", "`ACTION` where no rule decides: Allow, Deny")
	rules.register(f, "ip-rules", "all rules; \"\" for none")
	f.StringVar(&publicAccess, "public-network-access", "",
		"`MODE`: Enabled, Disabled, SecuredByPerimeter")
	trusted.register(f, "trusted-service-access-enabled", "t", "kept for Azure's sake; has no effect")
	a.namespaceFlag(cmd, "n")
	_ = cmd.RegisterFlagCompletionFunc("default-action", fixed("Allow", "Deny"))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		changes := arm.Resource{}
		if f.Changed("default-action") {
			changes["defaultAction"] = action
		}
		if f.Changed("public-network-access") {
			changes["publicNetworkAccess"] = publicAccess
		}
		if trusted.given {
			changes["trustedServiceAccessEnabled"] = trusted.value
		}
		if rules.given {
			parsed, err := parseIPRules(rules.words)
			if err != nil {
				return err
			}
			changes["ipRules"] = parsed
		}
		client, ns, err := a.namespace(cmd.Context())
		if err != nil {
			return err
		}
		r, err := a.update(cmd.Context(), client, ns.NetworkRules(), []string{"defaultAction",
			"ipRules", "publicNetworkAccess", "trustedServiceAccessEnabled"}, changes)
		if err != nil {
			return fmt.Errorf("update the network rules of %s: %w", ns.Name(), err)
		}
		return a.printOne(networkView, r)
	}
	return cmd
}

// ipRule is a rule as the API has it.
type ipRule struct {
	Mask   string `json:"ipMask"`
	Action string `json:"action"`
}

// parseIPRules reads the words of --ip-rules.
func parseIPRules(words []string) ([]ipRule, error) {
	rules := []ipRule{}
	for _, word := range words {
		name, value, pair := strings.Cut(word, "=")
		switch key := strings.ToLower(name); {
		case strings.HasPrefix(word, "["):
			list, err := parseIPRuleList(word)
			if err != nil {
				return nil, err
			}
			rules = append(rules, list...)
		case pair && (key == "ip-mask" || key == "ipmask"):
			rules = append(rules, ipRule{value, "Allow"})
		case pair && key == "action":
			if len(rules) == 0 {
				return nil, usage("--ip-rules: action= comes after the ip-mask= that it is for")
			}
			rules[len(rules)-1].Action = value
		default:
			for one := range strings.SplitSeq(word, ",") {
				mask, action, _ := strings.Cut(one, "=")
				if action == "" {
					action = "Allow"
				}
				rules = append(rules, ipRule{mask, action})
			}
		}
	}
	for i, r := range rules {
		if _, err := netip.ParsePrefix(r.Mask); err != nil {
			if _, err := netip.ParseAddr(r.Mask); err != nil {
				return nil, usage("--ip-rules: want an address or a prefix, got %q", r.Mask)
			}
		}
		at := slices.IndexFunc([]string{"Allow", "Deny"}, func(known string) bool {
			return strings.EqualFold(known, r.Action)
		})
		if at < 0 {
			return nil, usage("--ip-rules: want the action Allow or Deny, got %q", r.Action)
		}
		rules[i].Action = []string{"Allow", "Deny"}[at]
	}
	if len(rules) > ipRulesMax {
		return nil, usage("--ip-rules: want at most %d rules, got %d", ipRulesMax, len(rules))
	}
	return rules, nil
}

// parseIPRuleList reads JSON, or what az takes for it: names and values without
// quotes.
func parseIPRuleList(text string) ([]ipRule, error) {
	quoted := text
	if !strings.Contains(text, `"`) {
		var b strings.Builder
		word := ""
		flush := func() {
			if word != "" {
				b.WriteString(`"` + word + `"`)
			}
			word = ""
		}
		key := true // Colons end names, but are a part of values: IPv6.
		for _, r := range text {
			switch {
			case strings.ContainsRune("[]{},", r):
				flush()
				b.WriteRune(r)
				key = true
			case r == ':' && key:
				flush()
				b.WriteRune(r)
				key = false
			case r != ' ' && r != '\'':
				word += string(r)
			}
		}
		flush()
		quoted = b.String()
	}
	var list []map[string]string
	if err := json.Unmarshal([]byte(quoted), &list); err != nil {
		return nil, usage("--ip-rules: want a list like [{ip-mask:10.0.0.0/8,action:Allow}]")
	}
	var rules []ipRule
	for _, item := range list {
		rule := ipRule{Action: "Allow"}
		for name, value := range item {
			switch strings.ToLower(strings.ReplaceAll(name, "-", "")) {
			case "ipmask":
				rule.Mask = value
			case "action":
				rule.Action = value
			default:
				return nil, usage("--ip-rules: want ip-mask and action, got %q", name)
			}
		}
		rules = append(rules, rule)
	}
	return rules, nil
}
