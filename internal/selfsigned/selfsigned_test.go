package selfsigned

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"testing"
)

// A client that trusts the certificate accepts the server under each of its
// names, and no other.
func TestNew(t *testing.T) {
	certificate, key, err := New()
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	public, ok := pair.Leaf.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		t.Errorf("public key %T", pair.Leaf.PublicKey)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(certificate) {
		t.Fatal("not a certificate in PEM")
	}
	for name, good := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "::1": true,
		"127.0.0.2": false, "example.org": false,
	} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
