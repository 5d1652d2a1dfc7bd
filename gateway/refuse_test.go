package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

const (
	goodHead = "Host: relay.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + relaytest.Key + "\r\nSec-WebSocket-Version: 13\r\n"
	connectLine = "GET /$hc/unauthenticated HTTP/1.1\r\n"
)

// TestBrokenHeads: every byte sequence that is no good request has a status,
// and what lies behind it is never looked at.
func TestBrokenHeads(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	s, r := n.Pair(t, relaytest.Anonymous)
	without := func(field string) string {
		lines := strings.SplitAfter(goodHead, "\r\n")
		for i, line := range lines {
			if strings.HasPrefix(line, field+":") {
				return connectLine + strings.Join(append(lines[:i:i], lines[i+1:]...), "") + "\r\n"
			}
		}
		panic(field)
	}
	with := func(fields string) string { return connectLine + goodHead + fields + "\r\n\r\n" }
	for _, tt := range []struct {
		name, bytes string
		status      int
		reason      string
	}{
		{"garbage", "\x00\x01\x02\x03", 400, "head_invalid"},
		{"garbage with an end", "\x00\xff\r\n\r\n", 400, "head_invalid"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\xab", 500),
			400, "head_invalid"},
		{"TLS, first byte", "\x16", 400, "head_invalid"},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", 400, "head_invalid"},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "head_invalid"},
		{"HTTP/1.2", "GET /$hc/x HTTP/1.2\r\n" + goodHead + "\r\n", 505, "head_invalid"},
		{"no version", "GET /$hc/x\r\n" + goodHead + "\r\n", 400, "head_invalid"},
		{"two blanks", "GET  /$hc/x HTTP/1.1\r\n" + goodHead + "\r\n", 400, "head_invalid"},
		{"long method", strings.Repeat("M", 40) + " / HTTP/1.1\r\n", 400, "head_invalid"},
		{"two Hosts", with("Host: relay.test"), 400, "head_invalid"},
		{"no Host", without("Host"), 400, "head_invalid"},
		{"folded", with("X: a\r\n b"), 400, "head_invalid"},
		{"blank before the colon", with("X : a"), 400, "head_invalid"},
		{"no colon", with("X"), 400, "head_invalid"},
		{"bare LF", with("X: a\nY: b"), 400, "head_invalid"},
		{"NUL in a value", with("X: a\x00b"), 400, "head_invalid"},
		{"too many fields", with(strings.Repeat("X: y\r\n", 300) + "Z: z"), 431,
			"head_too_large"},
		{"plain GET", "GET /$hc/x HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"},
		{"no Connection", without("Connection"), 400, "bad_request"},
		{"no Upgrade", without("Upgrade"), 400, "bad_request"},
		{"no key", without("Sec-WebSocket-Key"), 400, "bad_request"},
		{"two keys", with("Sec-WebSocket-Key: " + relaytest.Key), 400, "bad_request"},
		{"short key", strings.Replace(with("X: y"), relaytest.Key, "YWJj", 1), 400, "bad_request"},
		{"POST", strings.Replace(with("X: y"), "GET", "POST", 1), 400, "bad_request"},
		{"HTTP/1.0", strings.Replace(with("X: y"), "HTTP/1.1", "HTTP/1.0", 1), 400,
			"bad_request"},
		{"body", with("Content-Length: 5"), 400, "bad_request"},
		{"chunked body", with("Transfer-Encoding: chunked"), 400, "bad_request"},
		{"no version of WebSocket", without("Sec-WebSocket-Version"), 426, "bad_request"},
		{"version 8", strings.Replace(with("X: y"), "Version: 13", "Version: 8", 1), 426,
			"bad_request"},
		{"two versions", with("Sec-WebSocket-Version: 13"), 426, "bad_request"},
		{"action", "GET /$hc/x?sb-hc-action=destroy HTTP/1.1\r\n" + goodHead + "\r\n", 400,
			"bad_request"},
		{"broken escape", "GET /$hc/%zz HTTP/1.1\r\n" + goodHead + "\r\n", 400, "bad_request"},
		{"broken escape in our parameter",
			"GET /$hc/x?sb-hc-token=%z HTTP/1.1\r\n" + goodHead + "\r\n", 400, "bad_request"},
		{"target is a word", "GET x HTTP/1.1\r\n" + goodHead + "\r\n", 400, "bad_request"},
		{"fragment", "GET /$hc/x#y HTTP/1.1\r\n" + goodHead + "\r\n", 400, "bad_request"},
		{"CONNECT", "CONNECT relay.test:443 HTTP/1.1\r\nHost: relay.test:443\r\n\r\n", 405,
			"bad_request"},
		{"upgrade elsewhere", "GET /unauthenticated HTTP/1.1\r\n" + goodHead + "\r\n", 400,
			"bad_request"},
		{"upgrade without Connection",
			"GET /unauthenticated HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n", 400, "bad_request"},
		{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400, "bad_request"},
	} {
		c := n.Raw(t)
		c.Send(t, tt.bytes)
		a := c.Answer(t)
		if a.Status != tt.status {
			t.Errorf("%s: answer %d %q, want %d", tt.name, a.Status, a.Phrase, tt.status)
		}
		wantPhrase(t, a, ". TrackingId:")
		if tt.status == 426 && a.Header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%s: header %v", tt.name, a.Header)
		}
		c.WantEnd(t)
		n.WantClosed(t, "head", tt.reason)
	}
	relaytest.Exchange(t, s, r)
	n.WantMetric(t, "relay_head_bytes", 0)
	if total := n.Status(t).Connections["relayed_sender"]; total != 1 {
		t.Errorf("%d relayed connections", total)
	}
}

// TestTextsOfRefusals: the ones that people search for.
func TestTextsOfRefusals(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for bytes, text := range map[string]string{
		"GET /$hc/unauthenticated HTTP/1.1\r\nHost: h\r\n\r\n": "This endpoint is only for " +
			"web-socket requests. TrackingId:",
		"GET /x HTTP/1.1\r\n" + goodHead + "\r\n":                             "begins with /$hc/",
		"GET /$hc/x?sb-hc-action=de%20stroy HTTP/1.1\r\n" + goodHead + "\r\n": "'de stroy'",
		"\x16\x03\x01": "TLS handshake on a plain HTTP port",
		"GET /$hc/x?sb-hc-action=a%0d%0aX-Evil:%20b HTTP/1.1\r\n" + goodHead + "\r\n": "" +
			"Unsupported action 'a??X-Evil: b'",
	} {
		c := n.Raw(t)
		c.Send(t, bytes)
		a := c.Answer(t)
		wantPhrase(t, a, text)
		if a.Header.Get("X-Evil") != "" {
			t.Errorf("injected header: %v", a.Header)
		}
	}
}

// TestPhraseIsBounded: a path may be long and hold anything; the status line
// may not.
func TestPhraseIsBounded(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	for path, shown := range map[string]string{
		strings.Repeat("a/", 5000):     "sb://relay.test/a/a/a/",
		"%0d%0aSet-Cookie:%20x%3dy":    "sb://relay.test/??Set-Cookie: x=y",
		"gr%c3%bc%c3%9fe/\xff/%00/%7f": "sb://relay.test/gr????e/?/?/?",
	} {
		c := n.Raw(t)
		c.Send(t, "GET /$hc/"+path+" HTTP/1.1\r\n"+goodHead+"\r\n")
		line, rest, _ := strings.Cut(c.Head(t), "\r\n")
		if !strings.HasPrefix(line, "HTTP/1.1 401 MissingToken") ||
			!strings.Contains(line, shown) || len(line) > len("HTTP/1.1 401 ")+512 ||
			!strings.Contains(line, ", Timestamp:20") || strings.Contains(rest, "Set-Cookie") {
			t.Errorf("%.40s: %q", path, line)
		}
	}
}

// TestHeadTooLarge: 431 as soon as it shows, however the bytes come.
func TestHeadTooLarge(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{4 << 10, 8 << 10, 32 << 10, 64 << 10} {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			t.Parallel()
			n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadBytes = limit })
			head := func(size int) string {
				start := connectLine + goodHead + "X: "
				return start + strings.Repeat("x", size-len(start)-4) + "\r\n\r\n"
			}
			for _, size := range []int{limit + 1, limit + 100, 2 * limit, 100 << 10} {
				c := n.Raw(t)
				c.Send(t, head(size))
				if a := c.Answer(t); a.Status != 431 {
					t.Errorf("head of %d bytes: answer %d %q", size, a.Status, a.Phrase)
				}
				_ = c.Close()
			}
			// An end that never comes is refused too.
			c := n.Raw(t)
			c.Send(t, head(limit + 200)[:limit+50])
			c.Want(t, 431)
			// At the limit it is read and judged: nobody may send there.
			c = n.Raw(t)
			c.Send(t, strings.Replace(head(limit), "/unauth", "/strang", 1))
			c.Want(t, 401)
			n.WantMetric(t, "relay_head_bytes", 0)
		})
	}
}

// TestAcceptMessageTooLarge: a head within its limit may make a message that
// listeners cannot take, because JSON escapes.
func TestAcceptMessageTooLarge(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	c := n.Raw(t)
	c.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous, "X: "+strings.Repeat("\xff", 30_000)))
	c.Want(t, 431)
	n.WantMetric(t, "relay_pending_rendezvous", 0)
	if l.Waiting() > 0 {
		t.Error("the listener was asked")
	}
}

// TestHeadsInPieces: any cut is as good as none.
func TestHeadsInPieces(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Anonymous})
	request := connectLine + goodHead + "\r\n"
	for cut := 1; cut < len(request); cut += 7 {
		c := n.Raw(t)
		c.Send(t, request[:cut])
		relaytest.Eventually(t, "the first part is read", func() bool { return n.Heads(t) > 0 })
		c.Send(t, request[cut:])
		l.Next(t)
		_ = c.Close()
		relaytest.Eventually(t, "the sender is gone", func() bool { return n.Pending(1).Total == 0 })
	}
	c := n.Raw(t)
	for i := range request {
		c.Send(t, request[i:i+1])
	}
	l.Reject(t, 420, "byte by byte")
	c.Want(t, 420)
	// A blank line before the request is an old habit (RFC 9112 section 2.2).
	c = n.Raw(t)
	c.Send(t, "\r\n"+request)
	l.Reject(t, 421, "")
	c.Want(t, 421)
}

// TestSlowHead: bytes that trickle do not buy time. A client that has said
// nothing gets no answer: browsers open connections in advance.
func TestSlowHead(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadTimeout = time.Second })
	begin := time.Now()
	silent, half, slow := n.Raw(t), n.Raw(t), n.Raw(t)
	half.Send(t, connectLine+"Host: relay.")
	request := connectLine + goodHead
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := range request {
			select {
			case <-ticker.C:
				if _, err := slow.Write([]byte{request[i]}); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	for name, c := range map[string]*relaytest.Raw{"half": half, "slow": slow} {
		c.Want(t, 408)
		if waited := time.Since(begin); waited < time.Second {
			t.Errorf("%s: answered after %v", name, waited)
		}
	}
	close(stop)
	<-stopped
	silent.WantEnd(t)
	n.WantMetric(t, "relay_head_bytes", 0)
	n.WantMetric(t, `relay_connections_closed_total{reason="head_timeout"}`, 3)
}

// TestHeadMemory bounds the heads in progress of all connections.
func TestHeadMemory(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Limits.HeadMemory = 1 << 20 })
	part := connectLine + goodHead + "X: " + strings.Repeat("x", 30<<10)
	const throttled = `relay_throttled_total{quota="head_memory"}`
	for range 64 {
		before := n.Heads(t)
		c := n.Raw(t)
		c.Send(t, part)
		grown := false
		relaytest.Eventually(t, "the part is read", func() bool {
			grown = n.Heads(t) >= before+30<<10
			return grown || before > 1<<19 && n.Metric(t, throttled) > 0
		})
		if !grown {
			c.Want(t, 503)
			if held := n.Heads(t); held > 1<<20 || held < 1<<19 {
				t.Errorf("%d bytes held", held)
			}
			return
		}
	}
	t.Error("64 heads of 30 KiB in 1 MiB")
}

// TestConnectionsMax: a full gateway says so, and serves again when there is
// room.
func TestConnectionsMax(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ConnectionsMax = 16 })
	s, r := n.Pair(t, relaytest.Anonymous) // a listener and two ends
	var idle []*relaytest.Raw
	for range 13 {
		idle = append(idle, n.Raw(t))
	}
	relaytest.Eventually(t, "16 connections", func() bool { return n.Total() == 16 })
	if status, body := n.Get(t, "/readyz"); status != 503 ||
		!strings.Contains(body, "room for connections") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	for range 40 { // more than the slack, one after the other
		c := n.Raw(t)
		c.Send(t, n.UpgradeRequest("/$hc/"+relaytest.Anonymous))
		a := c.Want(t, 503)
		wantPhrase(t, a, "The gateway is full")
	}
	n.WantClosed(t, "head", "overload")
	if n.Metric(t, "relay_refused_total") < 40 {
		t.Errorf("refused: %v", n.Metric(t, "relay_refused_total"))
	}
	// Those that say nothing lose their place after a while, without words.
	mute := n.Raw(t)
	mute.WantEnd(t)
	relaytest.Exchange(t, s, r)
	for _, c := range idle {
		_ = c.Close()
	}
	relaytest.Eventually(t, "room again", func() bool {
		status, _ := n.Get(t, "/readyz")
		return status == http.StatusOK && n.Total() <= 5
	})
	d := relaytest.Dial{Path: relaytest.Anonymous}
	n.Waiting(t, d).Cancel()
}
