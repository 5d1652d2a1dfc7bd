package sas

import (
	"errors"
	"fmt"
)

// The errors of this package. None quotes its input, which holds secrets.
var (
	// ErrMalformed is wrapped by every error of Parse and ParseAudience.
	ErrMalformed = errors.New("malformed token")
	// ErrScheme: the text does not start with "SharedAccessSignature ". It
	// may be a token of another kind.
	ErrScheme = malformed("want SharedAccessSignature and one blank")
	// ErrTokenSize: the token is longer than TokenMax.
	ErrTokenSize = malformed("longer than 8192 bytes")
	// ErrField: a pair without "=", or a known field that occurs twice.
	ErrField = malformed("a field is repeated or has no value")
	// ErrFieldMissing: one of sr, sig, se, skn is missing or empty.
	ErrFieldMissing = malformed("want all of sr, sig, se, skn")
	// ErrExpiry: se is not a decimal number of seconds.
	ErrExpiry = malformed("se is not a decimal number")
	// ErrEscape: a percent escape is broken.
	ErrEscape = malformed("broken percent escape")
	// ErrAudience: sr holds no host.
	ErrAudience = malformed("sr names no host")

	// ErrRight: no right has that name.
	ErrRight = errors.New("want Listen, Send or Manage")

	// ErrConnectionString is wrapped by every error of
	// ParseConnectionString.
	ErrConnectionString = errors.New("malformed connection string")
)

func malformed(why string) error { return fmt.Errorf("%w: %s", ErrMalformed, why) }
