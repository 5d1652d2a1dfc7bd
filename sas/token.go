package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

const (
	// TokenMax is the longest token that Parse reads, in bytes; beyond it
	// the token is ErrTokenSize. Tokens of the clients on record take 150 to
	// 400 bytes; the bound keeps a flood of renewals cheap.
	TokenMax = 8192

	scheme = "SharedAccessSignature"

	// expiryMax is the last second of the year 9999. A later se means the
	// same: never. The bound keeps arithmetic on times from wrapping.
	expiryMax = 253402300799
)

// Token is a parsed token. It says what the client claims; nothing in it is
// true until SignedBy says so.
type Token struct {
	// KeyName is the name of the rule whose key signed, decoded.
	KeyName string
	// Resource is the signed address exactly as sent, escapes and all. See
	// ParseAudience.
	Resource string
	// Expiry is the end of the token's life, in UTC, without any skew.
	Expiry time.Time

	expiryText string // se as sent; it is part of the signed message
	signature  [sha256.Size]byte
	signed     bool // signature holds 32 decoded bytes
}

// Parse splits a token into its fields.
//
//	Shape:  SharedAccessSignature SP pair *("&" pair), with the pairs sr, sig,
//	        se and skn in any order. The word and the names fold case, empty
//	        pairs and unknown names are skipped, values run from the first
//	        "=" to the next "&" and are form-decoded, except that sr is kept.
//	Errors: wrap ErrMalformed. A signature that is not base64 of 32 bytes is
//	        no error of form; no key has signed it. A known field that occurs
//	        twice is an error: a credential must not be read in two ways.
//	Owner:  the strings of the Token may share memory with text.
//	Source: docs/protocol.md, sections 6.2 and 6.4.
func Parse(text string) (Token, error) {
	if len(text) > TokenMax {
		return Token{}, ErrTokenSize
	}
	const n = len(scheme)
	if len(text) <= n || text[n] != ' ' || !ascii.EqualFold(text[:n], scheme) {
		return Token{}, ErrScheme
	}
	var sr, sig, se, skn string
	for pair := range strings.SplitSeq(text[n+1:], "&") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		var field *string
		switch {
		case ascii.EqualFold(name, "sr"):
			field = &sr
		case ascii.EqualFold(name, "sig"):
			field = &sig
		case ascii.EqualFold(name, "se"):
			field = &se
		case ascii.EqualFold(name, "skn"):
			field = &skn
		default:
			continue
		}
		if !ok || value == "" || *field != "" {
			return Token{}, ErrField
		}
		*field = value
	}
	if sr == "" || sig == "" || se == "" || skn == "" {
		return Token{}, ErrFieldMissing
	}
	return newToken(sr, sig, se, skn)
}

// newToken decodes the fields of a token, all present.
func newToken(sr, sig, se, skn string) (Token, error) {
	t := Token{Resource: sr, expiryText: se}
	seconds, ok := parseSeconds(se)
	if !ok {
		return Token{}, ErrExpiry
	}
	t.Expiry = time.Unix(seconds, 0).UTC()
	var err error
	if t.KeyName, err = url.QueryUnescape(skn); err != nil {
		return Token{}, ErrEscape
	}
	if sig, err = url.QueryUnescape(sig); err != nil {
		return Token{}, ErrEscape
	}
	t.signed = decodeSignature(&t.signature, sig)
	return t, nil
}

// parseSeconds reads a decimal number and stops at expiryMax.
func parseSeconds(text string) (seconds int64, ok bool) {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		seconds = min(seconds*10+int64(text[i]-'0'), expiryMax)
	}
	return seconds, true
}

// decodeSignature reads base64 with or without its padding. A blank stands for
// a plus sign: form decoding makes one of a "+" that was sent bare.
func decodeSignature(dst *[sha256.Size]byte, text string) bool {
	text = strings.TrimRight(strings.ReplaceAll(text, " ", "+"), "=")
	raw := base64.RawStdEncoding
	if raw.DecodedLen(len(text)) != sha256.Size {
		return false
	}
	var decoded [sha256.Size]byte
	n, err := raw.Decode(decoded[:], []byte(text))
	*dst = decoded
	return err == nil && n == sha256.Size
}

// SignedBy says whether key made the signature of t. The comparison takes the
// same time wherever the two differ. The empty key signs nothing.
//
//	Shape:  key is the text that users see, not base64-decoded.
//	Cost:   one HMAC-SHA256 over sr and se as they were sent.
//	Source: docs/protocol.md, section 6.3.
func (t Token) SignedBy(key string) bool {
	if !t.signed || key == "" {
		return false
	}
	sum := signature(t.Resource, t.expiryText, key)
	return hmac.Equal(sum[:], t.signature[:])
}

// String describes t without its signature.
func (t Token) String() string {
	return "SAS token of rule " + strconv.Quote(t.KeyName) + " for " +
		strconv.Quote(t.Resource) + " until " + t.Expiry.Format(time.RFC3339)
}

// GoString is String, so that %#v does not print the signature either.
func (t Token) GoString() string { return t.String() }

// Sign writes a token.
//
//	Shape:  resource is the plain URI to sign for, http://{host}/{path} by
//	        custom; whatever lies below it is covered too. expiry is cut to
//	        whole seconds.
//	Source: docs/protocol.md, section 6.3.
func Sign(resource, keyName, key string, expiry time.Time) string {
	sr := url.QueryEscape(resource)
	se := strconv.FormatInt(max(expiry.Unix(), 0), 10)
	sum := signature(sr, se, key)
	sig := base64.StdEncoding.EncodeToString(sum[:])
	return scheme + " sr=" + sr + "&sig=" + url.QueryEscape(sig) +
		"&se=" + se + "&skn=" + url.QueryEscape(keyName)
}

// signature is the HMAC that both sides compute.
func signature(sr, se, key string) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(sr + "\n" + se))
	mac.Sum(sum[:0])
	return sum
}
