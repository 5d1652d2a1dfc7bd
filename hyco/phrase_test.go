package hyco

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unsafe"
)

var noon = time.Date(2024, 9, 24, 15, 6, 4, 999, time.UTC)

// TestReasonPhrase: the form of docs/protocol.md, section 1.7, and the parts
// that client test suites look for (items 10, 12, 13).
func TestReasonPhrase(t *testing.T) {
	east := time.FixedZone("east", 2*60*60)
	for _, c := range []struct {
		name, text string
		now        time.Time
		want       string
	}{
		{"item 10", RefusalNoSuchEntity.Text, noon, "Endpoint does not exist. "},
		{"item 12", RefusalInvalidSignature.Text, noon,
			"InvalidSignature: The token has an invalid signature. "},
		{"in UTC", "a", noon.In(east), "a. "},
		{"one period", "a..", noon, "a.. "},
	} {
		got := ReasonPhrase(c.text, "id_G0", "contoso", "hyco/sub", c.now)
		want := c.want + "TrackingId:id_G0, SystemTracker:sb://contoso/hyco/sub, " +
			"Timestamp:2024-09-24T15:06:04"
		if got != want {
			t.Errorf("%s: got  %s\nwant %s", c.name, got, want)
		}
	}
	got := ReasonPhrase("a\r\nb", "\x00", "ü", "\x7f%00", noon)
	want := "a??b. TrackingId:?, SystemTracker:sb://??/?%00, Timestamp:2024-09-24T15:06:04"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestReasonPhraseLength: however long the parts, id and time stay whole.
func TestReasonPhraseLength(t *testing.T) {
	id := strings.Repeat("i", MaxTrackingID) + "_G65535"
	tail := regexp.MustCompile(`^[ -~]*\. TrackingId:` + id +
		`, SystemTracker:sb://h+/?x*, Timestamp:2024-09-24T15:06:04$`)
	for _, text := range []int{0, 1, 191, 192, 193, 5000} {
		for _, host := range []int{1, 20, 85, 253, 600} {
			for _, path := range []int{0, 1, 30, 400, 30000} {
				got := ReasonPhrase(strings.Repeat("t", text), id, strings.Repeat("h", host),
					strings.Repeat("x", path), noon)
				if len(got) > MaxReasonPhrase || !tail.MatchString(got) {
					t.Errorf("%d, %d, %d: %d bytes: %s", text, host, path, len(got), got)
				}
			}
		}
	}
	far := ReasonPhrase(strings.Repeat("t", 999), id, "h", strings.Repeat("x", 999),
		time.Unix(1<<50, 0))
	if len(far) > MaxReasonPhrase {
		t.Errorf("%d bytes", len(far))
	}
}

func TestCloseText(t *testing.T) {
	const id = "8e5c2dd9-1f0c-4a3e-9f0a-4b5e6f7a8b9c_G0"
	for _, c := range []struct{ text, id, want string }{
		{"The token is expired.", id, "The token is expired. TrackingId:" + id},
		{"a\nb\xff", "i", "a?b?. TrackingId:i"},
		{strings.Repeat("t", 200), id,
			strings.Repeat("t", MaxCloseText-13-len(id)) + ". TrackingId:" + id},
		{"t", strings.Repeat("i", 200), ". TrackingId:" + strings.Repeat("i", 110)},
	} {
		if got := CloseText(c.text, c.id); got != c.want || len(got) > MaxCloseText {
			t.Errorf("%.20s: got %d bytes, %s", c.text, len(got), got)
		}
	}
}

func TestTrackingID(t *testing.T) {
	guid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := make(map[string]bool)
	for range 1000 {
		id := NewTrackingID()
		if !guid.MatchString(id) || seen[id] {
			t.Fatalf("got %s, seen %v", id, seen[id])
		}
		seen[id] = true
	}
	if got := WithGateway("a_G17", 30); got != "a_G17_G30" {
		t.Errorf("got %s", got)
	}
	for sent, ok := range map[string]bool{
		"123456": true, "8E5C2DD9-1f0c-4a3e-9f0a-4b5e6f7a8b9c": true, "a_b.c:d-e": true,
		strings.Repeat("x", MaxTrackingID): true, strings.Repeat("x", MaxTrackingID+1): false,
		"": false, "a b": false, "a&b": false, "a=b": false, "a%b": false, "a/b": false,
		`a"b`: false, "a\x00": false, "a\r\n": false, "ä": false, "{8e5c2dd9}": false,
	} {
		got, kept := CleanID(sent)
		if kept != ok || ok && got != sent || !ok && !guid.MatchString(got) {
			t.Errorf("%q: got %s, %v", sent, got, kept)
		}
	}
}

func TestPackedID(t *testing.T) {
	const guid = "01234567-89ab-cdef-0123-456789abcdef"
	for _, tt := range []struct {
		id     string
		packed bool
	}{
		{guid + "_G0", false}, // of another gateway
		{guid + "_G12", true},
		{guid + "_G12_G12", false},
		{guid + "_G1_G12", false},
		{guid, false},
		{strings.ToUpper(guid) + "_G12", false},
		{strings.Replace(guid, "-", "0", 1) + "_G12", false},
		{strings.Replace(guid, "0", "-", 1) + "_G12", false},
		{strings.Replace(guid, "0", "g", 1) + "_G12", false},
		{guid[1:] + "_G12", false},
		{"0" + guid + "_G12", false},
		{"order-17_G12", false},
		{"_G12", false},
		{"", false},
	} {
		p := PackID(tt.id, 12)
		if got := p.Unpack(12); got != tt.id {
			t.Errorf("%q comes back as %q", tt.id, got)
		}
		if packed := p.text == nil; packed != tt.packed {
			t.Errorf("%q: packed %v", tt.id, packed)
		}
	}
	for range 100 {
		id := WithGateway(NewTrackingID(), 3)
		if p := PackID(id, 3); p.text != nil || p.Unpack(3) != id {
			t.Errorf("%q is not packed", id)
		}
	}
	if n := unsafe.Sizeof(PackedID{}); n > 24 {
		t.Errorf("a PackedID has %d bytes", n)
	}
}
