package lint

import (
	"fmt"
	"strconv"
	"strings"
)

// modulePath is the import path of the repository's main module.
const modulePath = "github.com/relayhouse/relayhouse"

// separateModules are directories with a go.mod of their own. Their imports
// are their own business; the other rules hold for them too.
var separateModules = []string{"interop"}

// levels gives each package its layer. A package imports lower layers only.
// An entry that ends in "/" covers everything below that directory; the
// longest entry that fits decides.
var levels = map[string]int{
	"cmd/":      7,
	"examples/": 7,
	"tools/":    7,

	"bench":  6,
	"bench/": 0, // peers to measure against; they use nothing of ours

	"relaytest": 5,

	"node":     4,
	"relayctl": 4,

	"gateway":      3,
	"management":   3,
	"admin":        3,
	"relayclient":  3,
	"relayctl/arm": 3,

	"httprelay":      2,
	"namespacestore": 2,
	"wcf":            2,
	"cluster":        2,
	"config":         2,
	"engine/simnet":  2,

	"engine":       1,
	"rendezvous":   1,
	"namespace":    1,
	"gatewaystore": 1,
	"certificate":  1,
	"takeover":     1,

	"wsframe":    0,
	"httphead":   0,
	"proxyproto": 0,
	"tlsrecord":  0,
	"hyco":       0,
	"sas":        0,
	"metrics":    0,

	"internal/": -1, // small things that every layer may use
}

// forbidden lists edges that the levels alone would allow, with the reason. An
// entry that ends in "/" covers everything below that directory.
var forbidden = []struct{ from, to, reason string }{
	{"engine", "hyco", "the engine knows nothing of Azure's terms"},
	{"engine", "sas", "the engine knows nothing of tokens"},
	{"engine/simnet", "hyco", "the engine knows nothing of Azure's terms"},
	{"engine/simnet", "sas", "the engine knows nothing of tokens"},
	{"engine/simnet", "namespace", "the engine knows nothing of namespaces"},
	{"relayclient", "engine", "the client builds on every operating system"},
	{"relayctl", "engine", "the tool builds on every operating system"},
	{"relayctl", "gateway", "the tool speaks to gateways and is none"},
	{"examples/", "engine", "examples use the public packages only"},
	{"examples/", "gateway", "examples use the public packages only"},
	{"examples/", "node", "examples use the public packages only"},
	{"examples/", "internal/", "examples use the public packages only"},
}

// CheckLayers returns one finding per import that does not point down, and per
// package that has no place in the table. Test files may import anything: the
// compiler already refuses a cycle there.
func CheckLayers(t *Tree) []string {
	var findings []string
	for _, dir := range t.sortedDirs() {
		if isSeparateModule(dir) {
			continue
		}
		for _, file := range t.Dirs[dir] {
			if !file.IsTest() {
				findings = append(findings, checkImports(t, dir, file)...)
			}
		}
	}
	return findings
}

func checkImports(t *Tree, from string, file *File) []string {
	fromLevel, known := levelOf(from)
	if !known {
		return []string{fmt.Sprintf("%s: package %s has no layer; add it to levels in "+
			"tools/lint/layers.go", file.Path, from)}
	}
	var findings []string
	for _, spec := range file.Syntax.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil || !strings.HasPrefix(target, modulePath+"/") {
			continue
		}
		to := strings.TrimPrefix(target, modulePath+"/")
		at := fmt.Sprintf("%s:%d", file.Path, t.line(spec.Pos()))
		toLevel, known := levelOf(to)
		switch {
		case !known:
			findings = append(findings, fmt.Sprintf("%s: %s -> %s: %s has no layer; add it "+
				"to levels in tools/lint/layers.go", at, from, to, to))
		case toLevel >= fromLevel && !isWithinInternal(from, to):
			findings = append(findings, fmt.Sprintf("%s: %s (L%d) -> %s (L%d): imports "+
				"point down only", at, from, fromLevel, to, toLevel))
		default:
			if reason := forbiddenReason(from, to); reason != "" {
				findings = append(findings,
					fmt.Sprintf("%s: %s -> %s: %s", at, from, to, reason))
			}
		}
	}
	return findings
}

// levelOf returns the layer of a directory, from the longest entry that fits.
func levelOf(dir string) (level int, known bool) {
	longest := -1
	for entry, entryLevel := range levels {
		if covers(entry, dir) && len(entry) > longest {
			longest, level = len(entry), entryLevel
		}
	}
	return level, longest >= 0
}

func forbiddenReason(from, to string) string {
	for _, edge := range forbidden {
		if covers(edge.from, from) && covers(edge.to, to) {
			return edge.reason
		}
	}
	return ""
}

// covers says whether a table entry speaks about dir.
func covers(entry, dir string) bool {
	if strings.HasSuffix(entry, "/") {
		return strings.HasPrefix(dir, entry)
	}
	return entry == dir
}

// isWithinInternal allows one helper package to use another: they share a
// level, and the compiler refuses a cycle.
func isWithinInternal(from, to string) bool {
	return strings.HasPrefix(from, "internal/") && strings.HasPrefix(to, "internal/")
}

func isSeparateModule(dir string) bool {
	for _, module := range separateModules {
		if dir == module || strings.HasPrefix(dir, module+"/") {
			return true
		}
	}
	return false
}
