package relayctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// The formats of the output.
const (
	outputTable = "table"
	outputJSON  = "json"
	outputYAML  = "yaml"
	outputTSV   = "tsv"
)

// outputs are the words for them; some are az's.
var outputs = map[string]string{
	outputTable: outputTable, outputJSON: outputJSON, outputYAML: outputYAML, outputTSV: outputTSV,
	"jsonc": outputJSON, "yamlc": outputYAML,
}

// column is a part of a resource that people want to see.
type column struct {
	title string
	text  func(arm.Resource) string
}

// member is a column that is a member as it is.
func member(title, name string) column {
	return column{title, func(r arm.Resource) string { return r.Text(name) }}
}

// view says what a table of some kind of resource has.
type view struct {
	columns []column // Of a list.
	details []column // Of a single one, beside the columns.
}

// printList writes resources, flattened, in the format that -o asks for.
func (a *app) printList(v view, list []arm.Resource) error {
	flat := make([]arm.Resource, len(list))
	rows := make([][]string, len(list))
	for i, r := range list {
		flat[i] = r.Flat()
		rows[i] = cells(v.columns, flat[i])
	}
	switch a.flags.output {
	case outputTable:
		titles := make([]string, len(v.columns))
		for i, c := range v.columns {
			titles[i] = c.title
		}
		return a.write(align(append([][]string{titles}, rows...)))
	case outputTSV:
		return a.write(tabs(rows))
	}
	return a.printValue(flat)
}

// printOne writes a resource: a table has a line for each of its parts.
func (a *app) printOne(v view, r arm.Resource) error {
	r = r.Flat()
	switch a.flags.output {
	case outputTable:
		all := append(append([]column{}, v.columns...), v.details...)
		var rows [][]string
		for _, c := range all {
			if text := c.text(r); text != "" {
				rows = append(rows, []string{c.title, clean(text)})
			}
		}
		return a.write(align(rows))
	case outputTSV:
		return a.write(tabs([][]string{cells(v.columns, r)}))
	}
	return a.printValue(r)
}

// printValue writes JSON or YAML.
func (a *app) printValue(value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if a.flags.output != outputYAML {
		return a.write(b.String())
	}
	text, err := yamlOf(b.Bytes())
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return a.write(string(text))
}

// yamlOf writes JSON, which is YAML, in the style that people expect.
func yamlOf(text []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	plain(&document)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&document), e.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// plain takes the quotes and brackets of JSON away; those that are needed come
// back when it is written.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}

// say writes a line for people; other formats have nothing to say there.
func (a *app) say(format string, args ...any) error {
	if a.flags.output != outputTable {
		return nil
	}
	return a.write(fmt.Sprintf(format, args...) + "\n")
}

func (a *app) write(text string) error {
	_, err := a.Out.Write([]byte(text))
	return err
}

func cells(columns []column, r arm.Resource) []string {
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = clean(c.text(r))
	}
	return row
}

// clean takes out what would break a table or act on a terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// align writes rows with their columns below each other, two blanks between.
func align(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

func tabs(rows [][]string) string {
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(strings.Join(row, "\t") + "\n")
	}
	return b.String()
}

// stamp is a time as people want it: to the second.
func stamp(name string) func(arm.Resource) string {
	return func(r arm.Resource) string {
		text := r.Text(name)
		if whole, _, cut := strings.Cut(text, "."); cut {
			return whole + "Z"
		}
		return text
	}
}

// bytesText is a number of bytes with a unit.
func bytesText(text string) string {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n /= 1024
		i++
	}
	if i == 0 {
		return strconv.FormatFloat(n, 'f', 0, 64) + " B"
	}
	return strconv.FormatFloat(n, 'f', 1, 64) + " " + units[i]
}
