package management

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
)

const (
	// tokensBytesMax bounds the tokens file; with a longer one nobody gets in.
	tokensBytesMax = 64 << 10
	// bearerBytesMax bounds the token of a request; a longer one is wrong.
	bearerBytesMax = 4096
	// defaultClient is the name of a line that is a token and nothing else.
	defaultClient = "management"
	realm         = `Bearer realm="relayhouse"`
)

// client is who asks.
type client struct {
	name   string
	reader bool // may read what holds no keys
}

// token is a line of the tokens file.
type token struct {
	sum [sha256.Size]byte
	client
}

// authenticate finds the client of a request by its bearer token.
//
//	Errors: *fault 401 without a token that is in the file; 503 if the file
//	        cannot be read.
//	Cost:   a read of the file and a SHA-256. All tokens are compared, each in
//	        the same time wherever it differs.
func (c *call) authenticate() (client, error) {
	tokens, err := c.readTokens()
	if err != nil {
		c.problems.warn(c.log, "management tokens cannot be read", slog.Any("error", err))
		return client{}, faultUnavailable("The tokens of the management API cannot be read.")
	}
	headers := c.r.Header.Values("Authorization")
	if len(headers) == 0 {
		return client{}, c.unauthenticated("Authentication failed. The 'Authorization' header "+
			"is missing.", realm)
	}
	scheme, text, _ := strings.Cut(headers[0], " ")
	text = strings.Trim(text, " ")
	if len(headers) > 1 || !equalFold(scheme, "Bearer") || text == "" ||
		len(text) > bearerBytesMax {
		return client{}, c.unauthenticated("Authentication failed. The 'Authorization' header "+
			"is provided in an invalid format; want 'Bearer TOKEN'.", realm+`, error="invalid_token"`)
	}
	sum := sha256.Sum256([]byte(text))
	var found *client
	for i := range tokens {
		if subtle.ConstantTimeCompare(sum[:], tokens[i].sum[:]) == 1 && found == nil {
			found = &tokens[i].client
		}
	}
	if found == nil {
		return client{}, c.unauthenticated("The access token is invalid.",
			realm+`, error="invalid_token", error_description="The access token is invalid"`)
	}
	return *found, nil
}

// unauthenticated refuses a stranger and says so in the log, now and then.
func (c *call) unauthenticated(message, challenge string) *fault {
	c.failures.warn(c.log, "management request without a valid token",
		slog.String("address", c.r.RemoteAddr), slog.String("reason", message),
		slog.String("correlation_id", c.correlationID))
	return newFault(http.StatusUnauthorized, codeToken, "%s", message).
		with(headerAuthenticate, challenge)
}

// authorize says whether the client may do what it asks for.
func (c *call) authorize() error {
	if !c.client.reader || c.action.readers {
		return nil
	}
	return newFault(http.StatusForbidden, codeNotAuthorized, "The client '%s' does not have "+
		"authorization to perform action '%s' over scope '%s'.",
		shown(c.client.name), c.action.operation, shown(c.r.URL.Path))
}

// readTokens reads the tokens file. Lines that cannot be read are left out and
// logged by their numbers, never by their content.
func (c *call) readTokens() ([]token, error) {
	file, err := os.Open(c.o.TokensFile)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text, err := io.ReadAll(io.LimitReader(file, tokensBytesMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > tokensBytesMax {
		return nil, fmt.Errorf("%s is longer than %d bytes", c.o.TokensFile, tokensBytesMax)
	}
	tokens, wrong := parseTokens(string(text))
	if len(wrong) > 0 {
		c.problems.warn(c.log, "management tokens with errors are left out",
			slog.String("file", c.o.TokensFile), slog.Any("lines", wrong))
	}
	return tokens, nil
}

// parseTokens reads lines of NAME TOKEN [ROLE], NAME sha256:HEX [ROLE] or
// TOKEN, and returns the numbers of those that are none of these.
func parseTokens(text string) (tokens []token, wrong []int) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		for i, word := range words {
			if word[0] == '#' {
				words = words[:i]
				break
			}
		}
		if len(words) == 0 {
			continue
		}
		t, ok := parseToken(words)
		if !ok {
			wrong = append(wrong, number)
			continue
		}
		tokens = append(tokens, t)
	}
	return tokens, wrong
}

func parseToken(words []string) (token, bool) {
	t := token{client: client{name: defaultClient}}
	secret := words[0]
	if len(words) > 1 {
		t.name, secret = words[0], words[1]
	}
	if len(words) > 2 {
		switch words[2] {
		case "owner":
		case "reader":
			t.reader = true
		default:
			return token{}, false
		}
	}
	if len(words) > 3 || len(secret) > bearerBytesMax {
		return token{}, false
	}
	if digits, ok := strings.CutPrefix(secret, "sha256:"); ok {
		sum, err := hex.DecodeString(digits)
		copy(t.sum[:], sum)
		return t, err == nil && len(sum) == len(t.sum)
	}
	t.sum = sha256.Sum256([]byte(secret))
	return t, true
}
