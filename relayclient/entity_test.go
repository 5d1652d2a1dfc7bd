package relayclient

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/relayhouse/relayhouse/sas"
)

func TestEntity(t *testing.T) {
	for _, tt := range []struct {
		e                   Entity
		base, url, audience string // base empty: ErrEntity
	}{
		{Entity{Endpoint: "sb://Host/", Path: "a"}, "wss://Host/a", "https://Host/a", "http://Host/a"},
		{Entity{Endpoint: "host:8443", Path: "a/b c"}, "wss://host:8443/a/b%20c",
			"https://host:8443/a/b%20c", "http://host/a/b%20c"},
		{Entity{Endpoint: "sb://h", Path: "a", Insecure: true}, "ws://h/a", "http://h/a", "http://h/a"},
		{Entity{Endpoint: "wss://h", Path: "a", Insecure: true}, "wss://h/a", "https://h/a",
			"http://h/a"},
		{Entity{Endpoint: "http://[::1]:80", Path: "a"}, "ws://[::1]:80/a", "http://[::1]:80/a",
			"http://[::1]/a"},
		{e: Entity{Endpoint: "ftp://h", Path: "a"}},
		{e: Entity{Endpoint: "sb://h/x", Path: "a"}},
		{e: Entity{Endpoint: "sb://u@h", Path: "a"}},
		{e: Entity{Endpoint: "sb://h?x", Path: "a"}},
		{e: Entity{Endpoint: "sb://", Path: "a"}},
		{e: Entity{Endpoint: "sb://h"}},
		{e: Entity{Endpoint: "sb://h", Path: "/a"}},
	} {
		base, err := tt.e.base()
		if tt.base == "" {
			_, dialErr := (&Dialer{Entity: tt.e}).Dial(t.Context())
			_, listenErr := Listen(t.Context(), Options{Entity: tt.e})
			_, transportErr := tt.e.Transport()
			for _, err := range []error{err, dialErr, listenErr, transportErr} {
				if !errors.Is(err, ErrEntity) {
					t.Errorf("%+v: %v", tt.e, err)
				}
			}
			if u := tt.e.URL(""); u != "" {
				t.Errorf("%+v: URL %q", tt.e, u)
			}
			continue
		}
		if err != nil || base.String() != tt.base || tt.e.URL("") != tt.url ||
			tt.e.URL("x?y") != tt.url+"/x?y" || tt.e.URL("?y") != tt.url+"?y" ||
			audience(base) != tt.audience {
			t.Errorf("%+v: %v, %v, %q, %q", tt.e, base, err, tt.e.URL(""), audience(base))
		}
	}
}

func TestLeg(t *testing.T) {
	e := Entity{Endpoint: "h", Path: "a b"}
	base, _ := e.base()
	for suffix, want := range map[string]string{
		"":           "wss://h/$hc/a%20b?sb-hc-action=connect&sb-hc-id=i",
		"/x%2Fy?z=1": "wss://h/$hc/a%20b/x%2Fy?z=1&sb-hc-action=connect&sb-hc-id=i",
		"x":          "wss://h/$hc/a%20b/x?sb-hc-action=connect&sb-hc-id=i",
		"?z":         "wss://h/$hc/a%20b?z&sb-hc-action=connect&sb-hc-id=i",
		"%zz":        "", "x#y": "", "?x#": "",
	} {
		u, err := leg(base, suffix, "connect", "i")
		if want == "" && !errors.Is(err, ErrEntity) || want != "" && (err != nil || u.String() != want) {
			t.Errorf("%q: %v, %v", suffix, u, err)
		}
	}
}

func TestParseConnectionString(t *testing.T) {
	const secret = "5ecret="
	for text, want := range map[string]string{
		"Endpoint=sb://h:1/;SharedAccessKeyName=n;SharedAccessKey=" + secret +
			";EntityPath=e": "sb://h:1 e key of rule n",
		"Endpoint=sb://h/;SharedAccessSignature=" + secret: "sb://h p fixed token",
		"Endpoint=sb://h/;EntityPath=e":                    "sb://h e <nil>",
		"Endpoint=sb://h/;Authentication=Managed Identity": "",
		"Endpoint=sb://h/;SharedAccessKey=" + secret:       "",
	} {
		path := ""
		if !strings.Contains(text, "EntityPath") {
			path = "p"
		}
		e, err := ParseConnectionString(text, path)
		if got := fmt.Sprint(e.Endpoint, " ", e.Path, " ", e.Token); want != "" &&
			(err != nil || got != want) || want == "" && !errors.Is(err, sas.ErrConnectionString) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
		if all := fmt.Sprintf("%v %+v %#v %v", e, e, e, err); strings.Contains(all, "5ecret") {
			t.Errorf("%s: printed as %s", text, all)
		}
	}
	const whole = "Endpoint=sb://h/;EntityPath=e"
	if e, err := ParseConnectionString(whole, "other"); err != nil || e.Path != "other" {
		t.Errorf("override: %+v, %v", e, err)
	}
	if _, err := ParseConnectionString("Endpoint=sb://h/", ""); !errors.Is(err, ErrEntity) {
		t.Errorf("no path: %v", err)
	}
}

func TestHandshakeError(t *testing.T) {
	for _, tt := range []struct {
		status, id string
		want       HandshakeError
		text       string
	}{
		{"404 Not here. TrackingId:a-b_G1, SystemTracker:x", "a-b_G1",
			HandshakeError{404, "Not here. TrackingId:a-b_G1, SystemTracker:x", "a-b_G1"},
			"handshake refused: 404 Not here. TrackingId:a-b_G1, SystemTracker:x"},
		{"404 Not here. TrackingId:a-b_G1, SystemTracker:x", "",
			HandshakeError{404, "Not here. TrackingId:a-b_G1, SystemTracker:x", "a-b_G1"},
			"handshake refused: 404 Not here. TrackingId:a-b_G1, SystemTracker:x"},
		{"503 no", "x\ny", HandshakeError{503, "no", ""}, "handshake refused: 503 no"},
		{"503 no", "id", HandshakeError{503, "no", "id"}, "handshake refused: 503 no. TrackingId:id"},
		{"401", "", HandshakeError{401, "Unauthorized", ""}, "handshake refused: 401 Unauthorized"},
		{"400 a\x1b[2J", "", HandshakeError{400, "a?[2J", ""}, "handshake refused: 400 a?[2J"},
	} {
		var code int
		_, _ = fmt.Sscan(tt.status, &code)
		res := &http.Response{Status: tt.status, StatusCode: code, Header: http.Header{}}
		if tt.id != "" {
			res.Header.Set("TrackingId", tt.id)
		}
		if got := handshakeError(res); *got != tt.want || got.Error() != tt.text {
			t.Errorf("%q: %+v, %v", tt.status, got, got)
		}
	}
}
