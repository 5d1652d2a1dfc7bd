package config

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/relayhouse/relayhouse/namespace"
)

// Config is the settings of one node. What each means, its default and its
// range stand in settings.go.
type Config struct {
	Listen     Listen
	Admin      Admin
	Gateway    Gateway
	Relay      Relay
	HTTP       HTTP
	Limits     Limits
	Engine     Engine
	TCP        TCP
	Drain      Drain
	Restart    Restart
	Log        Log
	Namespaces []namespace.Definition
}

// Listen says where clients connect.
type Listen struct {
	HTTP  string
	HTTPS string
}

// Admin is the private port.
type Admin struct {
	Listen        string
	ClosedHistory int
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
	Keepalive   time.Duration
	UserTimeout time.Duration
	Backlog     int
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
	errs = append(errs, c.validateListen()...)
	for _, err := range validateNamespaces(c.Namespaces, samePath) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// validateListen checks that there is an address, and one that this build can
// serve.
func (c *Config) validateListen() []error {
	switch {
	case c.Listen.HTTPS != "":
		return []error{&Error{
			Path: "listen.https",
			Text: "not yet: TLS is not part of this build; " +
				"terminate TLS in front and use listen.http",
		}}
	case c.Listen.HTTP == "":
		return []error{&Error{
			Path: "listen.http", Text: "want host:port; without it nothing listens",
		}}
	}
	return nil
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
