package relayctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// The exit statuses, next to 0.
const (
	exitFailure = 1
	exitUsage   = 2
)

// The groups of the list of commands.
const (
	groupResources = "resources"
	groupRelay     = "relay"
	groupOperate   = "operate"
	groupTool      = "tool"
)

// Surroundings are what a run has from the process that it is in.
type Surroundings struct {
	In       io.Reader
	Out, Err io.Writer
	// Env returns a variable of the environment, or "".
	Env func(name string) string
	Now func() time.Time
	// Terminal says whether In and Out are a person's.
	Terminal bool
	// CacheDir and ConfigDir are the user's directories for such things.
	CacheDir, ConfigDir string
}

// System returns the surroundings of this process.
func System() Surroundings {
	s := Surroundings{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Now: time.Now,
		Terminal: isTerminal(os.Stdin) && isTerminal(os.Stdout),
	}
	var err error
	if s.CacheDir, err = os.UserCacheDir(); err != nil {
		s.CacheDir = os.TempDir()
	}
	if s.ConfigDir, err = os.UserConfigDir(); err != nil {
		s.ConfigDir = os.TempDir()
	}
	return s
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Commands are listed as they are written: what comes first is needed first.
func init() { cobra.EnableCommandSorting = false }

// Run runs a command line, without the name of the program, and returns the exit
// status. It ends early when ctx does.
func Run(ctx context.Context, args []string, s Surroundings) int {
	a := &app{Surroundings: s}
	root := a.root()
	root.SetArgs(foldWords(root, args))
	defer a.close()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var wrong *usageError
	usage := errors.As(err, &wrong) || !a.running
	var silent *silentError
	if !errors.As(err, &silent) {
		_, _ = fmt.Fprintln(s.Err, "relayctl:", a.explain(err))
	}
	if usage {
		return exitUsage
	}
	return exitFailure
}

// app is one run.
type app struct {
	Surroundings
	flags   globalFlags
	running bool // The command line was understood.
	where   *place
	client  *arm.Client
	secrets []string // What no error may hold.

	telling sync.Mutex // Connections tell of themselves on goroutines of their own.
}

func (a *app) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// usageError is a command line that is wrong in itself.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// silentError is a failure that the output has told already.
type silentError struct{}

func (*silentError) Error() string { return "failed" }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "relayctl",
		Short: "Manage a relay gateway, and relay from a shell",
		Long: `relayctl manages the namespaces, hybrid connections, rules and keys of a gateway,
in the words of "az relay"; makes and explains tokens; relays from a shell; and
shows what a gateway is doing.

Without any setting it speaks to the emulator, "relayhouse dev", of this user. For
other gateways, see "relayctl context set --help".`,
		Example: `  relayctl hyco create orders
  relayctl rule create app --hyco orders --rights Listen
  relayctl connection-string --hyco orders --rule app
  relayctl listen --hyco orders --echo
  relayctl show listeners`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			a.running = true
			return a.flags.check()
		},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out) // Before the command completion, which keeps it.
	root.SetErr(a.Err)
	root.AddGroup(
		&cobra.Group{ID: groupResources, Title: "Resources:"},
		&cobra.Group{ID: groupRelay, Title: "Clients:"},
		&cobra.Group{ID: groupOperate, Title: "Operation:"},
		&cobra.Group{ID: groupTool, Title: "This tool:"},
	)
	a.flags.register(a, root)
	asGroup(root)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupResources, a.namespaceCommand(), a.entityCommand(hybridConnection),
		a.entityCommand(wcfRelay), a.ruleCommand(anyScope, "rule"), a.keyCommand(anyScope, "key"))
	add(groupRelay, a.connectionStringCommand(), a.tokenCommand(), a.listenCommand(),
		a.connectCommand(), a.sendCommand())
	add(groupOperate, a.showCommand(), a.exportCommand(), a.importCommand(), a.backupCommand())
	add(groupTool, a.contextCommand(), a.versionCommand(), optionsCommand())
	root.SetHelpCommandGroupID(groupTool)
	root.SetCompletionCommandGroupID(groupTool)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Short = "write what a shell needs to complete commands: bash, zsh, fish"
		}
	}
	root.SetUsageTemplate(usageTemplate)
	root.DisableSuggestions = true // They would make an error several lines.
	return root
}

// asGroup makes cmd one that only holds others: alone it prints its help, and
// what is no command of it is an error that says so.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usage("%s; did you mean %s?", text, strings.Join(near, " or "))
		}
		return usage("%s; %s --help lists them", text, cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// optionsCommand lists the flags that other help texts leave out.
func optionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "options",
		Short: "list the flags that every command has",
		Args:  cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "Every command has these flags:\n\n%s",
			cmd.InheritedFlags().FlagUsagesWrapped(helpColumns))
		return err
	}
	return cmd
}

// helpColumns is how wide the lists of flags are.
const helpColumns = 90

// usageTemplate is cobra's without the flags that every command has, which would
// be half of each help text.
const usageTemplate = `Usage:{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else}}
  {{.UseLine}}{{end}}{{if gt (len .Aliases) 0}}

Aliases:
  {{.NameAndAliases}}{{end}}{{if .HasAvailableSubCommands}}{{$cmds := .Commands}}` +
	`{{if eq (len .Groups) 0}}

Commands:{{range $cmds}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{else}}{{range $group := .Groups}}

{{.Title}}{{range $cmds}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{end}}{{end}}` +
	`{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if and .HasParent .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 90 | trimTrailingWhitespaces}}{{end}}

Every command also has -o, -g and flags that say which gateway: relayctl options
`
