package sas

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseConnectionString(t *testing.T) {
	keyed := ConnectionString{Host: "h", KeyName: "n", Key: "azE="}
	for _, c := range []struct {
		name, text string
		want       ConnectionString
	}{
		{"as printed", "Endpoint=sb://h/;SharedAccessKeyName=n;SharedAccessKey=azE=", keyed},
		{"no slash", "Endpoint=sb://h;SharedAccessKeyName=n;SharedAccessKey=azE=", keyed},
		{"any order and case", "SHAREDACCESSKEY=azE=;sharedaccesskeyname=n;endpoint=SB://h/", keyed},
		{"blanks and empty segments", " ;;Endpoint=sb://h/ ;\nSharedAccessKeyName=n;" +
			"SharedAccessKey=azE=;\n", keyed},
		{"port and path", "Endpoint=sb://127.0.0.1:8443/;EntityPath=a/b",
			ConnectionString{Host: "127.0.0.1:8443", EntityPath: "a/b"}},
		{"IPv6", "Endpoint=sb://[::1]:8443/", ConnectionString{Host: "[::1]:8443"}},
		{"signature", "Endpoint=sb://h/;SharedAccessSignature=SharedAccessSignature sr=r&sig=s",
			ConnectionString{Host: "h", Signature: "SharedAccessSignature sr=r&sig=s"}},
		{"managed identity", "Endpoint=sb://h/;Authentication=managed identity",
			ConnectionString{Host: "h", ManagedIdentity: true}},
		{"Java's timeout", "Endpoint=sb://h/;OperationTimeout=90",
			ConnectionString{Host: "h", OperationTimeout: 90 * time.Second}},
		{".NET's timeout", "Endpoint=sb://h/;OperationTimeout=00:01:30",
			ConnectionString{Host: "h", OperationTimeout: 90 * time.Second}},
		{"fraction dropped", "Endpoint=sb://h/;OperationTimeout=01:01:01.5000000",
			ConnectionString{Host: "h", OperationTimeout: 3661 * time.Second}},
	} {
		got, err := ParseConnectionString(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: got %s, %v", c.name, got, err)
		}
		if again, err := ParseConnectionString(got.String()); err != nil || again != got {
			t.Errorf("%s: again %s, %v", c.name, again, err)
		}
	}
}

func TestParseConnectionStringErrors(t *testing.T) {
	const e = "Endpoint=sb://h/;"
	for _, c := range []struct{ text, want string }{
		{"", "want Endpoint"},
		{"EntityPath=a", "want Endpoint"},
		{"Endpoint=h", "segment 1: Endpoint: want sb://"},
		{"Endpoint=https://h/", "segment 1: Endpoint"},
		{"Endpoint=sb:///", "segment 1: Endpoint"},
		{"Endpoint=sb://h/path", "segment 1: Endpoint"},
		{"Endpoint=sb://h/?q", "segment 1: Endpoint"},
		{"Endpoint=sb://h/#", "segment 1: Endpoint"},
		{"Endpoint=sb://secret@h/", "segment 1: Endpoint"},
		{"Endpoint=sb://h:0/", "segment 1: Endpoint"},
		{"Endpoint=sb://h:65536/", "segment 1: Endpoint"},
		{"Endpoint=sb://h:secret/", "segment 1: Endpoint"},
		{e + "secret", "segment 2: want Key=Value"},
		{e + "secret=secret", "segment 2: unknown key"},
		{e + ";EntityPath=a;;entitypath=b", "segment 5: EntityPath is repeated"},
		{e + "EntityPath=/a", "without a slash"},
		{e + "EntityPath=a/", "without a slash"},
		{e + "SharedAccessKeyName=n", "SharedAccessKeyName and SharedAccessKey"},
		{e + "SharedAccessKey=secret", "SharedAccessKeyName and SharedAccessKey"},
		{e + "SharedAccessKeyName=n;SharedAccessKey=secret;SharedAccessSignature=secret",
			"not both"},
		{e + "Authentication=secret", "segment 2: Authentication: want Managed Identity"},
		{e + "Authentication=Managed Identity;SharedAccessSignature=secret", "excludes"},
		{e + "OperationTimeout=", "segment 2: OperationTimeout"},
		{e + "OperationTimeout=0", "1 s to 24 h"},
		{e + "OperationTimeout=-1", "1 s to 24 h"},
		{e + "OperationTimeout=1:30", "1 s to 24 h"},
		{e + "OperationTimeout=00:60:00", "1 s to 24 h"},
		{e + "OperationTimeout=00:00:01.x", "1 s to 24 h"},
		{e + "OperationTimeout=24:00:01", "1 s to 24 h"},
		{e + "OperationTimeout=99999999999999999999", "1 s to 24 h"},
	} {
		got, err := ParseConnectionString(c.text)
		if !errors.Is(err, ErrConnectionString) || got != (ConnectionString{}) {
			t.Errorf("%s: got %s, %v", c.text, got, err)
			continue
		}
		if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "secret") {
			t.Errorf("%s: got %s", c.text, text)
		}
	}
}

func TestConnectionStringText(t *testing.T) {
	c := ConnectionString{
		Host: "h:8443", EntityPath: "a", KeyName: "n", Key: "azE=",
		OperationTimeout: 3661 * time.Second,
	}
	const want = "Endpoint=sb://h:8443/;SharedAccessKeyName=n;SharedAccessKey=azE=;" +
		"EntityPath=a;OperationTimeout=01:01:01"
	if got := c.String(); got != want {
		t.Errorf("got %s", got)
	}
	if got := c.Redacted(); got != strings.Replace(want, "azE=", "***", 1) {
		t.Errorf("redacted: got %s", got)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("open", "to", c)
	if strings.Contains(log.String(), "azE=") || !strings.Contains(log.String(), "h:8443") {
		t.Errorf("logged %s", &log)
	}
}
