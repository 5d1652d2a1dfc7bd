package sas

import (
	"errors"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(vectorToken(v.sr, v.sig))
	}
	f.Add("sharedaccesssignature skn=a%20b&se=0&&sig=a b/=&sr=sb://h:1//$hc/x?y#z")
	f.Add("SharedAccessSignature sr=%&sig=%&se=99999999999999999999&skn=%")
	f.Add("eyJhbGciOi.eyJhdWQi.c2ln")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || token != (Token{}) {
				t.Fatalf("error %v with %v", err, token)
			}
			return
		}
		if token.Resource == "" || !strings.Contains(text, token.Resource) {
			t.Fatalf("resource %q is not in the text", token.Resource)
		}
		if token.SignedBy("") {
			t.Fatal("signed by the empty key")
		}
		audience, err := ParseAudience(token.Resource)
		if err != nil {
			return
		}
		checkAudience(t, audience)
	})
}

func FuzzParseAudience(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.sr)
	}
	f.Add("SB://u@[::1]:8443//$HC//a//b/?q#f")
	f.Add("http%3A%2F%2Fh%2F%2524hc%2F100%25")
	f.Fuzz(func(t *testing.T, raw string) {
		if audience, err := ParseAudience(raw); err == nil {
			checkAudience(t, audience)
		}
	})
}

func checkAudience(t *testing.T, a Audience) {
	t.Helper()
	if a.Host == "" || strings.ContainsAny(a.Host, "/?#") {
		t.Fatalf("host %q", a.Host)
	}
	if strings.Contains(a.Path, "//") || strings.Trim(a.Path, "/") != a.Path {
		t.Fatalf("path %q", a.Path)
	}
	yes := func(string) bool { return true }
	if !a.Covers(yes, a.Path) || !a.Covers(yes, a.exact) || !a.Covers(yes, a.Path+"/x") {
		t.Fatalf("%+v does not cover itself", a)
	}
	if a.Path != "" && (a.Covers(yes, "") || a.Covers(yes, a.Path+"x") && a.exact == a.Path) {
		t.Fatalf("%+v covers too much", a)
	}
	if a.Covers(func(string) bool { return false }, a.Path) {
		t.Fatalf("%+v covers a foreign host", a)
	}
}

func FuzzParseConnectionString(f *testing.F) {
	f.Add("Endpoint=sb://h:8443/;SharedAccessKeyName=n;SharedAccessKey=azE=;EntityPath=a")
	f.Add("endpoint=SB://[::1];sharedaccesssignature=SharedAccessSignature sr=r&sig=s")
	f.Add("Endpoint=sb://h/;Authentication=Managed Identity;OperationTimeout=00:01:30.5")
	f.Add(";;=;Endpoint=sb://%41:/;")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConnectionString(text)
		if err != nil {
			if !errors.Is(err, ErrConnectionString) {
				t.Fatal(err)
			}
			return
		}
		if again, err := ParseConnectionString(c.String()); err != nil || again != c {
			t.Fatalf("%q: printed %q, read %+v, %v", text, c.String(), again, err)
		}
	})
}
