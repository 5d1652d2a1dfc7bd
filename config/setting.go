package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// setting is one setting of one Config, bound to its field.
type setting struct {
	path string
	kind string // As in the help of a flag: int, bytes, duration, bool, string, list.
	def  string
	want string // The range in words.
	doc  string

	// set reads a text and stores it; false when it is not of the kind.
	set func(text string) bool
	// get returns the value as text that set reads.
	get func() string
	// valid tells whether the value is in the range.
	valid func() bool
}

func (s *setting) wrong(got, source string) *Error {
	if got == "" {
		got = "nothing"
	}
	return &Error{s.path, fmt.Sprintf("want %s, got %s", s.want, got), source}
}

// Sizes.
const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// number is an integer in [low, high]. A word other than "" names what zero
// means, which is then allowed too.
func number(path string, p *int, def string, low, high int, zero, doc string) setting {
	return setting{
		path: path, kind: "int", def: def, doc: doc,
		want: orZero(fmt.Sprintf("%d–%d", low, high), zero),
		set: func(text string) bool {
			n, err := strconv.Atoi(text)
			*p = n
			return err == nil
		},
		get:   func() string { return strconv.Itoa(*p) },
		valid: func() bool { return zero != "" && *p == 0 || low <= *p && *p <= high },
	}
}

// size is a number of bytes in [low, high].
func size[T int | int64](path string, p *T, def string, low, high int64, doc string) setting {
	return setting{
		path: path, kind: "bytes", def: def, doc: doc,
		want: formatSize(low) + "–" + formatSize(high),
		set: func(text string) bool {
			n, ok := parseSize(text)
			*p = T(n)
			return ok && int64(*p) == n
		},
		get:   func() string { return formatSize(int64(*p)) },
		valid: func() bool { return low <= int64(*p) && int64(*p) <= high },
	}
}

// inSteps narrows a size to multiples of step.
func (s setting) inSteps(p *int, step int) setting {
	inRange := s.valid
	s.want += ", a multiple of " + formatSize(int64(step))
	s.valid = func() bool { return inRange() && *p%step == 0 }
	return s
}

// orNone allows a size of 0 too, and names what it means.
func (s setting) orNone(p *int, zero string) setting {
	inRange := s.valid
	s.want = orZero(s.want, zero)
	s.valid = func() bool { return *p == 0 || inRange() }
	return s
}

// span is a duration in [low, high]; for zero see number.
func span(
	path string, p *time.Duration, def string, low, high time.Duration, zero, doc string,
) setting {
	return setting{
		path: path, kind: "duration", def: def, doc: doc,
		want: orZero(formatSpan(low)+"–"+formatSpan(high), zero),
		set: func(text string) bool {
			d, err := time.ParseDuration(text)
			*p = d
			return err == nil
		},
		get:   func() string { return formatSpan(*p) },
		valid: func() bool { return zero != "" && *p == 0 || low <= *p && *p <= high },
	}
}

// choice is one of a few values.
func choice[T string | int](path string, p *T, def T, doc string, values ...T) setting {
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	index := func(text string) int {
		for i := range texts {
			if texts[i] == text {
				return i
			}
		}
		return -1
	}
	kind := "string"
	if _, ok := any(def).(int); ok {
		kind = "int"
	}
	return setting{
		path: path, kind: kind, def: fmt.Sprint(def), doc: doc,
		want: strings.Join(texts, " | "),
		set: func(text string) bool {
			i := index(text)
			if i >= 0 {
				*p = values[i]
			}
			return i >= 0
		},
		get:   func() string { return fmt.Sprint(*p) },
		valid: func() bool { return index(fmt.Sprint(*p)) >= 0 },
	}
}

// boolean is true or false.
func boolean(path string, p *bool, def, doc string) setting {
	return setting{
		path: path, kind: "bool", def: def, want: "true | false", doc: doc,
		set: func(text string) bool {
			*p = text == "true"
			return *p || text == "false"
		},
		get:   func() string { return strconv.FormatBool(*p) },
		valid: func() bool { return true },
	}
}

// str is a string with a check of its own; empty means off and is allowed.
func str(path string, p *string, def, want string, ok func(string) bool, doc string) setting {
	return setting{
		path: path, kind: "string", def: def, want: want + ", or empty", doc: doc,
		set:   func(text string) bool { *p = text; return true },
		get:   func() string { return *p },
		valid: func() bool { return *p == "" || ok(*p) },
	}
}

// networksMax bounds a list of networks: each connection or request of a proxy
// goes through all of it. Large content networks publish 20 to 200.
const networksMax = 256

// networks is a list of networks and single addresses, separated by commas or,
// in a file, a list. Empty means none.
func networks(path string, p *[]netip.Prefix, doc string) setting {
	return setting{
		path: path, kind: "list", doc: doc,
		want: fmt.Sprintf("up to %d networks such as 10.0.0.0/8 or addresses, or empty", networksMax),
		set: func(text string) (ok bool) {
			*p, ok = parseNetworks(text)
			return ok
		},
		get: func() string {
			texts := make([]string, len(*p))
			for i, n := range *p {
				texts[i] = n.String()
			}
			return strings.Join(texts, ",")
		},
		valid: func() bool {
			return len(*p) <= networksMax && !slices.ContainsFunc(*p, func(n netip.Prefix) bool {
				return !n.IsValid() || n != n.Masked() || n.Addr().Is4In6()
			})
		},
	}
}

// list is texts with a check of their own, separated by commas; in a file, a list
// too. Empty means none and is allowed.
func list(path string, p *[]string, want string, ok func(string) bool, doc string) setting {
	return setting{
		path: path, kind: "list", def: "", want: want + ", or empty", doc: doc,
		set: func(text string) bool {
			*p = nil
			for item := range strings.SplitSeq(text, ",") {
				if item = strings.TrimSpace(item); item != "" || text != "" {
					*p = append(*p, item)
				}
			}
			return len(*p) <= listMax
		},
		get: func() string { return strings.Join(*p, ",") },
		valid: func() bool {
			for _, item := range *p {
				if !ok(item) {
					return false
				}
			}
			return true
		},
	}
}

func parseNetworks(text string) (all []netip.Prefix, ok bool) {
	if strings.TrimSpace(text) == "" {
		return nil, true
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		n, err := netip.ParsePrefix(item)
		if err != nil {
			a, err := netip.ParseAddr(item)
			if err != nil || a.Zone() != "" {
				return all, false
			}
			n = netip.PrefixFrom(a, a.BitLen())
		}
		all = append(all, n)
	}
	return all, true
}

// listMax bounds the items of a list.
const listMax = 100

// isPath tells whether s can be the name of a file.
func isPath(s string) bool {
	return len(s) < 4096 && !strings.ContainsFunc(s, unicode.IsControl)
}

// isHostName tells whether s is a host name in ASCII, without a wildcard.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	letters := false
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
			if !letter && c != '-' && (c < '0' || c > '9') {
				return false
			}
			letters = letters || letter
		}
	}
	return letters
}

// isEmail tells whether s looks like an address of mail.
func isEmail(s string) bool {
	name, host, ok := strings.Cut(s, "@")
	return ok && name != "" && !strings.ContainsAny(name, " ,<>\r\n") && isHostName(host)
}

// isDirectoryURL tells whether s is an https URL with nothing behind its path.
func isDirectoryURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil &&
		u.RawQuery == "" && u.Fragment == ""
}

func orZero(want, zero string) string {
	if zero == "" {
		return want
	}
	return want + ", or 0 for " + zero
}

// isHostPort tells whether s is an address to listen on: a host or nothing,
// and a port in digits.
func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

// isSocketPath tells whether s can be the path of a Unix socket. Linux takes 107
// bytes; the rest is room for the name that it has before it is put in place.
func isSocketPath(s string) bool {
	return filepath.IsAbs(s) && filepath.Clean(s) == s && len(s) <= 90 &&
		strings.IndexFunc(s, unicode.IsControl) < 0
}

// isBaseURL tells whether s is ws://host[:port] or wss://host[:port], with
// nothing behind.
func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return false
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return false
		}
	}
	return s == u.Scheme+"://"+u.Host && !strings.HasSuffix(u.Host, ":")
}

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", gib}, {"MiB", mib}, {"KiB", kib}}

func parseSize(text string) (int64, bool) {
	unit := int64(1)
	for _, u := range sizeUnits {
		if digits, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = strings.TrimRight(digits, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n * unit, err == nil && n >= 0 && n <= (1<<62)/unit
}

func formatSize(n int64) string {
	for _, u := range sizeUnits {
		if n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// formatSpan writes 1h where time.Duration writes 1h0m0s.
func formatSpan(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if d == 0 {
		s = "0"
	}
	return s
}
