package relayclient

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/wsframe"
)

const (
	// openTimeout bounds a listener's handshakes, TCP and TLS included, as in
	// the .NET and Java clients (docs/protocol.md, section 3.1).
	openTimeout = 20 * time.Second

	// senderTimeout bounds a sender's, which are not answered until the
	// listener decides: that of the .NET and Java clients, likewise.
	senderTimeout = 70 * time.Second

	// answerHeadMax bounds the head of an answer, in bytes; net/http fails
	// beyond it. Those of the gateway are below 2 KiB.
	answerHeadMax = 64 << 10
)

// transport is an http.Transport for the entity that keeps no connections and
// speaks HTTP/1.1 only.
func (e *Entity) transport() *http.Transport {
	t := &http.Transport{
		Proxy:                  e.Proxy,
		DialContext:            e.NetDial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: answerHeadMax,
		TLSHandshakeTimeout:    openTimeout,
		IdleConnTimeout:        time.Minute,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	if t.Proxy == nil {
		t.Proxy = http.ProxyFromEnvironment
	}
	if t.DialContext == nil {
		t.DialContext = new(net.Dialer).DialContext
	}
	if e.TLS != nil {
		t.TLSClientConfig = e.TLS.Clone()
		t.TLSClientConfig.NextProtos = nil
	}
	return t
}

// token asks the TokenSource, if there is one.
func (e *Entity) token(ctx context.Context, base *url.URL) (string, time.Time, error) {
	if e.Token == nil {
		return "", time.Time{}, nil
	}
	token, expiry, err := e.Token.Token(ctx, audience(base))
	if err != nil {
		return "", time.Time{}, fmt.Errorf("token: %w", err)
	}
	return token, expiry, nil
}

// open opens a WebSocket. The context is for the handshake only.
//
//	Errors: a *HandshakeError if the gateway refuses; else those of net, of
//	        crypto/tls or ErrProtocol. The address, a secret on rendezvous
//	        legs, is in none of them.
func open(ctx context.Context, t *http.Transport, address *url.URL, header http.Header) (
	*wire, error) {
	u := *address
	u.Scheme = httpScheme(u.Scheme)
	var conn net.Conn
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { conn = info.Conn },
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://-", nil)
	if err != nil {
		return nil, err
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // crypto/rand says that it never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r.URL, r.Host = &u, u.Host
	if header != nil {
		r.Header = header.Clone()
	}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	// Not by http.Client: its errors quote the URL, and it follows redirects.
	res, err := t.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		_ = res.Body.Close()
		return nil, handshakeError(res)
	}
	rwc, ok := res.Body.(io.ReadWriteCloser)
	if !ok || conn == nil || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") ||
		res.Header.Get("Sec-WebSocket-Accept") != wsframe.AcceptKey(key) ||
		res.Header.Get("Sec-WebSocket-Extensions") != "" {
		_ = res.Body.Close()
		return nil, fmt.Errorf("%w: the answer to the handshake is no WebSocket's", ErrProtocol)
	}
	return newWire(conn, rwc, res.Header.Get("Sec-WebSocket-Protocol")), nil
}

// openWith is open with a token of the entity in the header.
func (e *Entity) openWith(ctx context.Context, t *http.Transport, base, address *url.URL,
	header http.Header) (w *wire, expiry time.Time, err error) {
	token, expiry, err := e.token(ctx, base)
	if err != nil {
		return nil, expiry, err
	}
	if header = header.Clone(); header == nil {
		header = http.Header{}
	}
	if token != "" {
		header.Set(hyco.HeaderToken, token)
	}
	w, err = open(ctx, t, address, header)
	return w, expiry, err
}
