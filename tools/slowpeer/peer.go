package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// ticks is in how many steps per second a limited rate is kept.
const ticks = 20

// errCut ends a leg that was told to cut itself.
var errCut = errors.New("cut as told")

// A peer is what the flags ask for.
type peer struct {
	gateway, entity, role, token string

	write, message      size
	writeRate, readRate size
	stallAt             size
	stall               time.Duration
	cutAt               size
	reset               bool
	limit               time.Duration
}

// A result says what became of the leg.
type result struct {
	sent, received         int64 // payload bytes
	messagesIn, messageOut int
	close                  string
	end                    error
	elapsed                time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("sent %d bytes in %d messages, received %d bytes in %d messages, "+
		"close %s, end: %v, %.1f s", r.sent, r.messageOut, r.received, r.messagesIn, r.close,
		r.end, r.elapsed.Seconds())
}

// run connects the leg, misbehaves, and reports. An error means that it never
// came to that.
func (p *peer) run(ctx context.Context) (result, error) {
	begun := time.Now()
	address := "ws://" + p.gateway + "/$hc/" + p.entity + "?sb-hc-action=connect"
	token := p.token
	if p.role == "listener" {
		control, err := p.listen(ctx)
		if err != nil {
			return result{}, err
		}
		defer func() { _ = control.Close() }()
		if address, err = nextAccept(control); err != nil {
			return result{}, err
		}
		token = "" // the address is the right to accept
	}
	l, err := p.dial(ctx, address, true)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = l.Close() }()
	l.state.close = "none"
	if err = l.handshake(address, token); err == nil {
		var writing sync.WaitGroup
		writing.Go(func() { _ = l.writeAll() }) // fails with the connection
		err = l.readAll()
		if l.cut() || errors.Is(err, errCut) {
			err = errCut
		}
		_ = l.Close()
		writing.Wait()
	}
	l.state.end, l.state.elapsed = err, time.Since(begun)
	return l.state, nil
}

// A leg is one WebSocket connection. Its Read and Write are as slow as asked.
type leg struct {
	net.Conn
	ctx  context.Context
	p    *peer
	slow bool // control channels are not

	in   *bufio.Reader
	mu   sync.Mutex // one frame at a time; guards sent, isCut and bye
	sent int64      // bytes on the wire

	isCut bool
	bye   bool // a Close was sent
	state result
	got   int64 // bytes read from the wire
	held  bool  // the stall is over
}

func (p *peer) dial(ctx context.Context, address string, slow bool) (*leg, error) {
	host, _, _ := strings.Cut(strings.TrimPrefix(address, "ws://"), "/")
	c, err := new(net.Dialer).DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	if at, ok := c.RemoteAddr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() {
		_ = c.Close()
		return nil, fmt.Errorf("%s is not a loopback address", host)
	}
	// A connection that is closed by then is closed twice, which does no harm.
	context.AfterFunc(ctx, func() { _ = c.Close() })
	l := &leg{Conn: c, ctx: ctx, p: p, slow: slow}
	l.in = bufio.NewReaderSize(l, 16)
	return l, nil
}

// listen opens a control channel that behaves.
func (p *peer) listen(ctx context.Context) (*leg, error) {
	address := "ws://" + p.gateway + "/$hc/" + p.entity + "?sb-hc-action=listen"
	l, err := p.dial(ctx, address, false)
	if err != nil {
		return nil, err
	}
	if err := l.handshake(address, p.token); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("control channel: %w", err)
	}
	return l, nil
}

// nextAccept waits for an accept message and returns its address.
func nextAccept(control *leg) (string, error) {
	for {
		h, err := ws.ReadHeader(control.in)
		if err != nil {
			return "", fmt.Errorf("control channel: %w", err)
		}
		body := make([]byte, min(h.Length, 1<<20))
		if _, err := io.ReadFull(control.in, body); err != nil {
			return "", fmt.Errorf("control channel: %w", err)
		}
		var m struct{ Accept struct{ Address string } }
		if h.OpCode == ws.OpText && json.Unmarshal(body, &m) == nil && m.Accept.Address != "" {
			return m.Accept.Address, nil
		}
		if h.OpCode == ws.OpClose {
			return "", fmt.Errorf("control channel closed: %s", closeText(body))
		}
	}
}

// handshake sends the upgrade request and reads the response.
func (l *leg) handshake(address, token string) error {
	host, path, _ := strings.Cut(strings.TrimPrefix(address, "ws://"), "/")
	head := "GET /" + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: c2xvd3BlZXItc2xvd3BlZQ==\r\n"
	if token != "" {
		head += "ServiceBusAuthorization: " + token + "\r\n"
	}
	if _, err := l.Write([]byte(head + "\r\n")); err != nil {
		return err
	}
	res, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("handshake refused: %s", res.Status)
	}
	return nil
}

// writeAll sends what was asked for, then a Close.
func (l *leg) writeAll() error {
	payload := make([]byte, max(l.p.message, 1))
	for left := int64(l.p.write); left > 0; {
		n := min(left, int64(len(payload)))
		if err := l.frame(ws.NewBinaryFrame(payload[:n])); err != nil {
			return err
		}
		left -= n
		l.state.sent += n
		l.state.messageOut++
	}
	if l.p.write == 0 {
		return nil // only listens; its Close answers the other one's
	}
	return l.sendClose()
}

func (l *leg) sendClose() error {
	l.mu.Lock()
	was := l.bye
	l.bye = true
	l.mu.Unlock()
	if was {
		return nil
	}
	return l.frame(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "")))
}

func (l *leg) frame(f ws.Frame) error {
	b, err := ws.CompileFrame(ws.MaskFrame(f))
	if err != nil {
		return err
	}
	_, err = l.Write(b)
	return err
}

// readAll reads until the connection ends and says how.
func (l *leg) readAll() error {
	for {
		h, err := ws.ReadHeader(l.in)
		if err != nil {
			return err
		}
		if !h.OpCode.IsControl() {
			n, err := io.CopyN(io.Discard, l.in, h.Length)
			l.state.received += n
			if err != nil {
				return err
			}
			if h.Fin {
				l.state.messagesIn++
			}
			continue
		}
		body := make([]byte, min(h.Length, ws.MaxControlFramePayloadSize))
		if _, err := io.ReadFull(l.in, body); err != nil {
			return err
		}
		switch h.OpCode {
		case ws.OpPing:
			err = l.frame(ws.NewPongFrame(body))
		case ws.OpClose:
			l.state.close = closeText(body)
			err = l.sendClose()
		}
		if err != nil {
			return err
		}
	}
}

func closeText(body []byte) string {
	if len(body) < 2 {
		return "without a code"
	}
	code, reason := ws.ParseCloseFrameData(body)
	return strings.TrimSpace(fmt.Sprintf("%d %s", code, reason))
}

// Write writes p slowly and cuts the connection when that was asked for.
func (l *leg) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(p)
}

func (l *leg) write(p []byte) (done int, err error) {
	for len(p) > 0 {
		n := len(p)
		if l.slow && l.p.writeRate > 0 {
			n = min(n, max(int(l.p.writeRate)/ticks, 1))
		}
		if room := int64(l.p.cutAt) - l.sent; l.slow && l.p.cutAt > 0 {
			n = int(min(int64(n), room))
		}
		n, err = l.Conn.Write(p[:n])
		done, p, l.sent = done+n, p[n:], l.sent+int64(n)
		if err != nil {
			return done, err
		}
		if l.slow && l.p.cutAt > 0 && l.sent >= int64(l.p.cutAt) {
			l.isCut = true
			if tcp, ok := l.Conn.(*net.TCPConn); ok && l.p.reset {
				_ = tcp.SetLinger(0)
			}
			_ = l.Close()
			return done, errCut
		}
		l.wait(n, l.p.writeRate)
	}
	return done, nil
}

func (l *leg) cut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isCut
}

// Read reads slowly, and not at all for a while when that was asked for.
func (l *leg) Read(p []byte) (int, error) {
	if l.slow && l.p.readRate > 0 {
		p = p[:min(len(p), max(int(l.p.readRate)/ticks, 1))]
	}
	if l.slow && l.p.stall > 0 && !l.held && l.got >= int64(l.p.stallAt) {
		l.held = true
		l.sleep(l.p.stall)
	}
	n, err := l.Conn.Read(p)
	l.got += int64(n)
	l.wait(n, l.p.readRate)
	return n, err
}

// wait is how long n bytes take at rate.
func (l *leg) wait(n int, rate size) {
	if l.slow && rate > 0 {
		l.sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
}

// sleep ends early when the run does.
func (l *leg) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-l.ctx.Done():
	}
}
