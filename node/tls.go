package node

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/engine"
)

// tls reads the certificates and says how the engine shall end TLS.
//
//	Errors: a *config.Error that names the file.
func (n *Node) tls() (*engine.TLS, error) {
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
		return nil, certificateError(err)
	}
	return &engine.TLS{
		Config:           n.certificates.Config(),
		HandshakeTimeout: t.HandshakeTimeout,
		HandshakesMax:    t.HandshakesMax,
		Workers:          t.HandshakeWorkers,
		OwnRecords:       t.RecordLayer == "own",
	}, nil
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
