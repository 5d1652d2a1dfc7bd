package relayctl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

const (
	contextFileMax = 1 << 20 // bytes
	contextsMax    = 1000
)

// contextFile is the file of contexts.
type contextFile struct {
	Current  string         `yaml:"current,omitempty"`
	Contexts []namedContext `yaml:"contexts"`
}

// namedContext is a gateway under a name. docs/relayctl.md says what each is.
type namedContext struct {
	Name          string `yaml:"name"`
	Management    string `yaml:"management,omitempty"`
	Token         string `yaml:"token,omitempty"`
	TokenFile     string `yaml:"token_file,omitempty"`
	CA            string `yaml:"ca,omitempty"`
	Admin         string `yaml:"admin,omitempty"`
	Namespace     string `yaml:"namespace,omitempty"`
	Subscription  string `yaml:"subscription,omitempty"`
	ResourceGroup string `yaml:"resource_group,omitempty"`
}

// find returns the context of a name, or nil. It is good until contexts are
// added or taken out.
func (f *contextFile) find(name string) *namedContext {
	for i := range f.Contexts {
		if f.Contexts[i].Name == name {
			return &f.Contexts[i]
		}
	}
	return nil
}

func (a *app) contextFileName() string {
	if a.flags.config != "" {
		return a.flags.config
	}
	if name := a.Env("RELAYCTL_CONFIG"); name != "" {
		return name
	}
	return filepath.Join(a.ConfigDir, "relayhouse", "relayctl.yaml")
}

// readContexts reads the file of contexts; one that is not there has none.
func (a *app) readContexts() (contextFile, error) {
	var file contextFile
	name := a.contextFileName()
	text, err := readFile(name, contextFileMax)
	if errors.Is(err, os.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return file, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		// The error of the library quotes what it read, which may be a token.
		if at := yamlLine.FindStringSubmatch(err.Error()); at != nil {
			return file, usage("%s, line %s: not the YAML of contexts, see docs/relayctl.md",
				name, at[1])
		}
		return file, usage("%s: not the YAML of contexts, see docs/relayctl.md", name)
	}
	for i := range file.Contexts {
		a.secret(file.Contexts[i].Token)
	}
	return file, nil
}

// yamlLine finds the first line number in an error of package yaml.
var yamlLine = regexp.MustCompile(`\bline (\d+):`)

func (a *app) writeContexts(file contextFile) error {
	name := a.contextFileName()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return replaceFile(name, func(f *os.File) error {
		_, err := f.Write(text)
		return err
	})
}

// replaceFile makes a file of mode 0600 that holds what fill writes, in one step:
// what was there stays if anything fails.
func replaceFile(name string, fill func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // Mode 0600.
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func (a *app) contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "choose between gateways",
		Long: `A context names a gateway: where it is, and which token to send. The current one is
used by every command that does not say otherwise. Without any, relayctl speaks to the
emulator of this user.`,
		Example: `  relayctl context set prod --management https://relay.example.com:9091 \
    --token-file ~/.relayhouse/prod.token --namespace-name contoso
  relayctl context use prod
  relayctl context list`,
	}
	asGroup(cmd)
	cmd.AddCommand(a.contextListCommand(), a.contextUseCommand(), a.contextSetCommand(),
		a.contextDeleteCommand(), a.contextShowCommand())
	return cmd
}

func (a *app) contextListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the contexts; * marks the current one",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			if a.flags.output == outputJSON || a.flags.output == outputYAML {
				list := []any{}
				for i := range file.Contexts {
					list = append(list, shownContext(&file.Contexts[i], file.Current))
				}
				return a.printValue(list)
			}
			rows := [][]string{{"", "NAME", "MANAGEMENT", "NAMESPACE"}}
			if a.flags.output == outputTSV || len(file.Contexts) == 0 {
				rows = nil
			}
			for _, c := range file.Contexts {
				mark := ""
				if c.Name == file.Current {
					mark = "*"
				}
				rows = append(rows, []string{mark, clean(c.Name), clean(c.Management), clean(c.Namespace)})
			}
			if len(file.Contexts) == 0 {
				return a.say("there are none; without one, relayctl speaks to the emulator of this user")
			}
			if a.flags.output == outputTSV {
				return a.write(tabs(rows))
			}
			return a.write(align(rows))
		},
	}
}

func (a *app) contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "use NAME",
		Short:             "make a context the current one",
		Args:              oneName("the context"),
		ValidArgsFunction: a.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			if file.find(args[0]) == nil {
				return noContext(args[0])
			}
			file.Current = args[0]
			if err := a.writeContexts(file); err != nil {
				return err
			}
			return a.say("the current context is %s", args[0])
		},
	}
}

func (a *app) contextSetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "make a context, or change parts of one",
		Long: `Make a context, or change the parts of one that flags name: --management, --token or
--token-file, --ca, --admin, --namespace-name, --subscription, -g. An empty value takes a
part away. The first context becomes the current one.

--token keeps the token itself in the file of contexts; --token-file only its place.`,
		Example: `  relayctl context set prod --management https://relay.example.com:9091 \
    --token-file ~/.relayhouse/prod.token
  relayctl context set prod --namespace-name contoso`,
		Args:              oneName("the context"),
		ValidArgsFunction: a.completeContexts,
	}
	a.namespaceFlag(cmd, "n")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := a.readContexts()
		if err != nil {
			return err
		}
		c := file.find(args[0])
		if c == nil {
			if len(file.Contexts) == contextsMax {
				return fmt.Errorf("there are %d contexts, which is the most; delete one", contextsMax)
			}
			file.Contexts = append(file.Contexts, namedContext{Name: args[0]})
			c = &file.Contexts[len(file.Contexts)-1]
		}
		if err := a.changeContext(cmd, c); err != nil {
			return err
		}
		if file.Current == "" {
			file.Current = args[0]
		}
		if err := a.writeContexts(file); err != nil {
			return err
		}
		if file.Current == args[0] {
			return a.say("the context %s is set; it is the current one", args[0])
		}
		return a.say("the context %s is set; \"relayctl context use %[1]s\" makes it the current one",
			args[0])
	}
	return cmd
}

// changeContext copies the flags that were given. Files become absolute: the
// context is used from anywhere.
func (a *app) changeContext(cmd *cobra.Command, c *namedContext) error {
	g := &a.flags
	for _, part := range []struct {
		flag   string
		value  string
		dst    *string
		isFile bool
	}{
		{"management", g.management, &c.Management, false},
		{"token", g.token, &c.Token, false},
		{"token-file", g.tokenFile, &c.TokenFile, true},
		{"ca", g.ca, &c.CA, true},
		{"admin", g.admin, &c.Admin, false},
		{"namespace-name", g.namespace, &c.Namespace, false},
		{"subscription", g.subscription, &c.Subscription, false},
		{"resource-group", g.group, &c.ResourceGroup, false},
	} {
		if f := cmd.Flag(part.flag); f == nil || !f.Changed {
			continue
		}
		*part.dst = part.value
		if part.isFile && part.value != "" {
			absolute, err := filepath.Abs(part.value)
			if err != nil {
				return err
			}
			*part.dst = absolute
		}
	}
	switch {
	case g.token != "":
		c.TokenFile = ""
	case g.tokenFile != "":
		c.Token = ""
	}
	if c.Management == "" {
		return usage("say where its gateway is: relayctl context set %s --management ADDRESS", c.Name)
	}
	if _, err := baseURL("--management", c.Management, "https"); err != nil {
		return err
	}
	if c.Admin != "" {
		if _, err := baseURL("--admin", c.Admin, "http"); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) contextDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "delete NAME",
		Short:             "delete a context; its gateway does not notice",
		Args:              oneName("the context"),
		ValidArgsFunction: a.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			i := slices.IndexFunc(file.Contexts, func(c namedContext) bool { return c.Name == args[0] })
			if i < 0 {
				return noContext(args[0])
			}
			file.Contexts = slices.Delete(file.Contexts, i, i+1)
			if file.Current == args[0] {
				file.Current = ""
			}
			if err := a.writeContexts(file); err != nil {
				return err
			}
			return a.say("the context %s is deleted", args[0])
		},
	}
}

func (a *app) contextShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show [NAME]",
		Short:             "show a context, the current one if none is named",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeContexts,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.readContexts()
			if err != nil {
				return err
			}
			name := file.Current
			if len(args) == 1 {
				name = args[0]
			}
			if name == "" {
				return usage("there is no current context; choose one with \"relayctl context use NAME\"")
			}
			c := file.find(name)
			if c == nil {
				return noContext(name)
			}
			shown := shownContext(c, file.Current)
			if a.flags.output == outputJSON || a.flags.output == outputYAML {
				return a.printValue(shown)
			}
			var rows [][]string
			for _, part := range []string{"name", "current", "management", "token", "token_file", "ca",
				"admin", "namespace", "subscription", "resource_group"} {
				if text := fmt.Sprint(shown[part]); shown[part] != nil && text != "" {
					rows = append(rows, []string{part, clean(text)})
				}
			}
			if a.flags.output == outputTSV {
				return a.write(tabs(rows))
			}
			return a.write(align(rows))
		},
	}
}

// shownContext is what others may see of a context.
func shownContext(c *namedContext, current string) map[string]any {
	shown := map[string]any{"name": c.Name, "current": c.Name == current}
	for name, value := range map[string]string{
		"management": c.Management, "token_file": c.TokenFile, "ca": c.CA, "admin": c.Admin,
		"namespace": c.Namespace, "subscription": c.Subscription, "resource_group": c.ResourceGroup,
	} {
		if value != "" {
			shown[name] = value
		}
	}
	if c.Token != "" {
		shown["token"] = "***"
	}
	return shown
}

func noContext(name string) error {
	return usage("there is no context %q; \"relayctl context list\" shows those that are there", name)
}

// oneName checks that a command has its only argument.
func oneName(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || args[0] == "" {
			return usage("name %s: %s", what, cmd.UseLine())
		}
		return nil
	}
}
