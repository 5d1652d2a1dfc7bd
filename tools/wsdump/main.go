// Command wsdump shows what two WebSocket peers say to each other. It forwards
// TCP on loopback and prints, with a timestamp and for both directions, the HTTP
// heads and then every WebSocket frame:
//
//	wsdump --target 127.0.0.1:8080 --listen 127.0.0.1:8081
//
// and point the client at port 8081. A gateway that names the listener's own
// host in rendezvous addresses sends the listener through wsdump, too. Tokens
// are not printed unless --secrets is given.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "wsdump:", err)
		os.Exit(2)
	}
}

func newCommand() *cobra.Command {
	var d dump
	listen := "127.0.0.1:0"
	cmd := &cobra.Command{
		Use:   "wsdump --target HOST:PORT",
		Short: "print the HTTP heads and WebSocket frames between two peers",
		Long: `Forwards TCP connections from --listen to --target and prints what passes:

  12:00:00.000123  1 >  GET /$hc/echo?sb-hc-action=connect HTTP/1.1
  12:00:00.004561  1 <  HTTP/1.1 101 Switching Protocols
  12:00:00.004700  1 >  text fin masked 5 bytes  "hello"
  12:00:00.009999  1 <  close fin 2 bytes  1000 ""

The number is the connection, ">" is from the client, "<" from the gateway.
Plain text only; put it in front of the TLS end.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			d.out = cmd.OutOrStdout()
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "wsdump: %s -> %s\n", l.Addr(), d.target)
			return d.serve(cmd.Context(), l)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", listen, "address to listen on; loopback only")
	cmd.Flags().StringVar(&d.target, "target", "", "address to forward to")
	cmd.Flags().IntVar(&d.show, "bytes", 64, "bytes of each payload to print")
	cmd.Flags().BoolVar(&d.secrets, "secrets", false, "print tokens as they are")
	_ = cmd.MarkFlagRequired("target")
	return cmd
}

// A dump forwards connections and prints them.
type dump struct {
	target  string
	show    int
	secrets bool

	mu  sync.Mutex // guards out
	out io.Writer
}

// serve runs until ctx ends and takes every connection down with it.
func (d *dump) serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if at, ok := l.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
		_ = l.Close()
		return fmt.Errorf("listen address %s: want a loopback address", at)
	}
	var conns sync.WaitGroup
	defer conns.Wait()
	for n := 1; ; n++ {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		conns.Go(func() { d.forward(ctx, c, n) })
	}
}

// forward copies both directions of one connection until both have ended.
func (d *dump) forward(ctx context.Context, client net.Conn, n int) {
	defer func() { _ = client.Close() }()
	gateway, err := net.DialTimeout("tcp", d.target, 10*time.Second)
	if err != nil {
		d.print(n, '<', "cannot connect: "+err.Error())
		return
	}
	defer func() { _ = gateway.Close() }()
	defer context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = gateway.Close()
	})()
	upgraded := new(upgrade)
	var directions sync.WaitGroup
	directions.Go(func() { d.direction(n, '>', client, gateway, upgraded) })
	directions.Go(func() { d.direction(n, '<', gateway, client, upgraded) })
	directions.Wait()
}

// direction copies one way. It prints before it writes, so that the lines of
// cause and effect stand in that order. An end is passed on as an end, an
// error as a reset.
func (d *dump) direction(n int, arrow byte, from, to net.Conn, u *upgrade) {
	s := &stream{
		fromClient: arrow == '>', upgrade: u, show: d.show, secrets: d.secrets,
		print: func(line string) { d.print(n, arrow, line) },
	}
	buf := make([]byte, 64<<10)
	for {
		read, err := from.Read(buf)
		s.feed(buf[:read])
		if read > 0 {
			if _, err := to.Write(buf[:read]); err != nil {
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			d.print(n, arrow, "end"+s.unfinished())
			_ = to.(*net.TCPConn).CloseWrite()
			return
		case err != nil:
			d.print(n, arrow, "broken: "+err.Error()+s.unfinished())
			_ = to.(*net.TCPConn).SetLinger(0)
			_ = to.Close()
			return
		}
	}
}

func (d *dump) print(n int, arrow byte, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, _ = fmt.Fprintf(d.out, "%s %2d %c  %s\n", time.Now().Format("15:04:05.000000"), n, arrow,
		line)
}
