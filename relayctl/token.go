package relayctl

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/sas"
)

const (
	tokenLifeDefault = time.Hour
	// tokenLifeMax is our own bound; a token for longer is a key by another name.
	tokenLifeMax = 10 * 365 * 24 * time.Hour
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "make tokens, and say what is wrong with one",
		Example: `  relayctl token create --hyco orders --rule app --ttl 20m
  relayctl token inspect "$TOKEN"`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.tokenCreateCommand(), a.tokenInspectCommand())
	return cmd
}

func (a *app) tokenCreateCommand() *cobra.Command {
	var uri, keyName, key string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create",
		Short: "make a token (a shared access signature)",
		Long: `Make a token and print it. It is good for --uri and all below it, by default for the
hybrid connection of --hyco, or the namespace. The key is that of --rule, fetched from the
gateway; with --key-name and --key, or --connection-string, no gateway is needed.`,
		Example: `  relayctl token create --hyco orders --rule app --ttl 20m
  relayctl token create --uri http://contoso.example.com/orders --key-name app --key env:KEY
  curl -H "ServiceBusAuthorization: $(relayctl token create --hyco orders)" \
    https://contoso.example.com/orders`,
		Args: cobra.NoArgs,
	}
	k := a.keyOf(cmd, 0)
	k.takeConnectionString(cmd)
	f := cmd.Flags()
	f.StringVar(&uri, "uri", "", "`URI` that the token is for (default: that of the entity)")
	f.StringVar(&keyName, "key-name", "", "`NAME` of the rule whose key is given with --key")
	f.StringVar(&key, "key", "", "`KEY` to sign with; env:NAME and file:PATH too")
	f.DurationVar(&life, "ttl", tokenLifeDefault, "`TIME` that the token lives")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if life < time.Second || life > tokenLifeMax {
			return usage("--ttl: want 1s to 87600h, got %v", life)
		}
		var c sas.ConnectionString
		var err error
		if uri == "" && k.text == "" && k.rule == "" && k.where.hyco == "" && k.where.wcfRelay == "" {
			return usage("say for what: --hyco NAME, --rule NAME, or --uri URI")
		}
		if keyName != "" || key != "" {
			if keyName == "" || key == "" || uri == "" {
				return usage("without a gateway, want all of --uri, --key-name and --key")
			}
			c.KeyName = keyName
			c.Key, err = a.secretText("--key", key)
		} else {
			c, err = a.connection(cmd.Context(), k, 0)
		}
		if err != nil {
			return err
		}
		if c.Key == "" {
			return usage("the connection string has no key to sign with")
		}
		if uri == "" {
			uri = "http://" + c.Host + "/" + c.EntityPath
		}
		if _, err := sas.ParseAudience(uri); err != nil {
			return usage("--uri: want http://HOST/PATH")
		}
		expiry := a.Now().Add(life)
		token := sas.Sign(uri, c.KeyName, c.Key, expiry)
		switch a.flags.output {
		case outputJSON, outputYAML:
			return a.printValue(map[string]any{
				"token": token, "rule": c.KeyName, "resource": uri,
				"expires": expiry.UTC().Truncate(time.Second).Format(time.RFC3339),
			})
		}
		return a.write(token + "\n")
	}
	return cmd
}

func (a *app) tokenInspectCommand() *cobra.Command {
	var offline bool
	var right string
	cmd := &cobra.Command{
		Use:   "inspect TOKEN",
		Short: "say what a token is, and whether a gateway would take it",
		Long: `Say what a token is, and whether a gateway would take it for listening, sending and
managing, and if not, why: malformed, expired, unknown rule, wrong signature, wrong
audience, missing right. The judgement is that of the code in the gateway.

TOKEN may be - for standard input. The exit status is 1 if the token is good for nothing, or
with --right not for that. --offline looks at form and expiry only.`,
		Example: `  relayctl token inspect "$TOKEN"
  relayctl token inspect - --hyco orders --right Send < token.txt`,
	}
	f := cmd.Flags()
	f.SortFlags = false
	where := a.parent(cmd, anyScope, "n")
	f.StringVar(&right, "right", "", "`RIGHT` that it must have: Listen, Send, Manage")
	f.BoolVar(&offline, "offline", false, "do not ask a gateway")
	_ = cmd.RegisterFlagCompletionFunc("right", fixed("Listen", "Send", "Manage"))
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage("name one token, in quotes since it has a blank: relayctl token inspect \"$TOKEN\"")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text := args[0]
		if text == "-" {
			b, err := readAtMost(a.In, "standard input", secretFileMax)
			if err != nil {
				return err
			}
			text = string(b)
		}
		var want sas.Right
		if right != "" {
			var err error
			if want, err = sas.ParseRight(right); err != nil {
				return usage("--right: %v", err)
			}
		}
		a.secret(text)
		i := inspect(strings.TrimSpace(text), a.Now())
		var failed error
		if !offline && i.Problem == "" {
			failed = a.judge(cmd.Context(), &i, where)
		}
		if err := a.printInspection(&i); err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("ask the gateway about the token: %w", failed)
		}
		if !i.good(want) {
			return &silentError{}
		}
		return nil
	}
	return cmd
}
