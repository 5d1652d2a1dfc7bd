package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const goOutput = `{"Action":"run","Package":"p","Test":"TestItem07X"}
{"Action":"output","Package":"p","Test":"TestItem07X/a","Output":"a says\n"}
{"Action":"pass","Package":"p","Test":"TestItem07X/a"}
{"Action":"fail","Package":"p","Test":"TestItem07X/b"}
{"Action":"fail","Package":"p","Test":"TestItem07X"}
{"Action":"fail","Package":"p","Test":"TestAlone"}
{"Action":"skip","Package":"p","Test":"TestSkipped"}
{"Action":"pass","Package":"p","Test":"TestParent/part"}
{"Action":"fail","Package":"p","Test":"TestParent"}
{"Action":"fail","Package":"p"}
{"Action":"fail","Package":"broken"}
{"Action":"skip","Package":"empty"}
`

func TestReadGo(t *testing.T) {
	tests, err := readGo(strings.NewReader(goOutput))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, test := range tests {
		got += fmt.Sprintf("%s %d\n", test.name, test.outcome)
	}
	want := "TestAlone 1\nTestItem07X/a 0\nTestItem07X/b 1\nTestParent 1\nTestParent/part 0\n" +
		"TestSkipped 2\npackage broken 1\n"
	if got != want {
		t.Errorf("tests:\n%swant:\n%s", got, want)
	}
	if _, err := readGo(strings.NewReader("not json\n")); err == nil {
		t.Error("no error for a line that is no JSON")
	}
}

const tapOutput = `TAP version 13
# Subtest: node/a.test.js
    # Subtest: items 1, 24: echo
    ok 1 - items 1, 24: echo
      ---
      duration_ms: 3
      ...
    not ok 2 - item 7: vanishes
    ok 3 - item 8: later # SKIP no time
    1..3
not ok 1 - node/a.test.js
ok 2 - node/b.test.js
1..2
`

func TestReadTAP(t *testing.T) {
	tests, err := readTAP(strings.NewReader(tapOutput))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, test := range tests {
		got += fmt.Sprintf("%s %d\n", test.name, test.outcome)
	}
	want := "items 1, 24: echo 0\nitem 7: vanishes 1\nitem 8: later 2\n"
	if got != want {
		t.Errorf("tests:\n%swant:\n%s", got, want)
	}
	// A file that does not load has no tests of its own.
	tests, err = readTAP(strings.NewReader("not ok 1 - node/a.test.js\n"))
	if err != nil || len(tests) != 1 || tests[0].outcome != failed {
		t.Errorf("a broken file: %v, %v", tests, err)
	}
}

func TestShows(t *testing.T) {
	tests := []struct {
		name string
		item int
		want bool
	}{
		{"TestItem07X/a", 7, true},
		{"TestItem07X/a", 70, false},
		{"TestGroundX", 7, false},
		{"items 1, 24: echo", 24, true},
		{"items 1, 24: echo", 2, false},
		{"item 7: x", 7, true},
		{"ground: 7", 7, false},
	}
	for _, tt := range tests {
		if got := shows(test{name: tt.name}, tt.item); got != tt.want {
			t.Errorf("shows(%q, %d) = %t", tt.name, tt.item, got)
		}
	}
}

// allItems is a passed test for every item that needs one.
func allItems() []test {
	var tests []test
	for _, it := range items {
		if it.notShown == "" {
			tests = append(tests, test{"go", fmt.Sprintf("TestItem%02dX", it.number), passed, ""})
		}
	}
	return tests
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	if !report(&out, allItems()) {
		t.Errorf("all passed, and yet:\n%s", &out)
	}
	want := fmt.Sprintf("\n%d passed, 0 failed, 0 skipped\n", len(allItems()))
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("the report does not end with %q", want)
	}
	if report(&out, allItems()[1:]) {
		t.Error("an item without a test went unnoticed")
	}
	if report(&out, append(allItems(), test{"node", "item 1: x", failed, ""})) {
		t.Error("a failed test went unnoticed")
	}
	if report(&out, nil) {
		t.Error("a run without tests went unnoticed")
	}
}
