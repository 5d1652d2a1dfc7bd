package relayctl

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/hyco"
	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/sas"
)

// What holds for relaying from a shell.
const (
	connectionsDefault = 1000
	connectionsMaxMax  = 100000
	dialTimeout        = 10 * time.Second // For a TCP connection to a target.
)

// relayFlags are those of commands that relay.
type relayFlags struct {
	key            *keyFlags
	right          sas.Right
	plain          bool
	quiet          bool
	connectionsMax int
}

// relayer gives cmd the flags, for a client that needs right.
func (a *app) relayer(cmd *cobra.Command, right sas.Right) *relayFlags {
	r := &relayFlags{right: right, key: a.keyOf(cmd, right)}
	r.key.takeConnectionString(cmd)
	cmd.Flags().BoolVar(&r.plain, "plain", false,
		"connect without TLS; keys stay here, tokens can be read")
	return r
}

// many gives cmd the flags of commands with many connections.
func (r *relayFlags) many(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&r.connectionsMax, "connections-max", connectionsDefault,
		"most `CONNECTIONS` at once; more wait")
	f.BoolVarP(&r.quiet, "quiet", "q", false, "do not tell of each connection")
}

func (r *relayFlags) check() error {
	if r.connectionsMax < 1 || r.connectionsMax > connectionsMaxMax {
		return usage("--connections-max: want 1 to %d, got %d", connectionsMaxMax, r.connectionsMax)
	}
	return nil
}

// entity returns the hybrid connection to relay through.
func (a *app) entity(ctx context.Context, r *relayFlags) (relayclient.Entity, error) {
	none := relayclient.Entity{}
	if r.key.text == "" && r.key.where.hyco == "" {
		return none, usage("say which hybrid connection: --hyco NAME, or --connection-string TEXT")
	}
	c, err := a.connection(ctx, r.key, r.right)
	if err != nil {
		return none, err
	}
	if c.EntityPath == "" {
		return none, usage("the connection string names no hybrid connection; say which one with --hyco")
	}
	e, err := relayclient.ParseConnectionString(c.String(), "")
	if err != nil {
		return none, usage("--connection-string: %v", err)
	}
	p, err := a.place()
	if err != nil {
		return none, err
	}
	cas, err := readCAs(p.ca)
	if err != nil {
		return none, err
	}
	e.TLS = &tls.Config{RootCAs: cas, MinVersion: tls.VersionTLS12}
	e.Insecure = r.plain
	return e, nil
}

// relayError is a failure of the relay, not of the management API.
type relayError struct {
	entity relayclient.Entity
	err    error
}

func (e *relayError) Error() string { return e.err.Error() }
func (e *relayError) Unwrap() error { return e.err }

// explain says what failed, why, and what to do.
func (e *relayError) explain() string {
	path := e.entity.Path
	var refused *relayclient.HandshakeError
	var closed *relayclient.CloseError
	switch {
	case errors.As(e.err, &closed):
		return fmt.Sprintf("the other end closed the connection with %d %q", closed.Code, closed.Reason)
	case errors.Is(e.err, io.ErrUnexpectedEOF):
		return "the connection broke off"
	case !errors.As(e.err, &refused):
		return explainConnection(e.entity.Endpoint,
			"is the address in the connection string right?", e.err)
	}
	text := fmt.Sprintf("%s: %d %s", path, refused.Status, refused.Text)
	switch refused.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		if strings.HasPrefix(refused.Text, hyco.RefusalIPNotAllowed.Text) {
			return text + "; \"relayctl namespace network-rule-set show\" has the addresses that may"
		}
		return text + "; \"relayctl key list\" has the present keys, " +
			"\"relayctl token inspect\" explains tokens"
	case http.StatusNotFound:
		if strings.HasPrefix(refused.Text, hyco.RefusalNoListeners.Text) {
			return text + "; start one with \"relayctl listen --hyco " + path + "\""
		}
		return text + "; \"relayctl hyco list\" shows those that are there"
	}
	return text
}

// tell writes a line about what goes on, for people.
func (a *app) tell(format string, args ...any) {
	a.telling.Lock()
	defer a.telling.Unlock()
	_, _ = fmt.Fprintf(a.Err, "relayctl: "+format+"\n", args...)
}

// halfCloser is a connection that can end one direction.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// splice copies in both directions until both have ended, and closes both
// connections. An end of stream is passed on; an error, and the end of ctx, ends
// everything.
func splice(ctx context.Context, x, y halfCloser) error {
	closeBoth := func() {
		_ = x.Close()
		_ = y.Close()
	}
	stop := context.AfterFunc(ctx, closeBoth)
	defer stop()
	defer closeBoth()
	errs := make(chan error, 2)
	copyTo := func(dst, src halfCloser) {
		_, err := io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
		if err == nil {
			err = dst.CloseWrite()
		}
		if err != nil {
			closeBoth()
		}
		errs <- err
	}
	go copyTo(x, y)
	go copyTo(y, x)
	first := <-errs
	if second := <-errs; first == nil {
		first = second
	}
	return first
}

// standard relays between a connection and standard input and output. It ends
// when the other end does; at the end of input it only says so to the other
// end. What reads the input is left behind.
func (a *app) standard(ctx context.Context, conn halfCloser) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go func() {
		if _, err := io.Copy(struct{ io.Writer }{conn}, a.In); err == nil {
			_ = conn.CloseWrite()
		}
	}()
	_, err := io.Copy(a.Out, struct{ io.Reader }{conn})
	_ = conn.Close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// connections bounds and counts connections that are served by goroutines.
type connections struct {
	slots chan struct{}
	open  sync.WaitGroup
}

func newConnections(limit int) *connections {
	return &connections{slots: make(chan struct{}, limit)}
}

// acquire waits for a place, or for ctx.
func (c *connections) acquire(ctx context.Context) bool {
	select {
	case c.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// run serves a connection in the place that acquire got.
func (c *connections) run(serve func()) {
	c.open.Go(func() {
		defer func() { <-c.slots }()
		serve()
	})
}
