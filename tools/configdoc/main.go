// Configdoc writes the table of settings into docs/configuration.md, between
// its two markers, from what package config knows of each setting:
//
//	go run ./tools/configdoc docs/configuration.md
//
// The text around the table is written by hand. A test of this command fails
// when the page is stale, and others when documentation speaks of tests, files,
// metrics or close reasons that the code does not have.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/relayhouse/relayhouse/config"
)

// The lines between which the page is generated.
const (
	beginMark = "<!-- settings: written by tools/configdoc -->\n"
	endMark   = "<!-- end of settings -->\n"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: configdoc PAGE")
	}
	page, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	page, err = replace(page, table(config.Fields()))
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[0], page, 0o644)
}

// replace puts text between the markers of a page.
func replace(page []byte, text string) ([]byte, error) {
	before, rest, ok1 := bytes.Cut(page, []byte(beginMark))
	_, after, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok1 || !ok2 {
		return nil, errors.New("the markers of the table are missing")
	}
	return fmt.Appendf(nil, "%s%s%s%s%s", before, beginMark, text, endMark, after), nil
}

// table describes all settings in Markdown, a section each.
func table(fields []config.Field) string {
	var b strings.Builder
	section := ""
	for _, f := range fields {
		now, _, _ := strings.Cut(f.Path, ".")
		if now != section {
			section = now
			fmt.Fprintf(&b, "\n### %s\n\n", section)
			b.WriteString("| Key | Default | Range | Meaning |\n|---|---|---|---|\n")
		}
		value := "empty"
		if f.Default != "" {
			value = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Path, value, cell(f.Range), cell(f.Doc))
	}
	b.WriteString("\n")
	return b.String()
}

// cell keeps a text inside its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
