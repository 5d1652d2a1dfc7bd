// Command relayctl manages gateways and relays from a shell: see package relayctl
// and docs/relayctl.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/relayhouse/relayhouse/relayctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := relayctl.Run(ctx, os.Args[1:], relayctl.System())
	stop()
	os.Exit(status)
}
