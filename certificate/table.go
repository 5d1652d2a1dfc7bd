package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"strings"
	"time"
)

// table is the certificates of one reading of the files. It does not change.
type table struct {
	all    []*entry            // In the order of the settings.
	byName map[string][]*entry // Keys as normalName has them, and *.example.com.
	config *tls.Config         // With the authorities of clients.
	digest [32]byte            // Of what was read.
}

// entry is one certificate. Its Leaf is never nil.
type entry struct {
	*tls.Certificate
	source string // The file, or what made it.
}

func newTable(entries []*entry) *table {
	t := &table{all: entries, byName: make(map[string][]*entry)}
	for _, e := range entries {
		for _, name := range namesOf(e.Leaf) {
			name = normalName(name)
			t.byName[name] = append(t.byName[name], e)
		}
	}
	return t
}

// namesOf returns what a certificate says it is for: hosts, then addresses.
func namesOf(leaf *x509.Certificate) []string {
	names := append([]string(nil), leaf.DNSNames...)
	for _, address := range leaf.IPAddresses {
		names = append(names, address.String())
	}
	return names
}

// normalName brings host names and addresses into one form. Addresses are not
// allowed as server names (RFC 6066, section 3), but some clients send them,
// even in brackets.
func normalName(name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	literal := strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if address, err := netip.ParseAddr(literal); err == nil {
		return address.Unmap().WithZone("").String()
	}
	return name
}

// match returns the certificates for a name in normal form: those that say it,
// or else those with a wildcard in place of its first label.
func (t *table) match(name string) []*entry {
	if found := t.byName[name]; len(found) > 0 || name == "" {
		return found
	}
	if _, parent, ok := strings.Cut(name, "."); ok {
		return t.byName["*."+parent]
	}
	return nil
}

// choose returns the first of all that the client supports and that has not
// expired; or one that it supports at least; or the first, for which the
// handshake fails with the right alert. Nil when there are none.
func choose(hello *tls.ClientHelloInfo, all []*entry, now time.Time) *tls.Certificate {
	if len(all) == 0 {
		return nil
	}
	if len(all) == 1 {
		return all[0].Certificate
	}
	// The name has been looked at; SupportsCertificate would do so again, and
	// more strictly than a client that sends no name or an address.
	nameless := *hello
	nameless.ServerName = ""
	var best *tls.Certificate
	for _, e := range all {
		if nameless.SupportsCertificate(e.Certificate) != nil {
			continue
		}
		if now.Before(e.Leaf.NotAfter) {
			return e.Certificate
		}
		if best == nil {
			best = e.Certificate
		}
	}
	if best == nil {
		best = all[0].Certificate
	}
	return best
}
