package relayclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// announced takes an accept message. It does not wait.
func (l *Listener) announced(m *acceptMessage) {
	address, err := parseAddress(m.Address, l.base)
	if err != nil {
		l.drop("sender", m.ID, err)
		return
	}
	if cap(l.slots) == 0 {
		l.refuse(address, m.ID, http.StatusNotImplemented,
			"This listener takes HTTP requests only.")
		return
	}
	select {
	case l.slots <- struct{}{}:
	default:
		l.refuse(address, m.ID, http.StatusServiceUnavailable, "The listener's backlog is full.")
		return
	}
	l.senders.Go(func() {
		c, err := l.accept(address, m)
		if err != nil || c == nil {
			<-l.slots
		}
		switch {
		case err != nil:
			l.drop("sender", m.ID, err)
		case c != nil:
			l.conns <- c // a slot is a place there
		}
	})
}

// accept opens the rendezvous connection, or rejects and returns nil.
func (l *Listener) accept(address *url.URL, m *acceptMessage) (*Conn, error) {
	r, err := m.request(address)
	if err != nil {
		return nil, err
	}
	if l.o.Reject != nil {
		if status, text := l.o.Reject(r); status != 0 {
			return nil, l.reject(address, status, text)
		}
	}
	header := http.Header{}
	if offered := listOf(r.Header.Values("Sec-WebSocket-Protocol")); len(offered) > 0 {
		if chosen := l.o.Subprotocol(offered); chosen != "" {
			header.Set("Sec-WebSocket-Protocol", chosen)
		}
	}
	w, err := l.openRendezvous(address, header)
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return &Conn{w: w, request: r, local: l.Addr(), remote: m.RemoteEndpoint.tcp()}, nil
}

// openRendezvous opens a rendezvous connection within openTimeout.
func (l *Listener) openRendezvous(address *url.URL, header http.Header) (*wire, error) {
	ctx, cancel := context.WithTimeout(l.ctx, openTimeout)
	defer cancel()
	return open(ctx, l.transport, address, header)
}

// listOf splits the values of a list header.
func listOf(values []string) (list []string) {
	for _, value := range values {
		for element := range strings.SplitSeq(value, ",") {
			if element = strings.TrimSpace(element); element != "" {
				list = append(list, element)
			}
		}
	}
	return list
}

// refuse rejects a sender in a goroutine of its own, if there is one to be had.
func (l *Listener) refuse(address *url.URL, id string, status int, text string) {
	l.whenFree(id, func() error { return l.reject(address, status, text) })
}

// whenFree runs f in a goroutine, unless refusalsMax are running.
func (l *Listener) whenFree(id string, f func() error) {
	select {
	case l.refusals <- struct{}{}:
	default:
		l.drop("sender", id, errors.New("too many to refuse at once"))
		return
	}
	l.senders.Go(func() {
		defer func() { <-l.refusals }()
		if err := f(); err != nil {
			l.drop("sender", id, err)
		}
	})
}

// reject tells the gateway what to answer to a sender: docs/protocol.md, section
// 3.4. A status that is none becomes 502.
func (l *Listener) reject(address *url.URL, status int, text string) error {
	if status < 100 || status > 999 {
		status = http.StatusBadGateway
	}
	u := *address
	u.RawQuery += "&sb-hc-statusCode=" + strconv.Itoa(status) +
		"&sb-hc-statusDescription=" + url.QueryEscape(text)
	w, err := l.openRendezvous(&u, nil)
	if err == nil {
		w.abort()
		return fmt.Errorf("%w: a rejection was taken for an accept", ErrProtocol)
	}
	var refused *HandshakeError
	if errors.As(err, &refused) && refused.Status == http.StatusGone {
		return nil
	}
	return fmt.Errorf("reject: %w", err)
}

// drop logs what became of a sender or request that was not served.
func (l *Listener) drop(what, id string, err error) {
	if !l.closed(err) {
		l.o.Logger.Debug(what+" lost", "id", id, "error", err)
	}
}
