package naive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// headMax is how long a request head may take to arrive.
const headMax = 30 * time.Second

// Config says where to listen. Port 0 picks a free one.
type Config struct {
	HTTP, Admin string // addresses
	// DataDir gets endpoints.json with the chosen addresses; empty writes
	// none.
	DataDir string
	// Ready, when set, is called once with the chosen addresses.
	Ready func(http, admin string)
}

// Serve runs a relay until ctx ends. Relayed connections do not outlive it.
func Serve(ctx context.Context, c Config) error {
	public, err := net.Listen("tcp", c.HTTP)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	private, err := net.Listen("tcp", c.Admin)
	if err != nil {
		_ = public.Close()
		return fmt.Errorf("listen for the operator: %w", err)
	}
	relay := &http.Server{Handler: new(Relay), ReadHeaderTimeout: headMax}
	admin := &http.Server{Handler: readiness(), ReadHeaderTimeout: headMax}
	failed := make(chan error, 2)
	go func() { failed <- relay.Serve(public) }()
	go func() { failed <- admin.Serve(private) }()
	err = writeEndpoints(c.DataDir, public.Addr().String(), private.Addr().String())
	if err == nil {
		if c.Ready != nil {
			c.Ready(public.Addr().String(), private.Addr().String())
		}
		select {
		case err = <-failed:
		case <-ctx.Done():
		}
	}
	_ = relay.Close()
	_ = admin.Close()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

func readiness() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// writeEndpoints writes the file as a whole: a reader sees all of it or none.
func writeEndpoints(dir, public, private string) error {
	if dir == "" {
		return nil
	}
	body, err := json.Marshal(map[string]string{
		"http": public, "https": "", "admin": private, "management": "",
	})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "endpoints.json")
	if err := os.WriteFile(path+".new", append(body, '\n'), 0o644); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write endpoints: %w", err)
	}
	return nil
}
