package hyco

import (
	"strings"
	"time"
)

const (
	phraseTextMax = 192 // bytes of a refusal's text in a reason phrase
	phraseIDMax   = MaxTrackingID + len("_G65535")
)

// ReasonPhrase is the reason phrase of a refused handshake, which is where
// clients look for the error.
//
//	Shape:  {text}. TrackingId:{id}, SystemTracker:sb://{host}/{path},
//	        Timestamp:2006-01-02T15:04:05 in one line, in UTC. text may end in
//	        a period; path has no leading slash.
//	        Printable ASCII, other bytes become "?"; at most MaxReasonPhrase
//	        bytes, of which a long path gives up its end.
//	Source: docs/protocol.md, section 1.7.
func ReasonPhrase(text, trackingID, host, path string, now time.Time) string {
	const (
		beforeID      = ". TrackingId:"
		beforeTracker = ", SystemTracker:sb://"
		beforeTime    = ", Timestamp:"
		layout        = "2006-01-02T15:04:05"
	)
	var room [MaxReasonPhrase]byte
	b := appendClean(room[:0], trimPeriod(text), phraseTextMax)
	b = append(b, beforeID...)
	b = appendClean(b, trackingID, phraseIDMax)
	b = append(b, beforeTracker...)
	end := MaxReasonPhrase - len(beforeTime) - len(layout)
	b = appendClean(b, host, end-len(b))
	b = appendClean(b, "/", end-len(b))
	b = appendClean(b, path, end-len(b))
	b = append(b, beforeTime...)
	b = now.UTC().AppendFormat(b, layout)
	return string(b[:min(len(b), MaxReasonPhrase)])
}

// CleanPhrase makes a reason phrase of a text that a listener chose: printable
// ASCII, at most MaxReasonPhrase bytes. A text of that kind stays as it is.
func CleanPhrase(text string) string {
	for i := range len(text) {
		if !printable(text[i]) || i >= MaxReasonPhrase {
			return string(appendClean(nil, text, MaxReasonPhrase))
		}
	}
	return text
}

// CloseText is the reason of a Close frame, {text}. TrackingId:{id}, at most
// MaxCloseText bytes of ASCII. A long text gives way to the id.
//
// Source: docs/protocol.md, section 2.8.
func CloseText(text, trackingID string) string {
	const beforeID = ". TrackingId:"
	id := appendClean(nil, trackingID, MaxCloseText-len(beforeID))
	b := appendClean(nil, trimPeriod(text), MaxCloseText-len(beforeID)-len(id))
	return string(append(append(b, beforeID...), id...))
}

// appendClean appends up to limit bytes of text, with "?" for what is not
// printable ASCII.
func appendClean(dst []byte, text string, limit int) []byte {
	for i := range max(min(len(text), limit), 0) {
		c := text[i]
		if !printable(c) {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

func printable(c byte) bool { return ' ' <= c && c <= '~' }

func trimPeriod(text string) string { return strings.TrimSuffix(text, ".") }
