// Package lint holds the house rules that no off-the-shelf linter knows. They
// are Go tests, so `go test ./tools/lint` (and with it `make test`) runs them:
//
//   - layers: imports point down only; the offending edge is printed
//   - sizes: files, functions and lines that are longer than agreed
//   - words: identifiers that use a word which the glossary bans
//   - doc.go: every package has one, and it says whether it may change
//   - citations: sections that comments cite exist in docs/protocol.md
//
// The checks take a Tree, which Load reads from disk and tests write by hand,
// and return findings; a finding names the file, the place and what to do.
// Each check has a test that plants a violation, so a rule that stops working
// is noticed. The package is used by its own tests only and may change.
package lint
