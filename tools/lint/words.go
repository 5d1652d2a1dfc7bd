package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"unicode"
)

// bannedWords maps a word that identifiers must not use to the glossary's word
// for it. Words with a second, legitimate meaning in this code are left to
// reviewers: server (http.Server), service, host, key, queue, endpoint (the
// protocol's remoteEndpoint), pipe, route, claim, scope, registry, directory.
var bannedWords = map[string]string{
	"tenant":     "namespace",
	"account":    "namespace",
	"tunnel":     "hybrid connection",
	"agent":      "listener",
	"backend":    "listener",
	"upstream":   "listener",
	"downstream": "sender",
	"caller":     "sender",
	"invite":     "accept message",
	"acceptor":   "rendezvous connection",
	"broker":     "gateway",
	"bridge":     "splice",
	"policy":     "authorization rule",
	"permission": "right",
	"credential": "token",
	"reactor":    "loop",
	"watermark":  "high mark or low mark",
	"manager":    "a noun that says what it is",
	"helper":     "a noun that says what it does",
}

// wordExceptions names identifiers that may use a banned word, with the
// reason. Keys are "directory.identifier".
var wordExceptions = map[string]string{
	"wsframe.CodePolicy": "RFC 6455 section 7.4.1 calls close code 1008 so",
	"hyco.closePolicy":   "the same close code",
}

// bannedPackages are package names that say nothing.
var bannedPackages = []string{"pkg", "util", "utils", "common", "types", "helpers"}

// CheckWords returns one finding per declared identifier that uses a banned
// word and per package with a name that says nothing. Uses of other people's
// identifiers are not looked at.
func CheckWords(t *Tree) []string {
	var findings []string
	for _, dir := range t.sortedDirs() {
		for _, file := range t.Dirs[dir] {
			for _, banned := range bannedPackages {
				if file.Syntax.Name.Name == banned {
					findings = append(findings, fmt.Sprintf("%s: package name %q says "+
						"nothing; name the thing in it", file.Path, banned))
				}
			}
			for _, name := range declared(file.Syntax) {
				findings = append(findings, checkName(t, dir, file, name)...)
			}
		}
	}
	return findings
}

func checkName(t *Tree, dir string, file *File, name *ast.Ident) []string {
	if wordExceptions[dir+"."+name.Name] != "" {
		return nil
	}
	var findings []string
	for _, word := range splitWords(name.Name) {
		if want := bannedWordFor(word); want != "" {
			findings = append(findings, fmt.Sprintf("%s:%d: %s: the glossary says %q, not %q",
				file.Path, t.line(name.Pos()), name.Name, want, word))
		}
	}
	return findings
}

// bannedWordFor returns the glossary's word for a banned one, singular or
// plural, and "" for any other.
func bannedWordFor(word string) string {
	if want := bannedWords[word]; want != "" {
		return want
	}
	if singular, ok := strings.CutSuffix(word, "ies"); ok {
		return bannedWords[singular+"y"]
	}
	return bannedWords[strings.TrimSuffix(word, "s")]
}

// declared returns every identifier that the file declares: functions, types,
// fields, parameters, constants and variables at any depth.
func declared(file *ast.File) []*ast.Ident {
	var names []*ast.Ident
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			names = append(names, n.Name)
		case *ast.TypeSpec:
			names = append(names, n.Name)
		case *ast.ValueSpec:
			names = append(names, n.Names...)
		case *ast.Field:
			names = append(names, n.Names...)
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				names = append(names, idents(n.Lhs)...)
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				names = append(names, idents([]ast.Expr{n.Key, n.Value})...)
			}
		}
		return true
	})
	return names
}

func idents(exprs []ast.Expr) []*ast.Ident {
	var names []*ast.Ident
	for _, expr := range exprs {
		if name, ok := expr.(*ast.Ident); ok && name != nil {
			names = append(names, name)
		}
	}
	return names
}

// splitWords cuts an identifier at underscores and changes of case and returns
// the words in lower case: "ConnManagerIDs" gives conn, manager, ids.
func splitWords(name string) []string {
	var words []string
	runes := []rune(name)
	start := 0
	cut := func(end int) {
		if end > start {
			words = append(words, strings.ToLower(string(runes[start:end])))
		}
		start = end
	}
	for i, r := range runes {
		switch {
		case r == '_' || unicode.IsDigit(r):
			cut(i)
			start = i + 1
		case unicode.IsUpper(r) && i > start:
			followsLower := unicode.IsLower(runes[i-1])
			endsInitialism := i+1 < len(runes) && unicode.IsLower(runes[i+1]) &&
				!isPluralEnd(runes[i+1:])
			if followsLower || endsInitialism {
				cut(i)
			}
		}
	}
	cut(len(runes))
	return words
}

// isPluralEnd says whether what follows an initialism is only its plural s.
func isPluralEnd(rest []rune) bool {
	return rest[0] == 's' && (len(rest) == 1 || unicode.IsUpper(rest[1]))
}
