package relayclient

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/relayhouse/relayhouse/hyco"
)

// Dialer opens connections to the listeners of an entity. It may be used by
// many goroutines.
type Dialer struct {
	Entity Entity
	// Suffix is appended to the path of the entity: more path, a query, or
	// both, escaped. The listener sees it in Request.URL.
	Suffix string
	// Header has headers of one's own; the listener sees them in
	// Request.Header.
	Header http.Header
	// Subprotocols are those that the sender speaks, the best one first.
	Subprotocols []string
	// ID is the tracking id; empty is a new one for each connection.
	ID string
}

// Dial opens a connection. The context is for that only; without a deadline it
// has 70 s.
//
//	Shape:  the net.Conn is a *Conn.
//	Errors: a *HandshakeError if the gateway or the listener refuses; one that
//	        wraps ErrEntity; one of the context, net, crypto/tls or the
//	        TokenSource.
func (d *Dialer) Dial(ctx context.Context) (net.Conn, error) {
	base, err := d.Entity.base()
	if err != nil {
		return nil, err
	}
	id := d.ID
	if id == "" {
		id = hyco.NewTrackingID()
	}
	address, err := leg(base, d.Suffix, "connect", id)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, senderTimeout)
		defer cancel()
	}
	header := d.Header.Clone()
	if len(d.Subprotocols) > 0 {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Sec-WebSocket-Protocol", strings.Join(d.Subprotocols, ", "))
	}
	w, _, err := d.Entity.openWith(ctx, d.Entity.transport(), base, address, header)
	if err != nil {
		return nil, err
	}
	return &Conn{w: w, local: w.conn.LocalAddr(), remote: Addr{base.String()}}, nil
}
