package sas

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// testKey and testExpiry are those of the vectors of docs/protocol.md, section
// 6.3.
const (
	testKey    = "c2VjcmV0LWtleS1mb3ItdGVzdC12ZWN0b3JzLW9ubHkhMTI="
	testExpiry = 1893456000
)

// vectors are the test vectors of docs/protocol.md, section 6.3: both escape
// casings, namespace and entity scope, with and without the last slash.
var vectors = []struct{ sr, sig string }{
	{"http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco%2F",
		"KaWcguPSAybygXrdlrNjM/8PnL8hLuhB7JokwQNjr6o="},
	{"http%3a%2f%2fcontoso.servicebus.windows.net%2fhyco%2f",
		"62q0r5h6qZmklAUY0lupVOVErZEapbQhPKnYMZk2oBM="},
	{"http%3A%2F%2Fcontoso.servicebus.windows.net%2F",
		"wcwWmWYqhRsqQRcBZvUihI7tmZLCxpEy5ctFx7K2Ag8="},
	{"http%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco",
		"s7EpCROrsFKVBLwB4bwvRV7HBCz0GdCudIvrMpoeRKY="},
	{"sb%3A%2F%2Fcontoso.servicebus.windows.net%2Fhyco",
		"f8sGMfqtD/gZmaCXMuvX0+TtPL7HGXjOlLp0RMwTVrQ="},
}

func vectorToken(sr, sig string) string {
	return fmt.Sprintf("SharedAccessSignature sr=%s&sig=%s&se=%d&skn=rule", sr, sig, testExpiry)
}

// TestVectors checks every vector with the signature in each spelling that
// clients use (item 71).
func TestVectors(t *testing.T) {
	percent := strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D")
	for i, v := range vectors {
		for _, c := range []struct {
			sig    string
			signed bool
		}{
			{v.sig, true},
			{percent.Replace(v.sig), true},
			{strings.ReplaceAll(v.sig, "+", " "), true},
			{strings.TrimSuffix(v.sig, "="), true},
			{"A" + v.sig[1:], v.sig[0] == 'A'},
			{v.sig[1:], false},
			{"A" + v.sig, false},
			{v.sig + "AAAA", false},
		} {
			token, err := Parse(vectorToken(v.sr, c.sig))
			if err != nil {
				t.Fatalf("vector %d, %s: %v", i, c.sig, err)
			}
			if got := token.SignedBy(testKey); got != c.signed {
				t.Errorf("vector %d, %s: signed %v", i, c.sig, got)
			}
			if token.SignedBy(testKey+"x") || token.SignedBy("") {
				t.Errorf("vector %d: signed by a wrong key", i)
			}
			if token.KeyName != "rule" || token.Resource != v.sr ||
				token.Expiry.Unix() != testExpiry {
				t.Errorf("vector %d: got %v", i, token)
			}
		}
	}
}

func TestParse(t *testing.T) {
	const sig = "KaWcguPSAybygXrdlrNjM/8PnL8hLuhB7JokwQNjr6o="
	const full = "SharedAccessSignature sr=r&sig=" + sig + "&se=1&skn=n"
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"as usual", full, nil},
		{"word folds case", "sharedaccesssignature sr=r&sig=s&se=1&skn=n", nil},
		{"names fold case", "SharedAccessSignature SR=r&Sig=s&SE=1&sKn=n", nil},
		{"any order", "SharedAccessSignature skn=n&se=1&sig=s&sr=r", nil},
		{"empty pairs", "SharedAccessSignature &&sr=r&&sig=s&se=1&skn=n&", nil},
		{"unknown names", "SharedAccessSignature x&y=1&sr=r&sig=s&se=1&skn=n", nil},
		{"garbage signature", "SharedAccessSignature sr=r&sig=!!&se=1&skn=n", nil},

		{"empty", "", ErrScheme},
		{"word only", "SharedAccessSignature", ErrScheme},
		{"no blank", "SharedAccessSignaturesr=r&sig=s&se=1&skn=n", ErrScheme},
		{"tab", "SharedAccessSignature\tsr=r&sig=s&se=1&skn=n", ErrScheme},
		{"blank before", " " + full, ErrScheme},
		{"Entra ID token", "eyJhbGciOi.eyJhdWQi.c2ln", ErrScheme},
		{"Java's toString", "com.microsoft.azure.relay.SecurityToken@1b2c3d4e", ErrScheme},
		{"not the letters", "ſharedAccessSignature sr=r", ErrScheme},
		{"two blanks", "SharedAccessSignature  sr=r&sig=s&se=1&skn=n", ErrFieldMissing},
		{"no fields", "SharedAccessSignature ", ErrFieldMissing},
		{"no sr", "SharedAccessSignature sig=s&se=1&skn=n", ErrFieldMissing},
		{"no sig", "SharedAccessSignature sr=r&se=1&skn=n", ErrFieldMissing},
		{"no se", "SharedAccessSignature sr=r&sig=s&skn=n", ErrFieldMissing},
		{"no skn", "SharedAccessSignature sr=r&sig=s&se=1", ErrFieldMissing},
		{"empty sr", "SharedAccessSignature sr=&sig=s&se=1&skn=n", ErrField},
		{"field without =", "SharedAccessSignature sr&sig=s&se=1&skn=n", ErrField},
		{"sr twice", full + "&sr=r", ErrField},
		{"skn twice", full + "&SKN=n", ErrField},
		{"se twice", full + "&se=9", ErrField},
		{"sig twice", full + "&sig=s", ErrField},
		{"negative se", "SharedAccessSignature sr=r&sig=s&se=-1&skn=n", ErrExpiry},
		{"fraction", "SharedAccessSignature sr=r&sig=s&se=1.5&skn=n", ErrExpiry},
		{"words in se", "SharedAccessSignature sr=r&sig=s&se=soon&skn=n", ErrExpiry},
		{"bad escape in skn", "SharedAccessSignature sr=r&sig=s&se=1&skn=%zz", ErrEscape},
		{"bad escape in sig", "SharedAccessSignature sr=r&sig=%&se=1&skn=n", ErrEscape},
		{"too long", full + "&x=" + strings.Repeat("x", TokenMax), ErrTokenSize},
	} {
		token, err := Parse(c.text)
		if err != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if err != nil && (!errors.Is(err, ErrMalformed) || token != (Token{})) {
			t.Errorf("%s: error %v with token %v", c.name, err, token)
		}
	}
}

func TestExpiry(t *testing.T) {
	forever := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	for _, c := range []struct {
		se   string
		want time.Time
	}{
		{"0", time.Unix(0, 0)},
		{"1893456000", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"0001893456000", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"253402300799", forever},
		{"253402300800", forever},
		{strings.Repeat("9", 400), forever},
	} {
		token, err := Parse("SharedAccessSignature sr=r&sig=s&skn=n&se=" + c.se)
		if err != nil || !token.Expiry.Equal(c.want) {
			t.Errorf("%s: got %v, %v", c.se, token.Expiry, err)
		}
	}
}

func TestSign(t *testing.T) {
	expiry := time.Unix(testExpiry, 999)
	got := Sign("http://contoso.servicebus.windows.net/hyco/", "a rule+", testKey, expiry)
	want := "SharedAccessSignature sr=" + vectors[0].sr +
		"&sig=KaWcguPSAybygXrdlrNjM%2F8PnL8hLuhB7JokwQNjr6o%3D&se=1893456000&skn=a+rule%2B"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	token, err := Parse(got)
	if err != nil || !token.SignedBy(testKey) || token.KeyName != "a rule+" {
		t.Errorf("parsed: %v, %v", token, err)
	}
	if token, err := Parse(Sign("r", "n", "k", time.Time{})); err != nil ||
		token.Expiry.Unix() != 0 {
		t.Errorf("the zero time signs as %v, %v", token.Expiry, err)
	}
}

// TestSecretsStayOut prints what a log line might print.
func TestSecretsStayOut(t *testing.T) {
	token, err := Parse(vectorToken(vectors[0].sr, vectors[0].sig))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(verb, token)
		if strings.Contains(text, "KaWc") || strings.Contains(text, "0x29") {
			t.Errorf("%s prints the signature: %s", verb, text)
		}
		if !strings.Contains(text, "rule") {
			t.Errorf("%s says nothing: %s", verb, text)
		}
	}
	for _, text := range []string{
		"secret", "SharedAccessSignature secret=x", "SharedAccessSignature sr=secret&se=secret",
		"SharedAccessSignature sr=a&sig=%secret&se=1&skn=n",
	} {
		if _, err := Parse(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error quotes its input: %v", err)
		}
	}
}

func TestRight(t *testing.T) {
	for _, c := range []struct {
		right Right
		want  string
	}{
		{0, "none"}, {Listen, "Listen"}, {Send, "Send"}, {Manage, "Manage"},
		{Listen | Send, "Listen,Send"}, {rightsAll, "Listen,Send,Manage"}, {1 << 7, "none"},
	} {
		if got := c.right.String(); got != c.want {
			t.Errorf("%d: got %s", c.right, got)
		}
	}
	for i, name := range []string{"listen", "SEND", "Manage"} {
		if got, err := ParseRight(name); got != 1<<i || err != nil {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Lis", "Listen,Send", "ſend"} {
		if got, err := ParseRight(name); got != 0 || err != ErrRight {
			t.Errorf("%q: got %v, %v", name, got, err)
		}
	}
	if Listen.Has(Listen|Send) || !rightsAll.Has(Listen|Send) {
		t.Error("Has wants every right")
	}
}

func BenchmarkVerify(b *testing.B) {
	text := vectorToken(vectors[0].sr, vectors[0].sig)
	b.ReportAllocs()
	for b.Loop() {
		token, err := Parse(text)
		if err != nil || !token.SignedBy(testKey) {
			b.Fatal(err)
		}
	}
}
