package sas

import (
	"encoding/base64"
	"testing"
)

func TestNewKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		key := NewKey()
		if b, err := base64.StdEncoding.DecodeString(key); err != nil || len(b) != KeyBytes ||
			len(key) != 44 {
			t.Fatalf("got %d characters, %v", len(key), err)
		}
		if seen[key] {
			t.Fatal("the same key twice")
		}
		seen[key] = true
	}
}
