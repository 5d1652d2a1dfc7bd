package config

import (
	"crypto/tls"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/relayhouse/relayhouse/namespace"
)

// Config is the settings of one node. What each means, its default and its
// range stand in settings.go.
type Config struct {
	Listen        Listen
	TLS           TLS
	ProxyProtocol ProxyProtocol
	Admin         Admin
	Management    Management
	Store         Store
	Gateway       Gateway
	Relay         Relay
	HTTP          HTTP
	Limits        Limits
	Engine        Engine
	TCP           TCP
	Drain         Drain
	Restart       Restart
	Log           Log

	// Namespaces are those that stand in the file of settings itself.
	Namespaces []namespace.Definition
}

// Listen says where clients connect.
type Listen struct {
	HTTP  string
	HTTPS string
}

// ProxyProtocol says which connections begin with a PROXY protocol header.
type ProxyProtocol struct {
	Networks []netip.Prefix
}

// TLS is the certificates of listen.https, and how it shakes hands.
type TLS struct {
	Certificate      string
	Key              string
	ClientAuth       string
	ClientCA         string
	MinVersion       string
	HandshakeTimeout time.Duration
	HandshakesMax    int
	HandshakeWorkers int
	RecordLayer      string
	ACME             ACME

	// Certificates are those of a file, tls.certificates, behind Certificate
	// and Key.
	Certificates []KeyPair
	// Made are certificates that the program has made itself. They come from
	// no setting, and are not printed.
	Made []tls.Certificate
}

// KeyPair names the PEM files of a certificate and its key.
type KeyPair struct{ Certificate, Key string }

// Pairs returns all certificates that are files.
func (t TLS) Pairs() []KeyPair {
	if t.Certificate == "" {
		return t.Certificates
	}
	return append([]KeyPair{{t.Certificate, t.Key}}, t.Certificates...)
}

// ACME is the certificates that an authority gives by itself.
type ACME struct {
	Domains   []string
	Email     string
	Directory string
	CA        string
	Storage   string
	Agree     bool
}

// Admin is the private port.
type Admin struct {
	Listen        string
	ClosedHistory int
}

// Management is the port at which namespaces are changed.
type Management struct {
	Listen      string
	Tokens      string
	AuditLog    string
	Domain      string
	Certificate string
	Key         string

	// AnyPort takes a free port where that of Listen is in use. No setting.
	AnyPort bool
}

// Store says where namespaces come from, beside Config.Namespaces: at most one
// of these, File and Definitions is given.
type Store struct {
	File          string
	MasterKey     string
	Definitions   string
	NamespacesMax int
	EntitiesMax   int

	// Seed is what must be there, beside what File holds: what is missing is
	// made, what is there stays; but entities named in Given get the
	// authorization that Seed says. Memory keeps all of it in memory, without
	// File or where another process has File open. No settings; they are the
	// emulator's.
	Seed   []namespace.Definition
	Given  []string
	Memory bool
}

// Gateway is how the gateway treats listeners and senders.
type Gateway struct {
	ID                             int
	AdvertisedURL                  string
	AdvertisedScheme               string
	RendezvousWindow               time.Duration
	ListenersMax                   int
	PendingMax                     int
	TokenSkew                      time.Duration
	TokenCache                     int
	ListenerPing                   time.Duration
	ListenerPingGrace              time.Duration
	ForbiddenStatusForMissingClaim int
	UnprefixedReject               bool
	ConnectionsMax                 int
	FailureRate                    int
	FailureBurst                   int
	FailureDelay                   time.Duration
	FailureHeldMax                 int
}

// Relay is when relayed connections end.
type Relay struct {
	HalfIdle  time.Duration
	SendStall time.Duration
	Linger    time.Duration
}

// HTTP is how plain HTTP requests are relayed.
type HTTP struct {
	ResponseTimeout  time.Duration
	BodyGap          time.Duration
	Keepalive        time.Duration
	CollectTime      time.Duration
	BodyMemory       int64
	Forwarded        string
	TrustedProxies   []netip.Prefix
	RequestTarget    string
	NoListenerStatus int
	KeyParameters    bool
}

// Limits bounds memory, in bytes, and time.
type Limits struct {
	HeadBytes      int
	HeadTimeout    time.Duration
	HeadMemory     int64
	ControlMessage int
	ControlQueue   int
	LeftoverMemory int64
}

// Engine is the event loops.
type Engine struct {
	Loops      int
	ReadBuffer int
	TurnBytes  int
	Tick       time.Duration
}

// TCP is the options of client connections.
type TCP struct {
	Keepalive     time.Duration
	UserTimeout   time.Duration
	SendBuffer    int
	ReceiveBuffer int
	Backlog       int
}

// Drain is how a node stops.
type Drain struct {
	Delay   time.Duration
	Spread  time.Duration
	Timeout time.Duration
}

// Restart is how another process takes this one's place.
type Restart struct {
	Socket       string
	ReadyTimeout time.Duration
	Hold         time.Duration
}

// Log is what is written to standard error.
type Log struct {
	Level  string
	Format string
}

// Default returns the settings of a node that is told nothing. It has no
// namespace.
func Default() Config {
	var c Config
	for _, s := range c.settings() {
		s.set(s.def)
	}
	return c
}

// Validate checks every setting and the namespaces.
//
//	Errors: all that is wrong, joined; each is an *Error.
func (c Config) Validate() error {
	var errs []error
	for _, s := range c.settings() {
		if !s.valid() {
			errs = append(errs, s.wrong(s.get(), ""))
		}
	}
	errs = append(errs, c.validateTogether(len(c.TLS.Made) > 0)...)
	for _, err := range validateNamespaces(c.Namespaces, samePath) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// validateTogether checks what one setting asks of another; made says that the
// program has a certificate for TLS.
func (c *Config) validateTogether(made bool) []error {
	var w wants
	if c.Listen.HTTPS == "" {
		w.want(c.Listen.HTTP != "", "listen.http",
			"want host:port, here or at listen.https; without it nothing listens")
	} else {
		c.TLS.validate(&w)
		w.want(made || c.TLS.given(), "listen.https", "want a certificate: "+
			"set tls.certificate and tls.key, tls.certificates, or tls.acme.domains")
	}
	if c.Management.Listen != "" {
		if c.Listen.HTTPS == "" && c.Management.Certificate == "" {
			c.TLS.validate(&w)
		}
		c.Management.validate(&w, made || c.TLS.given())
	}
	c.Store.validate(&w, len(c.Namespaces) > 0)
	return w
}

// wants are the errors of settings that do not go together.
type wants []error

func (w *wants) want(ok bool, path, text string) {
	if !ok {
		*w = append(*w, &Error{Path: path, Text: text})
	}
}

// given says whether there is a certificate, or a part of one.
func (t *TLS) given() bool { return len(t.Pairs())+len(t.ACME.Domains) > 0 || t.Key != "" }

func (t *TLS) validate(w *wants) {
	w.want(t.Certificate == "" || t.Key != "", "tls.key",
		"want the file of the key that belongs to tls.certificate, got nothing")
	w.want(t.Key == "" || t.Certificate != "", "tls.certificate",
		"want the file of the certificate that belongs to tls.key, got nothing")
	w.want(t.ClientAuth == "off" || t.ClientCA != "", "tls.client_ca",
		"want the authorities of clients, for tls.client_auth: "+t.ClientAuth)
	w.want(t.ClientAuth != "off" || t.ClientCA == "", "tls.client_auth",
		"want request or require beside tls.client_ca, got off")
	if len(t.ACME.Domains) > 0 {
		w.want(t.ACME.Agree, "tls.acme.agree",
			"want true, by which you agree to the terms of the authority, got false")
		w.want(t.ACME.Storage != "", "tls.acme.storage", "want a directory, got nothing")
	}
}

// validate checks a Management that listens; served says that tls has a
// certificate.
func (m *Management) validate(w *wants, served bool) {
	w.want(m.Tokens != "", "management.tokens",
		"want a file that says who may use management.listen, got nothing")
	w.want(m.Certificate == "" || m.Key != "", "management.key",
		"want the file of the key that belongs to management.certificate, got nothing")
	w.want(m.Key == "" || m.Certificate != "", "management.certificate",
		"want the file of the certificate that belongs to management.key, got nothing")
	w.want(served || m.Certificate != "" || m.Key != "", "management.listen",
		"want a certificate: set management.certificate and management.key, or those of tls")
}

// validate checks that namespaces come from one place; inline says that they
// stand in the file of settings.
func (s *Store) validate(w *wants, inline bool) {
	const instead = "; take them into store.file with relayctl import"
	w.want(!inline || s.Definitions == "", "store.definitions",
		"want nothing beside namespaces in the file of settings; put them all into one file")
	w.want(!inline || s.File == "", "store.file",
		"want nothing beside namespaces in the file of settings"+instead)
	w.want(s.Definitions == "" || s.File == "", "store.file",
		"want nothing beside store.definitions"+instead)
	w.want(s.MasterKey == "" || s.File != "", "store.file",
		"want the file whose keys store.master_key encrypts, got nothing")
}

// Error is one thing wrong with one setting.
type Error struct {
	Path   string // Of the setting, such as gateway.rendezvous_window.
	Text   string // What is wrong and what would be right; no keys.
	Source string // Where it was found: file:line, variable or flag. May be empty.
}

// Error returns one line: path, text, source.
func (e *Error) Error() string {
	line := oneLine(e.Text)
	if e.Path != "" {
		line = oneLine(e.Path) + ": " + line
	}
	if e.Source != "" {
		line += " (" + e.Source + ")"
	}
	return line
}

// oneLine cuts what a file holds down to what fits into a message.
func oneLine(text string) string {
	const bytesMax = 400
	if len(text) > bytesMax {
		text = text[:bytesMax] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
