package main

import (
	"os"
	"strings"
	"testing"
)

// TestBugsCanBePlanted finds out early when code has moved on.
func TestBugsCanBePlanted(t *testing.T) {
	t.Chdir("../..")
	for _, b := range bugs {
		text, err := os.ReadFile(b.file)
		if err != nil {
			t.Error(err)
			continue
		}
		if n := strings.Count(string(text), b.was); n != 1 {
			t.Errorf("%s: %s holds the text to change %d times, want once", b.name, b.file, n)
		}
	}
}
