package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/internal/leak"
	"github.com/relayhouse/relayhouse/relaytest"
)

func TestMain(m *testing.M) {
	// Most of these tests wait for timers, not for a processor.
	flag.Parse()
	_ = flag.Set("test.parallel", "6")
	leak.Main(m)
}

// wantPhrase checks the parts of a reason phrase.
func wantPhrase(t *testing.T, a relaytest.Answer, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.Phrase, part) {
			t.Errorf("phrase %q, want %q in it", a.Phrase, part)
		}
	}
}

// window sets how long a listener has to accept.
func window(d time.Duration) func(*config.Config) {
	return func(c *config.Config) { c.Gateway.RendezvousWindow = d }
}

// signed is a token whose sr and se stand in it as given. The signature is
// encoded with upper-case escapes.
func signed(rawResource, rule, key, expiry string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(rawResource + "\n" + expiry))
	sig := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	return "SharedAccessSignature sr=" + rawResource + "&sig=" + url.QueryEscape(sig) +
		"&se=" + expiry + "&skn=" + rule
}

// root signs a resource with the root rule for an hour.
func root(rawResource string) string {
	return signed(rawResource, relaytest.RootRule, relaytest.RootKey, inSeconds(3600))
}

// inSeconds is the time in n seconds as tokens have it.
func inSeconds(n int64) string { return strconv.FormatInt(time.Now().Unix()+n, 10) }

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}
