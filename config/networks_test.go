package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var twoNetworks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128"),
}

// TestNetworks gives a list in each form that there is.
func TestNetworks(t *testing.T) {
	const flat = "10.0.0.0/8, 2001:db8::1"
	for _, o := range []Options{
		{File: write(t, "c", "http:\n  trusted_proxies: [10.0.0.0/8, \"2001:db8::1\"]\n")},
		{File: write(t, "c", "http:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 2001:db8::1/128\n")},
		{File: write(t, "c", "http:\n  trusted_proxies: "+flat+"\n")},
		{File: write(t, "c", `{"http": {"trusted_proxies": ["10.0.0.0/8", "2001:db8::1"]}}`)},
		{File: write(t, "c", "http:\n  trusted_proxies: 192.0.2.1\n"),
			Env: []string{"RELAYHOUSE_HTTP__TRUSTED_PROXIES=" + flat}},
		{Env: []string{"RELAYHOUSE_HTTP__TRUSTED_PROXIES=192.0.2.1"},
			Flags: map[string]string{"http.trusted_proxies": flat}},
	} {
		c, err := Load(o)
		if err != nil || !slices.Equal(c.HTTP.TrustedProxies, twoNetworks) {
			t.Errorf("%v: %v, %v", o, c.HTTP.TrustedProxies, err)
			continue
		}
		text := printed(t, c)
		if !strings.Contains(text, `  trusted_proxies: ["10.0.0.0/8", "2001:db8::1/128"]`+"\n") ||
			!strings.Contains(text, "proxy_protocol:\n  networks: []\n") {
			t.Errorf("printed %s", text)
		}
		again, err := Load(Options{File: write(t, "c", text)})
		if err != nil || !slices.Equal(again.HTTP.TrustedProxies, twoNetworks) {
			t.Errorf("read back %v, %v", again.HTTP.TrustedProxies, err)
		}
	}
}

// TestNoNetworks: an empty list takes back what an earlier source said.
func TestNoNetworks(t *testing.T) {
	file := write(t, "c", "proxy_protocol:\n  networks: [10.0.0.0/8]\n")
	c, err := Load(Options{File: file, Env: []string{"RELAYHOUSE_PROXY_PROTOCOL__NETWORKS="}})
	if err != nil || len(c.ProxyProtocol.Networks) != 0 {
		t.Errorf("%v, %v", c.ProxyProtocol.Networks, err)
	}
	c, err = Load(Options{File: write(t, "c", "proxy_protocol:\n  networks: []\n")})
	if err != nil || len(c.ProxyProtocol.Networks) != 0 {
		t.Errorf("%v, %v", c.ProxyProtocol.Networks, err)
	}
}

func TestNetworksInvalid(t *testing.T) {
	for _, item := range []string{
		"10.0.0.0/33", "10.0.0.1/8", "10.0.0", "10.0.0.0/8/8", "::ffff:10.0.0.0/104",
		"::ffff:10.0.0.1", "fe80::1%eth0", "2001:db8::1/32", "localhost", "*", "10.0.0.0/08",
	} {
		for _, text := range []string{item, "192.0.2.1," + item, item + ",192.0.2.1"} {
			_, err := Load(Options{Flags: map[string]string{"proxy_protocol.networks": text}})
			want := "proxy_protocol.networks: want up to 256 networks such as 10.0.0.0/8 or addresses, " +
				"or empty, got " + text + " (--proxy-protocol-networks)"
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	for _, text := range []string{"10.0.0.0/8,", ",", "10.0.0.0/8,,192.0.2.1", "10.0.0.0/8 192.0.2.1"} {
		if _, err := Load(Options{Flags: map[string]string{"http.trusted_proxies": text}}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, value := range []string{"[[10.0.0.0/8]]", "[{a: b}]", "{a: b}", `["10.0.0.0/8,::1"]`, `[""]`, ""} {
		file := write(t, "c", "http:\n  trusted_proxies: "+value+"\n")
		if _, err := Load(Options{File: file}); err == nil || !strings.Contains(err.Error(), "want a value") {
			t.Errorf("%s: %v", value, err)
		}
	}
	file := write(t, "c", "listen:\n  http: [\"127.0.0.1:0\"]\n")
	if _, err := Load(Options{File: file}); err == nil || !strings.Contains(err.Error(), "got a list") {
		t.Errorf("a list where a value is due: %v", err)
	}
}

func TestNetworksMax(t *testing.T) {
	var texts []string
	for i := range networksMax + 1 {
		texts = append(texts, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	for n, ok := range map[int]bool{networksMax: true, networksMax + 1: false} {
		text := strings.Join(texts[:n], ",")
		_, err := Load(Options{Flags: map[string]string{"http.trusted_proxies": text}})
		if (err == nil) != ok {
			t.Errorf("%d networks: %.100v", n, err)
		}
	}
}
