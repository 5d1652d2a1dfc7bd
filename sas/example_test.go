package sas_test

import (
	"fmt"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

// A client signs for its entity; a gateway checks.
func Example() {
	const key = "c2VjcmV0LWtleS1mb3ItdGVzdC12ZWN0b3JzLW9ubHkhMTI="
	expiry := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	text := sas.Sign("http://contoso.example/hyco", "listen", key, expiry)

	token, err := sas.Parse(text)
	if err != nil {
		panic(err)
	}
	audience, err := sas.ParseAudience(token.Resource)
	if err != nil {
		panic(err)
	}
	isHost := func(host string) bool { return host == "contoso.example" }
	fmt.Println(token.SignedBy(key), audience.Covers(isHost, "hyco/sub"))
	fmt.Println(token)
	// Output:
	// true true
	// SAS token of rule "listen" for "http%3A%2F%2Fcontoso.example%2Fhyco" until 2030-01-01T00:00:00Z
}
