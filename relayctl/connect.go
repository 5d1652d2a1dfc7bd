package relayctl

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/relayclient"
	"github.com/relayhouse/relayhouse/sas"
)

func (a *app) connectCommand() *cobra.Command {
	var local, suffix string
	cmd := &cobra.Command{
		Use:   "connect",
		Short: "be a sender: standard input and output, or a local TCP port",
		Long: `Be a sender: connect to a listener of a hybrid connection, and relay standard input and
output; end when the listener does. With --local-port, listen on a TCP port of this machine
instead, and open a relayed connection for each that comes, until interrupted.`,
		Example: `  relayctl connect --hyco orders
  relayctl connect --hyco orders --local-port 5432
  echo hello | relayctl connect --connection-string file:orders.txt`,
		Args: cobra.NoArgs,
	}
	r := a.relayer(cmd, sas.Send)
	f := cmd.Flags()
	f.StringVar(&local, "local-port", "", "`[ADDR:]PORT` to listen on; ADDR is 127.0.0.1 if left out")
	f.StringVar(&suffix, "path", "",
		"`PATH` below the hybrid connection, with a query, for the listener to see")
	r.many(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := r.check(); err != nil {
			return err
		}
		address := ""
		if local != "" {
			if !strings.Contains(local, ":") {
				local = "127.0.0.1:" + local
			}
			if _, _, err := net.SplitHostPort(local); err != nil {
				return usage("--local-port: want [ADDR:]PORT, got %q", local)
			}
			address = local
		}
		ctx := cmd.Context()
		e, err := a.entity(ctx, r)
		if err != nil {
			return err
		}
		dialer := &relayclient.Dialer{Entity: e, Suffix: suffix}
		if address != "" {
			return a.connectMany(ctx, r, dialer, address)
		}
		conn, err := dialer.Dial(ctx)
		if err != nil {
			return &relayError{e, err}
		}
		if err := a.standard(ctx, conn.(*relayclient.Conn)); err != nil {
			return &relayError{e, err}
		}
		return nil
	}
	return cmd
}

// connectMany opens a relayed connection for each TCP connection.
func (a *app) connectMany(
	ctx context.Context, r *relayFlags, dialer *relayclient.Dialer, address string,
) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("--local-port: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	a.tell("listening at %s, for %s", l.Addr(), dialer.Entity.URL(""))
	open := newConnections(r.connectionsMax)
	defer open.open.Wait()
	for open.acquire(ctx) {
		tcp, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				break
			}
			_ = l.Close()
			return fmt.Errorf("--local-port: %w", err)
		}
		open.run(func() {
			from := tcp.RemoteAddr()
			if !r.quiet {
				a.tell("connected: %s", from)
			}
			err := a.connectOne(ctx, dialer, tcp)
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

func (a *app) connectOne(ctx context.Context, dialer *relayclient.Dialer, tcp net.Conn) error {
	conn, err := dialer.Dial(ctx)
	if err != nil {
		_ = tcp.Close()
		return &relayError{dialer.Entity, err}
	}
	return splice(ctx, tcp.(*net.TCPConn), conn.(*relayclient.Conn))
}
