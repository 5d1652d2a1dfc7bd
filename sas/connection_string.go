package sas

import (
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/internal/ascii"
)

// OperationTimeoutDefault holds when a connection string names none
// (docs/protocol.md, section 6.8).
const OperationTimeoutDefault = 60 * time.Second

// operationTimeoutMax is our own bound, in seconds: a day.
const operationTimeoutMax = 24 * 60 * 60

const managedIdentity = "Managed Identity"

// ConnectionString is what an operator hands to a client: where to connect and
// with which credential. It holds at most one of key, signature and managed
// identity.
type ConnectionString struct {
	// Host is the host[:port] of Endpoint.
	Host string
	// EntityPath is the entity, or empty for the whole namespace.
	EntityPath string
	// KeyName and Key are both set or both empty.
	KeyName, Key string
	// Signature is a ready token.
	Signature string
	// ManagedIdentity: Authentication=Managed Identity.
	ManagedIdentity bool
	// OperationTimeout is 0 when the text names none, else 1 s to 24 h.
	OperationTimeout time.Duration
}

// ParseConnectionString reads "Key=Value;…".
//
//	Shape:  segments are split at ";", then at the first "="; blanks around
//	        them and empty segments are skipped; keys fold case. Endpoint is
//	        required: sb://host[:port][/].
//	Errors: wrap ErrConnectionString. They name segments by number, never by
//	        their text, which may be a part of a key.
//	Source: docs/protocol.md, section 6.8.
func ParseConnectionString(text string) (ConnectionString, error) {
	var c ConnectionString
	var seen [len(connectionKeys)]bool
	number := 0
	for segment := range strings.SplitSeq(text, ";") {
		number++
		if segment = strings.TrimSpace(segment); segment == "" {
			continue
		}
		name, value, ok := strings.Cut(segment, "=")
		if !ok {
			return ConnectionString{}, segmentError(number, "want Key=Value")
		}
		i := connectionKey(name)
		if i < 0 {
			return ConnectionString{}, segmentError(number, "unknown key")
		}
		if seen[i] {
			return ConnectionString{}, segmentError(number, connectionKeys[i].name+" is repeated")
		}
		seen[i] = true
		if why := connectionKeys[i].set(&c, value); why != "" {
			return ConnectionString{}, segmentError(number, connectionKeys[i].name+": "+why)
		}
	}
	if err := c.check(); err != nil {
		return ConnectionString{}, err
	}
	return c, nil
}

// connectionKeys are the known keys; set says what is wrong with a value.
var connectionKeys = [...]struct {
	name string
	set  func(c *ConnectionString, value string) (wrong string)
}{
	{"Endpoint", (*ConnectionString).setEndpoint},
	{"EntityPath", func(c *ConnectionString, v string) string { c.EntityPath = v; return "" }},
	{"SharedAccessKeyName", func(c *ConnectionString, v string) string { c.KeyName = v; return "" }},
	{"SharedAccessKey", func(c *ConnectionString, v string) string { c.Key = v; return "" }},
	{"SharedAccessSignature", func(c *ConnectionString, v string) string {
		c.Signature = v
		return ""
	}},
	{"OperationTimeout", (*ConnectionString).setOperationTimeout},
	{"Authentication", (*ConnectionString).setAuthentication},
}

func connectionKey(name string) int {
	for i := range connectionKeys {
		if ascii.EqualFold(name, connectionKeys[i].name) {
			return i
		}
	}
	return -1
}

func segmentError(number int, why string) error {
	return fmt.Errorf("%w: segment %d: %s", ErrConnectionString, number, why)
}

func (c *ConnectionString) setEndpoint(value string) string {
	const want = "want sb://host[:port]/"
	u, err := url.Parse(value)
	if err != nil || !strings.EqualFold(u.Scheme, "sb") || u.Hostname() == "" ||
		u.User != nil || strings.Trim(u.Path, "/") != "" ||
		u.RawQuery != "" || u.ForceQuery || strings.Contains(value, "#") ||
		strings.Contains(u.Hostname(), ":") != strings.HasPrefix(u.Host, "[") {
		return want
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return want
		}
	}
	c.Host = strings.TrimSuffix(u.Host, ":")
	return ""
}

func (c *ConnectionString) setAuthentication(value string) string {
	if !ascii.EqualFold(value, managedIdentity) {
		return "want " + managedIdentity
	}
	c.ManagedIdentity = true
	return ""
}

// setOperationTimeout reads whole seconds, as Java clients write them, or a
// time span hh:mm:ss[.fraction], as .NET clients do; the fraction is dropped.
func (c *ConnectionString) setOperationTimeout(value string) string {
	const want = "want seconds or hh:mm:ss, 1 s to 24 h"
	parts := strings.Split(value, ":")
	if len(parts) == 3 {
		whole, fraction, _ := strings.Cut(parts[2], ".")
		if strings.Trim(fraction, "0123456789") != "" {
			return want
		}
		parts[2] = whole
	} else if len(parts) != 1 {
		return want
	}
	seconds := 0
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || i > 0 && n > 59 {
			return want
		}
		seconds = seconds*60 + int(n)
	}
	if seconds < 1 || seconds > operationTimeoutMax {
		return want
	}
	c.OperationTimeout = time.Duration(seconds) * time.Second
	return ""
}

// check holds the rules between the keys.
func (c *ConnectionString) check() error {
	wrong := ""
	switch {
	case c.Host == "":
		wrong = "want Endpoint"
	case c.EntityPath != strings.Trim(c.EntityPath, "/"):
		wrong = "want EntityPath without a slash at its ends"
	case (c.KeyName == "") != (c.Key == ""):
		wrong = "want SharedAccessKeyName and SharedAccessKey, or neither"
	case c.Signature != "" && c.Key != "":
		wrong = "want a key or SharedAccessSignature, not both"
	case c.ManagedIdentity && (c.Key != "" || c.Signature != ""):
		wrong = "Authentication excludes the SharedAccess keys"
	default:
		return nil
	}
	return fmt.Errorf("%w: %s", ErrConnectionString, wrong)
}

// String is the text to hand out, secrets included. The slash after the host
// stays even without a path: Java clients need it.
func (c ConnectionString) String() string {
	var b strings.Builder
	b.WriteString("Endpoint=sb://" + c.Host + "/")
	add := func(name, value string) {
		if value != "" {
			b.WriteString(";" + name + "=" + value)
		}
	}
	add("SharedAccessKeyName", c.KeyName)
	add("SharedAccessKey", c.Key)
	add("SharedAccessSignature", c.Signature)
	if c.ManagedIdentity {
		add("Authentication", managedIdentity)
	}
	add("EntityPath", c.EntityPath)
	if s := int(c.OperationTimeout / time.Second); s > 0 {
		add("OperationTimeout", fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60))
	}
	return b.String()
}

// Redacted is String with the key and the signature masked.
func (c ConnectionString) Redacted() string {
	const mask = "***"
	if c.Key != "" {
		c.Key = mask
	}
	if c.Signature != "" {
		c.Signature = mask
	}
	return c.String()
}

// LogValue keeps the secrets out of logs written with log/slog.
func (c ConnectionString) LogValue() slog.Value { return slog.StringValue(c.Redacted()) }
