package lint

import (
	"fmt"
	"go/ast"
	"regexp"
	"strings"
)

// ProtocolPage is the page that comments cite by section, relative to the
// repository.
const ProtocolPage = "docs/protocol.md"

const sectionNumber = `\d+(?:\.\d+)?`

var (
	// heading is the heading of a numbered section of the protocol page.
	heading = regexp.MustCompile(`(?m)^##+ (` + sectionNumber + `)\.? `)

	// citation is a section, or several in a list or range, with the name of
	// the document before it: "RFC 6455 section 5.5", or what is written as
	// docs/protocol.md, sections 2.1, 2.6 and 3.1.
	citation = regexp.MustCompile(`(RFC \d+,? |\S+\.md, |\S+\.txt, )?` +
		`\b[Ss]ection(?: (` + sectionNumber + `)|s (` + sectionNumber +
		`(?:(?:,|,? and| to) ` + sectionNumber + `)*))`)

	number = regexp.MustCompile(sectionNumber)
)

// CheckCitations returns one finding per section that a comment cites and that
// page, the text of ProtocolPage, does not have, and one per section of no
// document, which nobody can look up.
func CheckCitations(t *Tree, page []byte) []string {
	sections := map[string]bool{}
	for _, m := range heading.FindAllSubmatch(page, -1) {
		sections[string(m[1])] = true
	}
	var findings []string
	for _, dir := range t.sortedDirs() {
		for _, file := range t.Dirs[dir] {
			for _, comment := range file.Syntax.Comments {
				for _, wrong := range wrongCitations(comment, sections) {
					findings = append(findings, fmt.Sprintf("%s:%d: %s", file.Path,
						t.line(comment.Pos()), wrong))
				}
			}
		}
	}
	return findings
}

// wrongCitations looks at a comment as one line, since citations are wrapped.
func wrongCitations(comment *ast.CommentGroup, sections map[string]bool) []string {
	var wrong []string
	text := strings.Join(strings.Fields(comment.Text()), " ")
	for _, m := range citation.FindAllStringSubmatch(text, -1) {
		document := strings.TrimLeft(m[1], "(")
		switch document {
		case "":
			wrong = append(wrong, fmt.Sprintf("%q of which document? Write \"%s, section n.m\"",
				m[0], ProtocolPage))
		case ProtocolPage + ", ":
			for _, n := range number.FindAllString(m[2]+m[3], -1) {
				if !sections[n] {
					wrong = append(wrong, fmt.Sprintf("%s has no section %s", ProtocolPage, n))
				}
			}
		}
	}
	return wrong
}
