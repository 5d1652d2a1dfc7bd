// Results prints the table at the end of `make interop`.
//
//	results go.json node.tap
//
// The first file is the output of `go test -json`, the second that of node's
// TAP reporter. Tests name the items of the conformance list that they show:
// TestItem07... in Go, "items 7, 8: ..." in node. The command shows the output
// of what failed, a line per item, the reasons why some items cannot be shown,
// and the counts. Its exit status is 1 when a test failed, when none ran, or
// when an item has neither a test nor a reason.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: results go.json node.tap")
		os.Exit(2)
	}
	var tests []test
	for i, read := range []func(io.Reader) ([]test, error){readGo, readTAP} {
		file, err := os.ReadFile(os.Args[i+1])
		if err == nil {
			var found []test
			found, err = read(bytes.NewReader(file))
			tests = append(tests, found...)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "results:", err)
			os.Exit(2)
		}
	}
	if !report(os.Stdout, tests) {
		os.Exit(1)
	}
}

// outcome of a test.
type outcome int

const (
	passed outcome = iota
	failed
	skipped
)

// test is one test that has no tests within it.
type test struct {
	suite   string // "go" or "node"
	name    string
	outcome outcome
	output  string // what it said, when it failed
}

// event is one line of `go test -json`.
type event struct{ Action, Package, Test, Output string }

// packageLine is the result of a package, as go test prints it.
var packageLine = regexp.MustCompile(`^(ok|FAIL)\s+\S+\s`)

// readGo prints the result of each package. It returns the tests without
// subtests and, as a test of its own, a package that failed outside of any.
func readGo(r io.Reader) ([]test, error) {
	outcomes := map[string]outcome{}
	output := map[string]string{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("go test -json: %q: %w", lines.Text(), err)
		}
		name := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			output[name] += e.Output
			if packageLine.MatchString(e.Output) {
				fmt.Print(e.Output)
			}
		case "pass":
			outcomes[name] = passed
		case "fail":
			outcomes[name] = failed
		case "skip":
			outcomes[name] = skipped
		}
	}
	return leaves(outcomes, output), lines.Err()
}

// leaves turns the outcomes into tests, leaving out those that others are part
// of, unless they failed while all of their parts passed.
func leaves(outcomes map[string]outcome, output map[string]string) []test {
	parts := map[string]int{}
	failedParts := map[string]int{}
	for name, o := range outcomes {
		for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
			parts[parent]++
			if o == failed {
				failedParts[parent]++
			}
		}
	}
	var tests []test
	for name, o := range outcomes {
		if parts[name] > 0 && (o != failed || failedParts[name] > 0) {
			continue
		}
		pkg, testName, _ := strings.Cut(name, " ")
		if testName == "" {
			if o == skipped {
				continue // no test files
			}
			testName = "package " + pkg
		}
		tests = append(tests, test{"go", testName, o, output[name]})
	}
	sort.Slice(tests, func(i, j int) bool { return tests[i].name < tests[j].name })
	return tests
}

// parentOf returns the test that name is a part of: the package for a test at
// the top, and "" for a package.
func parentOf(name string) string {
	pkg, testName, _ := strings.Cut(name, " ")
	if testName == "" {
		return ""
	}
	if at := strings.LastIndex(testName, "/"); at >= 0 {
		return pkg + " " + testName[:at]
	}
	return pkg + " "
}

// tapLine is one result: "not ok 3 - name # SKIP why".
var tapLine = regexp.MustCompile(`^\s*(not )?ok \d+ - (.*?)(?: # (SKIP|TODO).*)?$`)

// readTAP returns the tests of a TAP stream; entries that stand for a whole
// file are left out unless they failed by themselves.
func readTAP(r io.Reader) ([]test, error) {
	var tests []test
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	anyFailed := false
	for lines.Scan() {
		match := tapLine.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		result := passed
		switch {
		case match[3] != "":
			result = skipped
		case match[1] != "":
			result = failed
		}
		if strings.HasSuffix(match[2], ".test.js") && (result != failed || anyFailed) {
			continue
		}
		anyFailed = anyFailed || result == failed
		tests = append(tests, test{"node", match[2], result, ""})
	}
	return tests, lines.Err()
}

// report writes everything and says whether all is well.
func report(w io.Writer, tests []test) bool {
	counts := map[outcome]int{}
	for _, t := range tests {
		counts[t.outcome]++
		if t.outcome == failed {
			_, _ = fmt.Fprintf(w, "--- FAILED %s: %s\n%s", t.suite, t.name, t.output)
		}
	}
	complete := reportItems(w, tests)
	reportSuites(w, tests)
	_, _ = fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", counts[passed],
		counts[failed], counts[skipped])
	return complete && counts[failed] == 0 && counts[passed] > 0
}

// reportItems writes a line per item of the conformance list.
func reportItems(w io.Writer, tests []test) (complete bool) {
	complete = true
	_, _ = fmt.Fprintf(w, "\n%4s  %-52s %-7s %5s %5s\n", "item", "behaviour", "result", "go",
		"node")
	for _, it := range items {
		counts := map[string]int{}
		result := "-"
		for _, t := range tests {
			if !shows(t, it.number) {
				continue
			}
			counts[t.suite]++
			switch {
			case t.outcome == failed:
				result = "FAILED"
			case t.outcome == passed && result == "-":
				result = "ok"
			}
		}
		if result == "-" && it.notShown == "" {
			result, complete = "MISSING", false
		}
		_, _ = fmt.Fprintf(w, "%4d  %-52s %-7s %5d %5d\n", it.number, it.behaviour, result,
			counts["go"], counts["node"])
	}
	_, _ = fmt.Fprintln(w, "\nnot shown here, or not in full:")
	for _, it := range items {
		if it.notShown != "" {
			_, _ = fmt.Fprintf(w, "%4d  %s\n", it.number, it.notShown)
		}
	}
	return complete
}

var (
	goItem   = regexp.MustCompile(`^TestItem(\d+)`)
	nodeItem = regexp.MustCompile(`^items? ([\d, ]+):`)
)

// shows says whether a test names the item.
func shows(t test, item int) bool {
	if match := goItem.FindStringSubmatch(t.name); match != nil {
		number, _ := strconv.Atoi(match[1])
		return number == item
	}
	if match := nodeItem.FindStringSubmatch(t.name); match != nil {
		for _, text := range strings.Split(match[1], ",") {
			if number, _ := strconv.Atoi(strings.TrimSpace(text)); number == item {
				return true
			}
		}
	}
	return false
}

// reportSuites writes the counts of each suite.
func reportSuites(w io.Writer, tests []test) {
	counts := map[string]map[outcome]int{}
	for _, t := range tests {
		suite := suiteOf(t)
		if counts[suite] == nil {
			counts[suite] = map[outcome]int{}
		}
		counts[suite][t.outcome]++
	}
	var suites []string
	for suite := range counts {
		suites = append(suites, suite)
	}
	sort.Strings(suites)
	_, _ = fmt.Fprintf(w, "\n%-34s %7s %7s %7s\n", "suite", "passed", "failed", "skipped")
	for _, suite := range suites {
		c := counts[suite]
		_, _ = fmt.Fprintf(w, "%-34s %7d %7d %7d\n", suite, c[passed], c[failed], c[skipped])
	}
}

// suiteOf names the group that a test is counted in.
func suiteOf(t test) string {
	switch {
	case t.suite == "node":
		return "npm clients"
	case strings.HasPrefix(t.name, "TestItem"):
		return "go: items of the conformance list"
	case strings.HasPrefix(t.name, "TestGroundControl"):
		return "go: ground, control channel"
	case strings.HasPrefix(t.name, "TestGroundTLS"):
		return "go: ground, TLS"
	case strings.Contains(t.name, "/sender_leg"):
		return "go: ground, sender leg"
	case strings.Contains(t.name, "/rendezvous_leg"):
		return "go: ground, rendezvous leg"
	}
	return "go: everything else"
}
