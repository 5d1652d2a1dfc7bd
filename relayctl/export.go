package relayctl

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

func (a *app) exportCommand() *cobra.Command {
	var file string
	var emulator bool
	cmd := &cobra.Command{
		Use:   "export",
		Short: "write all namespaces, entities, rules and keys as YAML",
		Long: `Write all namespaces, entities, rules and keys as YAML, to standard output or a file of
mode 0600. A gateway can be started with it, and "relayctl import" reads it.`,
		Example: `  relayctl export -f namespaces.yaml
  relayctl export --emulator -f Config.json
  relayctl export --context old | relayctl import - --context new`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVarP(&file, "file", "f", "",
		"`FILE` to write, in one step (default: standard output)")
	cmd.Flags().BoolVar(&emulator, "emulator", false, "write the Config.json of the Azure emulators, "+
		"without what that has no word for")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		if file == "" || file == "-" {
			if err := client.Export(cmd.Context(), emulator, a.Out); err != nil {
				return fmt.Errorf("export: %w", err)
			}
			return nil
		}
		err = replaceFile(file, func(f *os.File) error {
			return client.Export(cmd.Context(), emulator, f)
		})
		if err != nil {
			return fmt.Errorf("export to %s: %w", file, err)
		}
		return a.say("%s is written; it holds keys", file)
	}
	return cmd
}

func (a *app) importCommand() *cobra.Command {
	var mode string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "create and change what a file defines",
		Long: `Create and change the namespaces, entities and rules of a file: YAML, as export writes
it, or an emulator's Config.json. FILE may be - for standard input.

--mode merge keeps what is not in the file; --mode replace deletes it. Everything is changed,
or if anything in the file is wrong, nothing.`,
		Example: `  relayctl import namespaces.yaml
  relayctl import Config.json --mode replace`,
		Args: oneName("the file"),
	}
	cmd.Flags().StringVar(&mode, "mode", "merge", "`MODE`: merge, replace")
	_ = cmd.RegisterFlagCompletionFunc("mode", fixed("merge", "replace"))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if mode != "merge" && mode != "replace" {
			return usage("--mode: want merge or replace, got %q", mode)
		}
		file := args[0]
		from := a.In
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			from = f
		}
		// Read first: what is half sent would be half understood.
		text, err := readAtMost(from, file, arm.DefinitionsMax)
		if err != nil {
			return err
		}
		contentType := "application/yaml"
		if strings.EqualFold(filepath.Ext(file), ".json") {
			contentType = "application/json"
		}
		client, err := a.api()
		if err != nil {
			return err
		}
		r, err := client.Import(cmd.Context(), mode, contentType, strings.NewReader(string(text)))
		if err != nil {
			return fmt.Errorf("import %s: %w", file, err)
		}
		if a.flags.output != outputTable {
			return a.printOne(importView, r)
		}
		return a.say("imported %s: namespaces %s, entities %s, rules %s", file,
			r.Text("namespaces"), r.Text("entities"), r.Text("rules"))
	}
	return cmd
}

var importView = view{columns: []column{
	member("NAMESPACES", "namespaces"), member("ENTITIES", "entities"), member("RULES", "rules"),
}}

func (a *app) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "copy the gateway's store, consistently, while it runs",
		Long: `Copy the gateway's store to a file of mode 0600, consistently, while the gateway
runs. To go back to it, stop the gateway and put the file where store.file says. FILE is
replaced in one step, when the copy is complete; - is standard output.`,
		Example: `  relayctl backup relayhouse-$(date +%F).db`,
		Args:    oneName("the file"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := a.api()
		if err != nil {
			return err
		}
		fill := func(w io.Writer) error { return client.Backup(cmd.Context(), w) }
		if args[0] == "-" {
			err = fill(a.Out)
		} else {
			err = replaceFile(args[0], func(f *os.File) error { return fill(f) })
		}
		if err != nil {
			return fmt.Errorf("back up to %s: %w", args[0], err)
		}
		if args[0] == "-" {
			return nil
		}
		return a.say("%s is written; it holds keys", args[0])
	}
	return cmd
}
