package relayclient

import (
	"context"
	"time"

	"github.com/relayhouse/relayhouse/sas"
)

// TokenLife is how long the tokens of Key are good: the hour of all clients.
const TokenLife = time.Hour

// TokenSource makes tokens. It must be safe for use by many goroutines; errors
// must not quote secrets, for they are passed on.
type TokenSource interface {
	// Token returns a token for an audience, http://{host}/{path}, as it goes
	// into a header, and when it expires. With the zero time a listener does
	// not renew it. Senders call it for each connection and HTTP request.
	Token(ctx context.Context, audience string) (token string, expiry time.Time, err error)
}

// TokenFunc is a function as a TokenSource.
type TokenFunc func(ctx context.Context, audience string) (string, time.Time, error)

// Token calls f.
func (f TokenFunc) Token(ctx context.Context, audience string) (string, time.Time, error) {
	return f(ctx, audience)
}

// Key signs tokens with the key of an authorization rule, good for TokenLife.
func Key(name, key string) TokenSource { return &keySource{name, key} }

// Fixed is a ready token, such as the SharedAccessSignature of a connection
// string. A listener is lost when it expires.
func Fixed(token string) TokenSource { return &fixedSource{token} }

type keySource struct{ name, key string }

func (s *keySource) Token(_ context.Context, audience string) (string, time.Time, error) {
	expiry := time.Now().Add(TokenLife)
	return sas.Sign(audience, s.name, s.key, expiry), expiry, nil
}

// String does not show the key, and GoString neither.
func (s *keySource) String() string   { return "key of rule " + s.name }
func (s *keySource) GoString() string { return s.String() }

type fixedSource struct{ token string }

func (s *fixedSource) Token(context.Context, string) (string, time.Time, error) {
	return s.token, time.Time{}, nil
}

// String does not show the token, and GoString neither.
func (s *fixedSource) String() string   { return "fixed token" }
func (s *fixedSource) GoString() string { return s.String() }
