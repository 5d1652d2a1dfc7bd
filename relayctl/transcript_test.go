package relayctl

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// A step is a part of a transcript: something typed at a terminal, and what it
// shows then.
//
// A transcript is a page of Markdown. A block of code that begins with
// "```console NAME" is the next part of the terminal NAME. Its lines:
//
//	$ command      typed at the prompt
//	< text         typed into the program that runs
//	^C             typed
//	anything else  output. Within a line … is any text; a line of it alone is
//	               any lines, or none. Two blanks or more are as many as may
//	               be: columns are as wide as what is in them.
type step struct {
	terminal string
	line     int    // Of the page, for errors.
	kind     string // "$", "<", "^C", or "" for output of what runs already.
	typed    string
	output   []string
	next     string // The kind of what follows in its block; "end" if nothing does.
}

// parseTranscript returns the steps of a page.
func parseTranscript(page string) ([]step, error) {
	var steps []step
	terminal := ""
	begins := 0 // Where the steps of this block begin.
	for i, line := range strings.Split(page, "\n") {
		name, isOpen := strings.CutPrefix(line, "```console ")
		switch {
		case terminal == "" && isOpen:
			if terminal = strings.TrimSpace(name); terminal == "" {
				return nil, fmt.Errorf("line %d: the terminal has no name", i+1)
			}
			begins = len(steps)
		case terminal == "":
		case strings.HasPrefix(line, "```"):
			if len(steps) > begins {
				steps[len(steps)-1].next = "end"
			}
			terminal = ""
		default:
			kind, typed := "", ""
			switch {
			case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "< "):
				kind, typed = line[:1], line[2:]
			case line == "^C":
				kind = line
			}
			if kind != "" && len(steps) > begins {
				steps[len(steps)-1].next = kind
			}
			if kind != "" || len(steps) == begins {
				steps = append(steps, step{terminal: terminal, line: i + 1, kind: kind, typed: typed})
			}
			if kind == "" {
				s := &steps[len(steps)-1]
				s.output = append(s.output, line)
			}
		}
	}
	if terminal != "" {
		return nil, fmt.Errorf("the last block does not end")
	}
	return steps, nil
}

// ports are those that the page names; a test has others.
var ports = regexp.MustCompile(`:(8080|8443|9090|9091)\b`)

// pattern matches the whole output of a step.
func (s *step) pattern() *regexp.Regexp {
	var b strings.Builder
	b.WriteString(`\A`)
	for _, line := range s.output {
		if line == "…" {
			b.WriteString(`(?:.*\n)*?`)
			continue
		}
		for i, part := range strings.Split(line, "…") {
			if i > 0 {
				b.WriteString(`.+?`)
			}
			part = ports.ReplaceAllString(regexp.QuoteMeta(part), `:\d+`)
			b.WriteString(regexp.MustCompile(` {2,}`).ReplaceAllString(part, ` {2,}`))
		}
		b.WriteString(` *\n`)
	}
	return regexp.MustCompile(b.String() + `\z`)
}

func TestParseTranscript(t *testing.T) {
	const page = "text\n```sh\n$ not this\n```\n```console a\n$ one\nout\n…\n$ two\n```\n" +
		"```console b\nlate\n< typed\n^C\n```\n"
	got, err := parseTranscript(page)
	want := []step{
		{"a", 6, "$", "one", []string{"out", "…"}, "$"}, {"a", 9, "$", "two", nil, "end"},
		{"b", 12, "", "", []string{"late"}, "<"}, {"b", 13, "<", "typed", nil, "^C"},
		{"b", 14, "^C", "", nil, "end"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v", err, got)
	}
	for _, page := range []string{"```console a\n$ x\n", "```console \n```\n"} {
		if _, err := parseTranscript(page); err == nil {
			t.Errorf("%q: no error", page)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		output, text string
		want         bool
	}{
		{"", "", true},
		{"", "x\n", false},
		{"a", "a\n", true},
		{"a", "a", false},
		{"a", "a\nb\n", false},
		{"a.c", "abc\n", false},
		{"a…c", "abbc\n", true},
		{"a…c", "ac\n", false},
		{"a…", "a\nb\n", false},
		{"a\n…", "a\n", true},
		{"a\n…\nd", "a\nb\nc\nd\n", true},
		{"a  b", "a    b\n", true},
		{"a  b", "a b\n", false},
		{"http://h:8443/x", "http://h:40123/x\n", true},
		{"http://h:84/x", "http://h:40123/x\n", false},
	} {
		s := step{}
		if c.output != "" {
			s.output = strings.Split(c.output, "\n")
		}
		if got := s.pattern().MatchString(c.text); got != c.want {
			t.Errorf("%q, %q: %v", c.output, c.text, got)
		}
	}
}
