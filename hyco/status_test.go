package hyco

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file of the status table")

// refusals has every name of status.go.
var refusals = map[string]*Refusal{
	"RefusalIPNotAllowed":             RefusalIPNotAllowed,
	"RefusalMissingToken":             RefusalMissingToken,
	"RefusalMalformedToken":           RefusalMalformedToken,
	"RefusalInvalidSignature":         RefusalInvalidSignature,
	"RefusalInvalidAudience":          RefusalInvalidAudience,
	"RefusalExpiredToken":             RefusalExpiredToken(time.Unix(1893456000, 0)),
	"RefusalMissingClaim":             RefusalMissingClaim("Listen"),
	"RefusalNoSuchEntity":             RefusalNoSuchEntity,
	"RefusalNoListeners":              RefusalNoListeners,
	"RefusalNoListenerMatches":        RefusalNoListenerMatches,
	"RefusalListenerQuota":            RefusalListenerQuota,
	"RefusalListenerLost":             RefusalListenerLost,
	"RefusalListenerBusy":             RefusalListenerBusy,
	"RefusalAcceptTimeout":            RefusalAcceptTimeout,
	"RefusalUnknownRendezvous":        RefusalUnknownRendezvous,
	"RefusalBadStatusCode":            RefusalBadStatusCode,
	"RefusalRejectionRecorded":        RefusalRejectionRecorded,
	"RefusalBadTarget":                RefusalBadTarget,
	"RefusalTargetByte":               RefusalTargetByte,
	"RefusalPathEscape":               RefusalPathEscape,
	"RefusalQueryEscape":              RefusalQueryEscape,
	"RefusalNotWebSocket":             RefusalNotWebSocket,
	"RefusalNotTLS":                   RefusalNotTLS,
	"RefusalUpgradeOutside":           RefusalUpgradeOutside,
	"RefusalBadUpgrade":               RefusalBadUpgrade,
	"RefusalBadVersion":               RefusalBadVersion,
	"RefusalBadHead":                  RefusalBadHead,
	"RefusalBadHTTPVersion":           RefusalBadHTTPVersion,
	"RefusalHeadTooLarge":             RefusalHeadTooLarge,
	"RefusalHeadTimeout":              RefusalHeadTimeout,
	"RefusalReadOnly":                 RefusalReadOnly,
	"RefusalBadDescription":           RefusalBadDescription,
	"RefusalBadPage":                  RefusalBadPage,
	"RefusalBodyTooLarge":             RefusalBodyTooLarge,
	"RefusalEntityExists":             RefusalEntityExists,
	"RefusalEntityAbsent":             RefusalEntityAbsent,
	"RefusalPrecondition":             RefusalPrecondition,
	"RefusalEntityQuota":              RefusalEntityQuota,
	"RefusalStoreUnavailable":         RefusalStoreUnavailable,
	"RefusalUnknownAction":            RefusalUnknownAction("dance"),
	"RefusalTooManyFailures":          RefusalTooManyFailures,
	"RefusalOverloaded":               RefusalOverloaded,
	"RefusalDraining":                 RefusalDraining,
	"RefusalInternal":                 RefusalInternal,
	"RefusalReplaced":                 RefusalReplaced,
	"RefusalEntityRemoved":            RefusalEntityRemoved,
	"RefusalListenerSilent":           RefusalListenerSilent,
	"RefusalMessageInvalid":           RefusalMessageInvalid,
	"RefusalMethod":                   RefusalMethod,
	"RefusalExpectation":              RefusalExpectation,
	"RefusalTransferCoding":           RefusalTransferCoding,
	"RefusalBadFraming":               RefusalBadFraming,
	"RefusalUpgradeWithoutConnection": RefusalUpgradeWithoutConnection,
	"RefusalBodyTimeout":              RefusalBodyTimeout,
	"RefusalRequestAcceptTimeout":     RefusalRequestAcceptTimeout,
	"RefusalResponseTimeout":          RefusalResponseTimeout,
	"RefusalListenerGone":             RefusalListenerGone,
	"RefusalBadResponse":              RefusalBadResponse,
	"RefusalResponseTooLarge":         RefusalResponseTooLarge,
}

// TestStatusTable compares the table with testdata/status.golden. After a
// change that is meant: go test ./hyco -run StatusTable -rewrite.
func TestStatusTable(t *testing.T) {
	const golden = "testdata/status.golden"
	declared := declaredRefusals(t)
	var b strings.Builder
	for _, name := range declared {
		r := refusals[name]
		if r == nil {
			t.Errorf("%s is missing in this test", name)
			continue
		}
		if name != "Refusal"+r.Code {
			t.Errorf("%s has the code %s", name, r.Code)
		}
		if r.Status == 0 && r.CloseCode == 0 || CleanPhrase(r.Text) != r.Text ||
			len(r.Text) > phraseTextMax || r.Error() != r.Text {
			t.Errorf("%s does not fit the wire: %+v", name, r)
		}
		fmt.Fprintf(&b, "%3d %4d %-18s %s\n", r.Status, r.CloseCode, r.Code, r.Text)
	}
	if len(declared) != len(refusals) {
		t.Errorf("%d declared, %d in this test", len(declared), len(refusals))
	}
	if *rewrite {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// declaredRefusals are the names that status.go declares, in its order.
func declaredRefusals(t *testing.T) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "status.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names = append(names, name.Name)
			}
		case *ast.FuncDecl:
			names = append(names, n.Name.Name)
			return false
		}
		return true
	})
	return slices.DeleteFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, "Refusal")
	})
}

// TestHTTPCodes has the code of each status of the table, and of others.
func TestHTTPCodes(t *testing.T) {
	for name, r := range refusals {
		if r.Status != 0 && httpCodes[r.Status] == "" {
			t.Errorf("%s: status %d has no code", name, r.Status)
		}
	}
	for _, c := range []struct {
		status int
		want   string
	}{
		{401, "TokenMissingOrInvalid"}, {403, "Forbidden"}, {404, "EndpointNotFound"},
		{504, "GatewayTimeout"}, {500, "InternalServerError"}, {502, "BadGateway"},
		{503, "ServiceUnavailable"}, {408, "RequestTimeout"}, {413, "ContentTooLarge"},
		{431, "RequestHeaderFieldsTooLarge"}, {417, "ExpectationFailed"},
		{405, "MethodNotAllowed"}, {400, "BadRequest"}, {501, "NotImplemented"},
		{429, "TooManyRequests"}, {505, "HTTPVersionNotSupported"},
		{418, "BadRequest"}, {599, "InternalServerError"}, {0, "InternalServerError"},
	} {
		if got := (&Refusal{Status: c.status}).HTTPCode(); got != c.want {
			t.Errorf("%d: got %s, want %s", c.status, got, c.want)
		}
	}
}

func TestRefusalDetails(t *testing.T) {
	detailed := RefusalBadHead.Because("malformed request line")
	if detailed.Text != "The request head is malformed: malformed request line" ||
		detailed.Status != 400 || detailed.Code != "BadHead" ||
		RefusalBadHead.Text != "The request head is malformed." {
		t.Errorf("got %+v", detailed)
	}
	hostile := RefusalUnknownAction("x\r\n" + strings.Repeat("y", 99))
	if want := "Unsupported action 'x??" + strings.Repeat("y", 61) + "'."; hostile.Text != want {
		t.Errorf("got %s", hostile.Text)
	}
}
