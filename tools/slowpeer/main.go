// Command slowpeer is a sender or a listener that misbehaves on purpose: it
// reads and writes slowly, stops reading for a while, or cuts its connection in
// the middle of something. It helps to see what a gateway does about it.
//
//	slowpeer --role sender --write 600MB --write-rate 100kB
//	slowpeer --role listener --stall-at 1MB --stall 3s
//	slowpeer --role sender --write-rate 10 --cut-at 50
//
// The last one is a slow request head that breaks off after 50 bytes.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayhouse/relayhouse/sas"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "slowpeer:", err)
		os.Exit(2)
	}
}

func newCommand() *cobra.Command {
	p := &peer{}
	var rule, key string
	cmd := &cobra.Command{
		Use:   "slowpeer",
		Short: "a sender or listener that is slow, stalls or cuts its connection",
		Long: `Connects one leg of a relayed connection and misbehaves on it. As listener it
registers on a control channel of its own, which behaves, accepts one sender, and
misbehaves on the rendezvous connection.

All counts are of bytes on the wire from the first byte of the request head on,
so that a head can be slow or cut as well. Numbers may end in kB, MB, KiB or MiB.
One line at the end says what was sent and received and how the leg ended.`,
		Example: `  slowpeer --role sender --write 600MB         send, and read what comes back
  slowpeer --role listener --stall 3s          accept, read nothing for 3 s
  slowpeer --role listener --read-rate 1kB     accept, read 1,000 bytes a second
  slowpeer --role sender --write 1MB --cut-at 70000 --reset`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.role != "sender" && p.role != "listener" {
				return fmt.Errorf("--role %q: want sender or listener", p.role)
			}
			if p.token == "" && key != "" {
				p.token = sas.Sign("http://"+p.gateway+"/"+p.entity, rule, key,
					time.Now().Add(time.Hour))
			}
			ctx, stop := context.WithTimeout(cmd.Context(), p.limit)
			defer stop()
			result, err := p.run(ctx)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), result)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.gateway, "gateway", "127.0.0.1:8080", "address of the gateway's HTTP port")
	f.StringVar(&p.entity, "entity", "unauthenticated", "hybrid connection")
	f.StringVar(&p.role, "role", "sender", "sender or listener")
	f.StringVar(&p.token, "token", "", "token to present (default: signed with --key)")
	f.StringVar(&rule, "rule", "RootManageSharedAccessKey", "authorization rule of --key")
	f.StringVar(&key, "key", "SAS_KEY_VALUE", "key that signs the token; empty for none")
	f.Var(&p.write, "write", "payload bytes to send before the Close")
	f.Var(&p.message, "message", "payload bytes of one message")
	f.Var(&p.writeRate, "write-rate", "bytes per second to write; 0 for no limit")
	f.Var(&p.readRate, "read-rate", "bytes per second to read; 0 for no limit")
	f.Var(&p.stallAt, "stall-at", "stop reading after so many bytes, for as long as --stall says")
	f.DurationVar(&p.stall, "stall", 0, "how long to stop reading")
	f.Var(&p.cutAt, "cut-at", "close the connection after writing so many bytes; 0 for never")
	f.BoolVar(&p.reset, "reset", false, "cut with a reset instead of an end")
	f.DurationVar(&p.limit, "for", 10*time.Minute, "give up after this long")
	p.message = 64 << 10
	return cmd
}

// A size is a number of bytes as a flag.
type size int64

// Type is what the help text calls the value.
func (s *size) Type() string { return "bytes" }

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

// Set reads "10", "10kB", "10KiB", "10MB" or "10MiB".
func (s *size) Set(text string) error {
	unit := int64(1)
	for _, u := range []struct {
		name string
		n    int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"kB", 1e3}, {"MB", 1e6}} {
		if rest, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = rest, u.n
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 40)
	if err != nil || n < 0 {
		return fmt.Errorf("want a number of bytes such as 65536, 64KiB or 600MB")
	}
	*s = size(n * unit)
	return nil
}
