package relayctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/sas"
)

func (a *app) listenCommand() *cobra.Command {
	var echo bool
	var target string
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "be a listener: standard input and output, an echo, or a TCP target",
		Long: `Be a listener of a hybrid connection. Without --echo and --forward, relay the first
connection to standard input and output, and end with it. With them, serve all that come until
interrupted; a lost gateway is connected to again.

--echo sends back what comes, and answers HTTP requests with their bodies. --forward opens a TCP
connection for each relayed one.`,
		Example: `  relayctl listen --hyco orders
  relayctl listen --hyco orders --forward localhost:5432
  relayctl listen --connection-string env:RELAY --echo`,
		Args: cobra.NoArgs,
	}
	r := a.relayer(cmd, sas.Listen)
	f := cmd.Flags()
	f.BoolVar(&echo, "echo", false, "send back what comes")
	f.StringVar(&target, "forward", "", "`HOST:PORT` to open a TCP connection to for each")
	r.many(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if echo && target != "" {
			return usage("give --echo or --forward, not both")
		}
		if err := r.check(); err != nil {
			return err
		}
		if target != "" {
			if _, _, err := net.SplitHostPort(target); err != nil {
				return usage("--forward: want HOST:PORT, got %q", target)
			}
		}
		return a.listen(cmd.Context(), r, echo, target)
	}
	return cmd
}

func (a *app) listen(ctx context.Context, r *relayFlags, echo bool, target string) error {
	e, err := a.entity(ctx, r)
	if err != nil {
		return err
	}
	o := relayclient.Options{
		Entity: e,
		Online: func() { a.tell("listening at %s", e.URL("")) },
		Reconnecting: func(err error, wait time.Duration) {
			a.tell("%s; trying again in %v", a.explain(&relayError{e, err}), wait.Round(time.Millisecond))
		},
	}
	if echo {
		o.Handler = http.HandlerFunc(echoHTTP)
	} else if target == "" {
		o.Backlog = 1
	}
	l, err := relayclient.Listen(ctx, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return &relayError{e, err}
	}
	defer func() { _ = l.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	if !echo && target == "" {
		return a.listenOnce(ctx, l, e)
	}
	return a.serve(ctx, l, r, func(conn *relayclient.Conn) error {
		if echo {
			return echoConn(ctx, conn)
		}
		return forward(ctx, conn, target)
	})
}

// listenOnce relays the first connection, and takes no other.
func (a *app) listenOnce(ctx context.Context, l *relayclient.Listener, e relayclient.Entity) error {
	conn, err := l.Accept()
	if err != nil {
		return nil // It was interrupted.
	}
	_ = l.Close()
	a.tell("connected: %s", conn.RemoteAddr())
	if err := a.standard(ctx, conn.(*relayclient.Conn)); err != nil {
		return &relayError{e, err}
	}
	return nil
}

// serve has every connection handled until the listener is closed.
func (a *app) serve(
	ctx context.Context, l *relayclient.Listener, r *relayFlags, handle func(*relayclient.Conn) error,
) error {
	open := newConnections(r.connectionsMax)
	defer open.open.Wait()
	for open.acquire(ctx) {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		open.run(func() {
			from := conn.RemoteAddr()
			if !r.quiet {
				a.tell("connected: %s", from)
			}
			err := handle(conn.(*relayclient.Conn))
			switch {
			case ctx.Err() != nil:
			case err != nil:
				a.tell("ended: %s: %s", from, a.explain(err))
			case !r.quiet:
				a.tell("ended: %s", from)
			}
		})
	}
	return nil
}

// echoConn sends back what comes.
func echoConn(ctx context.Context, conn *relayclient.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, err := io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
	_ = conn.Close()
	return err
}

// echoHTTP answers with the body that came, or if there is none with what was
// asked for.
func echoHTTP(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	n, err := io.Copy(w, r.Body)
	if n == 0 && err == nil {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "%s %s\n", r.Method, r.URL)
	}
}

// forward relays a connection to a TCP target.
func forward(ctx context.Context, conn *relayclient.Conn, target string) error {
	const codeInternal = 1011
	dialer := net.Dialer{Timeout: dialTimeout}
	tcp, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		_ = conn.CloseWith(codeInternal, "the listener cannot reach its target")
		return err
	}
	half, ok := tcp.(halfCloser)
	if !ok {
		_ = conn.Close()
		_ = tcp.Close()
		return errors.New("the target's connection cannot end one direction")
	}
	return splice(ctx, conn, half)
}
