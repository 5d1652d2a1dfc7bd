package relayclient

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/relayhouse/relayhouse/wsframe"
)

// renewMin is the shortest time between two renewals, whatever the TokenSource
// says of expiry.
const renewMin = 100 * time.Millisecond

// channel is a control channel.
type channel struct {
	// Fixed after register.
	l      *Listener
	w      *wire
	expiry time.Time // of the first token

	ctx context.Context // of the requests that are answered here; ends with serve

	sending sync.Mutex // a response and its body are one
}

// serve reads commands until the channel ends, and says why. It closes it.
func (ch *channel) serve() error {
	ctx, cancel := context.WithCancel(ch.l.ctx)
	ch.ctx = ctx
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		ch.keep(ctx)
	}()
	// Close may have come before there was a channel for it.
	if ch.l.ctx.Err() != nil {
		ch.close()
	}
	err := ch.read()
	cancel()
	ch.w.finish(wsframe.CodeNormal, "")
	ch.w.abort()
	<-kept
	return fmt.Errorf("control channel: %w", err)
}

// close asks the gateway for the end of the channel; serve returns with its
// answer, or after closeTimeout.
func (ch *channel) close() {
	ch.w.finish(wsframe.CodeNormal, "")
	time.AfterFunc(closeTimeout, ch.w.abort)
}

func (ch *channel) read() error {
	for {
		op, p, err := ch.w.message(messageMax)
		if err != nil {
			return err
		}
		if op != wsframe.OpText {
			continue // a body that no request has announced
		}
		c, err := parseCommand(p)
		if err != nil {
			return err
		}
		switch {
		case c.Accept != nil:
			ch.l.announced(c.Accept)
		case c.Request != nil && c.Request.Method == "":
			ch.l.fetch(c.Request)
		case c.Request != nil:
			var body []byte
			if c.Request.Body {
				op, body, err = ch.w.message(bodyMax)
				if err != nil {
					return err
				}
				if op != wsframe.OpBinary {
					return fmt.Errorf("%w: a request without its body", ErrProtocol)
				}
			}
			ch.l.answer(ch, c.Request, body)
		}
	}
}

// keep sends Pings and renews the token.
func (ch *channel) keep(ctx context.Context) {
	pings := time.NewTicker(ch.l.o.PingInterval)
	defer pings.Stop()
	renewal := time.NewTimer(0)
	defer renewal.Stop()
	<-renewal.C
	var retry backoff
	schedule := func(expiry time.Time) {
		retry = backoff{least: time.Second, most: time.Minute}
		if !expiry.IsZero() {
			renewal.Reset(max(time.Until(expiry)*3/4, renewMin))
		}
	}
	schedule(ch.expiry)
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-pings.C:
			_ = ch.w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			err = ch.w.ping()
		case <-renewal.C:
			token, expiry, failed := ch.freshToken(ctx)
			if failed != nil {
				ch.l.note(failed)
				renewal.Reset(retry.next())
				continue
			}
			schedule(expiry)
			err = ch.send(renewMessage{tokenMessage{token}}, nil)
		}
		if err != nil {
			ch.w.abort() // the reader reports it
			return
		}
	}
}

func (ch *channel) freshToken(ctx context.Context) (string, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return ch.l.o.Entity.token(ctx, ch.l.base)
}

// tokenMessage is the content of renewToken: docs/protocol.md, section 2.5.
type tokenMessage struct {
	Token string `json:"token"`
}

type renewMessage struct {
	RenewToken tokenMessage `json:"renewToken"`
}

// send sends a message and, if there is one, its body.
func (ch *channel) send(message any, body []byte) error {
	ch.sending.Lock()
	defer ch.sending.Unlock()
	_ = ch.w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := ch.w.writeJSON(message); err != nil || len(body) == 0 {
		return err
	}
	return ch.w.write(wsframe.OpBinary, body, true, true)
}
