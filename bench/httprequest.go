package bench

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A relayedRequest is a request message (docs/protocol.md, section 5.3), as much
// of it as the listener needs. The slices are parts of the message.
type relayedRequest struct {
	address, id, method, target []byte
	body                        bool
}

var (
	errRequestMessage = errors.New("control message is not a request")
	errRequestJSON    = errors.New("request message is not JSON")
)

// parseRequest reads a request message in one pass and without allocations:
// the listener shares the machine with the gateway that is measured, and
// encoding/json would cost more than the gateway does.
func parseRequest(message []byte) (m relayedRequest, err error) {
	s := jsonScan{p: message}
	if !s.take('{') {
		return m, errRequestMessage
	}
	if name := s.text(); string(name) != "request" || !s.take(':') || !s.take('{') {
		return m, fmt.Errorf("%w: %.60q", errRequestMessage, message)
	}
	empty := s.take('}')
	for more := !empty; more; more = s.take(',') {
		name := s.text()
		if s.failed || !s.take(':') {
			return m, errRequestJSON
		}
		switch string(name) {
		case "address":
			m.address = s.text()
		case "id":
			m.id = s.text()
		case "method":
			m.method = s.text()
		case "requestTarget":
			m.target = s.text()
		case "body":
			m.body = s.at() == 't'
			s.skip()
		default:
			s.skip()
		}
	}
	if s.failed || !empty && !s.take('}') || !s.take('}') || s.at() != 0 {
		return m, errRequestJSON
	}
	if len(m.address) == 0 || len(m.id) == 0 {
		return m, errors.New("request message without address or id")
	}
	return m, nil
}

// A jsonScan walks over JSON that a gateway wrote. It notices when it is lost,
// but does not check what it skips.
type jsonScan struct {
	p      []byte
	i      int
	failed bool
}

// at is the next byte that is not blank, 0 at the end.
func (s *jsonScan) at() byte {
	for ; s.i < len(s.p); s.i++ {
		switch c := s.p[s.i]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take steps over c, when it is next.
func (s *jsonScan) take(c byte) bool {
	if s.at() != c {
		return false
	}
	s.i++
	return true
}

// text returns the string that is next, decoded.
func (s *jsonScan) text() []byte {
	if s.at() != '"' {
		s.failed = true
		return nil
	}
	begin := s.i
	escaped := s.skipText()
	if s.failed {
		return nil
	}
	if !escaped {
		return s.p[begin+1 : s.i-1]
	}
	var decoded string
	if json.Unmarshal(s.p[begin:s.i], &decoded) != nil {
		s.failed = true
	}
	return []byte(decoded)
}

// skipText steps over the string that is next and says whether it has escapes.
func (s *jsonScan) skipText() (escaped bool) {
	for s.i++; s.i < len(s.p); s.i++ {
		switch s.p[s.i] {
		case '"':
			s.i++
			return escaped
		case '\\':
			escaped = true
			s.i++
		}
	}
	s.failed = true
	return escaped
}

// skip steps over the value that is next.
func (s *jsonScan) skip() {
	for depth := 0; ; {
		switch s.at() {
		case 0:
			s.failed = true
			return
		case '"':
			s.skipText()
		case '{', '[':
			depth++
			s.i++
			continue
		case '}', ']':
			depth--
			s.i++
		case ',', ':':
			if depth == 0 {
				s.failed = true // no value here
				return
			}
			s.i++
			continue
		default:
			s.skipWord()
		}
		if depth <= 0 || s.failed {
			s.failed = s.failed || depth < 0
			return
		}
	}
}

// skipWord steps over a number, true, false or null.
func (s *jsonScan) skipWord() {
	for ; s.i < len(s.p); s.i++ {
		switch s.p[s.i] {
		case ',', ':', '}', ']', '"', '{', '[', ' ', '\t', '\r', '\n':
			return
		}
	}
}
