package node

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/engine"
)

// openCertificates reads the certificates of the section tls, once.
//
//	Errors: a *config.Error that names the file.
func (n *Node) openCertificates() error {
	if n.certificates != nil {
		return nil
	}
	t := n.cfg.TLS
	options := certificate.Options{
		Pairs: pairs(t), Made: t.Made, ClientCA: t.ClientCA,
		ClientAuth: clientAuth(t.ClientAuth), MinVersion: tls.VersionTLS12, Log: n.log,
	}
	if t.MinVersion == "1.3" {
		options.MinVersion = tls.VersionTLS13
	}
	if len(t.ACME.Domains) > 0 {
		options.ACME = &certificate.ACME{
			Domains: t.ACME.Domains, Email: t.ACME.Email, Directory: t.ACME.Directory,
			CA: t.ACME.CA, Storage: t.ACME.Storage,
		}
	}
	var err error
	if n.certificates, err = certificate.New(options); err != nil {
		return certificateError(err)
	}
	return nil
}

// tls says how the engine shall end TLS.
func (n *Node) tls() *engine.TLS {
	t := n.cfg.TLS
	return &engine.TLS{
		Config:           n.certificates.Config(),
		HandshakeTimeout: t.HandshakeTimeout,
		HandshakesMax:    t.HandshakesMax,
		Workers:          t.HandshakeWorkers,
		OwnRecords:       t.RecordLayer == "own",
		NotTLS:           n.gateway.NotTLS,
		Failed:           n.handshakeFailed,
	}
}

func pairs(t config.TLS) []certificate.Pair {
	all := make([]certificate.Pair, 0, len(t.Pairs())) // Not nil: none is an answer too.
	for _, p := range t.Pairs() {
		all = append(all, certificate.Pair{Certificate: p.Certificate, Key: p.Key})
	}
	return all
}

// clientAuth is the value of tls.client_auth.
func clientAuth(text string) tls.ClientAuthType {
	switch text {
	case "request":
		return tls.VerifyClientCertIfGiven
	case "require":
		return tls.RequireAndVerifyClientCert
	}
	return tls.NoClientCert
}

// certificateError says that a file of the section tls is to blame.
func certificateError(err error) error {
	var wrong *certificate.FileError
	if errors.As(err, &wrong) {
		return &config.Error{Path: "tls", Text: wrong.Text, Source: wrong.File}
	}
	return &config.Error{Path: "tls", Text: err.Error()}
}

// certificatesLeft returns what the metric of certificates shows, nil without
// TLS: seconds by first name. Of several with the same, the first to expire
// counts.
func (n *Node) certificatesLeft() func() map[string]float64 {
	if n.certificates == nil {
		return nil
	}
	return func() map[string]float64 {
		left := make(map[string]float64)
		for _, c := range n.certificates.Status() {
			if c.NotAfter.IsZero() {
				continue
			}
			name, seconds := certificate.First(c.Names), time.Until(c.NotAfter).Seconds()
			if other, ok := left[name]; !ok || seconds < other {
				left[name] = seconds
			}
		}
		return left
	}
}

// handshakeFailed writes down why a client could not be served over TLS: at
// debug, because anybody can cause it as often as he likes. The counter
// relay_tls_handshakes_total says how often.
func (n *Node) handshakeFailed(peer netip.AddrPort, err error) {
	n.log.Debug("TLS handshake failed", slog.String("clientAddr", peer.String()),
		slog.String("cause", err.Error()))
}

// kernelTLS says whether the host's kernel can protect records of TLS. The
// gateway makes no use of it yet (docs/adr/0018); operators see it in the status.
func kernelTLS() bool {
	protocols, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_ulp")
	return err == nil && slices.Contains(strings.Fields(string(protocols)), "tls")
}
