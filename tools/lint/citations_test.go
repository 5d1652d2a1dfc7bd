package lint

import (
	"os"
	"testing"
)

func TestCitations(t *testing.T) {
	page, err := os.ReadFile("../../" + ProtocolPage)
	if err != nil {
		t.Fatal(err)
	}
	report(t, CheckCitations(repository(t), page))
}

func TestCheckCitationsFindsPlantedOnes(t *testing.T) {
	const page = "# 9. Title\n\n## 1. One\n### 1.2 Two\ntext\n## 7. Seven\n  ## 8. Quoted\n"
	tests := []struct {
		name, comment string
		want          []string
	}{
		{"good", "// See docs/protocol.md, section 1.2.", nil},
		{"chapter", "// A table (docs/protocol.md, section 7), and more.", nil},
		{"list", "// Source: docs/protocol.md, sections 1, 1.2, and 7.", nil},
		{"wrapped", "// Of docs/protocol.md, section\n// 1.3.", []string{"no section 1.3"}},
		{"missing", "//\tSource: docs/protocol.md, section 2.", []string{"no section 2"}},
		{"none but a chapter", "// docs/protocol.md, section 7.1", []string{"no section 7.1"}},
		{"title", "// docs/protocol.md, section 9", []string{"no section 9"}},
		{"not a heading", "// docs/protocol.md, section 8", []string{"no section 8"}},
		{"second of a list", "// (docs/protocol.md, sections 1.2 and 3.4)",
			[]string{"no section 3.4"}},
		{"ends of a range", "// docs/protocol.md, sections 1.1 to 1.4",
			[]string{"no section 1.1", "no section 1.4"}},
		{"numbers that follow", "// docs/protocol.md, section 1.2, 30 s", nil},
		{"RFC", "// RFC 6455 section 5.5, RFC 6455, section 7.4, RFC 9112 sections 2 and 3", nil},
		{"another page", "// docs/configuration.md, section 4", nil},
		{"no document", "// The order of checks (section 1.2).", []string{"of which document"}},
		{"no document, a list", "// Sections 1.2, 7.", []string{"of which document"}},
		{"the page alone", "// docs/protocol.md says more; a section of 30 lines.", nil},
		{"trailing", "var x = 1 // docs/protocol.md, section 5", []string{"no section 5"}},
		{"inside a block", "/* docs/protocol.md,\n   section 6 */", []string{"no section 6"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tree := planted(t, map[string]string{"a/a.go": "package a\n\n" + tt.comment + "\n"})
			wantFindings(t, CheckCitations(tree, []byte(page)), tt.want...)
		})
	}
}
