package relayclient

import (
	"bytes"
	"errors"
	"io"
	"net/url"
	"testing"

	"github.com/gobwas/ws"
)

// FuzzCommand: no message does harm, and what is taken of one can be used.
func FuzzCommand(f *testing.F) {
	const address = `"address":"wss://h/$hc/e/a%20b?x=1&sb-hc-action=accept&sb-hc-id=i"`
	for _, seed := range []string{
		`{"accept":{` + address + `,"id":"i_G0","connectHeaders":{"Host":"h","X":1,` +
			`"Sec-WebSocket-Protocol":"a, b"},"remoteEndpoint":{"address":"::1","port":62917}}}`,
		`{"request":{` + address + `,"id":"i","requestTarget":"/e/ä b%2Fc?x","method":"GET",` +
			`"remoteEndpoint":{"address":"1.2.3.4","port":1},"requestHeaders":{"a":["b",true]},` +
			`"body":true}}`,
		`{"request":{` + address + `}}`,
		`{"accept":null}`, `{"accept":{"connectHeaders":[]}}`, `{"other":{}}`, `[]`, `{`,
		`{"request":{"address":"ws://h/?x","method":"GET","requestTarget":"*"}}`,
		`{"accept":{"address":"wss://h/$hc/%zz?x","remoteEndpoint":{"port":-1}}}`,
	} {
		f.Add([]byte(seed))
	}
	base := &url.URL{Scheme: "wss", Host: "h", Path: "/e"}
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := parseCommand(p)
		if err != nil {
			if !errors.Is(err, ErrProtocol) || c.Accept != nil || c.Request != nil {
				t.Fatalf("%+v, %v", c, err)
			}
			return
		}
		if m := c.Accept; m != nil {
			_ = m.RemoteEndpoint.tcp().String()
			if u, err := parseAddress(m.Address, base); err == nil {
				if u.Scheme != "wss" {
					t.Errorf("address %v", u)
				}
				if r, err := m.request(u); err == nil {
					checkURL(t, r.URL)
					_ = listOf(r.Header.Values("Sec-WebSocket-Protocol"))
				}
			}
		}
		if m := c.Request; m != nil {
			if u, err := parseTarget(m.RequestTarget); err == nil {
				checkURL(t, u)
			}
			_ = m.RemoteEndpoint.String()
			_ = responseOf(m.ID, 200, m.RequestHeaders.header(), m.Body)
		}
	})
}

// FuzzTarget: a URL says the same when it has been written and read again.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a b", "/a%2fb%25", "/%", "/%zz?%zz", "//h/p", "/ä?", "/\x00",
		"/[a]:b;c,d@e=f&g+h$i!j*k(l)m'n~o-p_q.r", "/a#b", "/a\\b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if u, err := parseTarget(target); err == nil {
			checkURL(t, u)
		} else if !errors.Is(err, ErrProtocol) {
			t.Error(err)
		}
	})
}

func checkURL(t *testing.T, u *url.URL) {
	t.Helper()
	again, err := url.Parse("ws://h" + u.EscapedPath())
	if err != nil || again.Path != u.Path || again.EscapedPath() != u.EscapedPath() {
		t.Errorf("path %q becomes %q: %v, %v", u.Path, u.EscapedPath(), again, err)
	}
}

// FuzzWire: whatever comes, a reader with deadlines everywhere reads what one
// without does, and ends in the same way; and message keeps to its limit.
func FuzzWire(f *testing.F) {
	f.Add(bytesOf(f, frame(ws.OpBinary, false, "a"), frame(ws.OpPing, true, "p"),
		frame(ws.OpContinuation, true, "b"), closeFrame(1001, "bye")))
	f.Add(bytesOf(f, frame(ws.OpText, true, string(make([]byte, 300))), closeFrame(1000, "")))
	f.Add([]byte{0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1})
	f.Add([]byte{0x88, 0})
	f.Add([]byte{0x02, 0, 0x00, 0, 0x80, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1000
		_, whole := stubbed(in, false)
		want, wantErr := io.ReadAll(whole)
		_, cut := stubbed(in, true)
		got, gotErr := io.ReadAll(patientReader{cut})
		if !bytes.Equal(got, want) || (gotErr == nil) != (wantErr == nil) ||
			gotErr != nil && gotErr.Error() != wantErr.Error() {
			t.Fatalf("%d bytes, %v; want %d, %v", len(got), gotErr, len(want), wantErr)
		}
		_, c := stubbed(in, false)
		var all []byte
		for {
			_, p, err := c.w.message(limit)
			if err != nil {
				break
			}
			if len(p) > limit {
				t.Fatalf("a message of %d bytes", len(p))
			}
			all = append(all, p...)
		}
		if !bytes.HasPrefix(want, all) {
			t.Fatal("messages are not what Read reads")
		}
	})
}
