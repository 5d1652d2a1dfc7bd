package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// challengeProtocol is the ALPN protocol of a challenge (RFC 8737, section 6.2).
const challengeProtocol = acmez.ACMETLS1Protocol

// ACME says what is obtained from an authority that speaks ACME (RFC 8555), by
// the challenge tls-alpn-01 (RFC 8737) on the port of the store. Whoever sets
// it agrees to the authority's terms.
type ACME struct {
	Domains   []string // Host names; no wildcards, which the challenge cannot prove.
	Email     string   // Where the authority writes to; may be empty.
	Directory string   // URL of the authority; empty for Let's Encrypt.
	CA        string   // PEM file to trust the directory by; empty for the system's.
	Storage   string   // Directory of account, keys and certificates.
}

// obtained is the certificates of ACME. certmagic obtains and renews them; it
// is asked for them name by name, so that strangers' handshakes cost it nothing.
type obtained struct {
	// Fixed after newObtained.
	ACME
	roots *x509.CertPool // nil for the system's
	log   *slog.Logger

	cache *certmagic.Cache // nil before start

	mu       sync.Mutex
	problems map[string]string // Guarded by mu; by domain, the last failure.

	once sync.Once
	end  context.CancelFunc // nil before start
}

func newObtained(o ACME, log *slog.Logger) (*obtained, error) {
	a := &obtained{ACME: o, log: log, problems: make(map[string]string)}
	a.Domains = nil
	for _, name := range o.Domains {
		a.Domains = append(a.Domains, normalName(name))
	}
	if o.CA != "" {
		b, _, err := readFile(o.CA)
		if err != nil {
			return nil, err
		}
		if a.roots, err = authorities(o.CA, b); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(o.Storage, 0o700); err != nil {
		return nil, wrong(o.Storage, "cannot be made: %v", cause(err))
	}
	return a, nil
}

// start obtains in the background what is not in the storage, and renews it,
// until stop. Failures are logged and tried again, by certmagic.
//
// certmagic tries to open the address of a challenge and takes it for good that
// somebody listens there already: so it is given the address of the port, which
// is open. Challenges are answered by answer.
func (a *obtained) start(address string) error {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address of challenges: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("address of challenges: %w", err)
	}
	logger := zap.New(logCore{a.log})
	var config *certmagic.Config
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			return config, nil
		},
		Logger: logger,
	})
	config = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: a.Storage},
		OCSP:    certmagic.OCSPConfig{DisableStapling: true},
		OnEvent: a.happened,
		Logger:  logger,
	})
	config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(config, certmagic.ACMEIssuer{
		CA: a.Directory, Email: a.Email, Agreed: true, TrustedRoots: a.roots,
		DisableHTTPChallenge: true, DisableDistributedSolvers: true,
		ListenHost: host, AltTLSALPNPort: port, Logger: logger,
	})}
	ctx, cancel := context.WithCancel(context.Background())
	a.end = cancel
	return config.ManageAsync(ctx, a.Domains)
}

// stop ends what start began, once.
func (a *obtained) stop() {
	if a.end == nil {
		return
	}
	a.once.Do(func() {
		a.end()
		a.cache.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		certmagic.CleanUpOwnLocks(ctx, zap.New(logCore{a.log}))
	})
}

// happened hears of certmagic's work.
func (a *obtained) happened(_ context.Context, event string, data map[string]any) error {
	name, _ := data["identifier"].(string)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch event {
	case "cert_obtained":
		delete(a.problems, name)
		a.log.Info("certificate obtained", slog.String("name", name))
	case "cert_failed":
		if slices.Contains(a.Domains, name) {
			a.problems[name] = fmt.Sprint(data["error"])
		}
	}
	return nil
}

// isChallenge tells whether the client is an authority that looks whether the
// name is ours.
func isChallenge(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol
}

var errNoChallenge = errors.New("no ACME challenge is in progress for this name")

// answer returns the certificate that proves that the name is ours.
func (a *obtained) answer(name string) (*tls.Certificate, error) {
	if a == nil || !slices.Contains(a.Domains, name) {
		return nil, errNoChallenge
	}
	challenge, ok := certmagic.GetACMEChallenge(name)
	if !ok || challenge.Type != acme.ChallengeTypeTLSALPN01 {
		return nil, errNoChallenge
	}
	return acmez.TLSALPN01ChallengeCert(challenge.Challenge)
}

// match returns what has been obtained for a name in normal form.
func (a *obtained) match(name string) []*entry {
	if a == nil || a.cache == nil || !slices.Contains(a.Domains, name) {
		return nil
	}
	var found []*entry
	for _, c := range a.cache.AllMatchingCertificates(name) {
		if c.Leaf != nil {
			found = append(found, &entry{&c.Certificate, "acme"})
		}
	}
	return found
}

// all returns what has been obtained, in the order of the domains.
func (a *obtained) all() []*entry {
	if a == nil {
		return nil
	}
	var found []*entry
	for _, name := range a.Domains {
		found = append(found, a.match(name)...)
	}
	return found
}

// status has an entry for each certificate, or else for each domain.
func (a *obtained) status() []Status {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Status
	for _, name := range a.Domains {
		found := a.match(name)
		for _, e := range found {
			s := statusOf(e.Leaf, e.source)
			s.Problem = a.problems[name]
			all = append(all, s)
		}
		if len(found) == 0 {
			problem := a.problems[name]
			if problem == "" {
				problem = "not obtained yet"
			}
			all = append(all, Status{Names: []string{name}, Source: "acme", Problem: problem})
		}
	}
	return all
}
