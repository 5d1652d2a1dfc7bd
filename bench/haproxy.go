package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/template"

	"github.com/relayhouse/relayhouse/internal/selfsigned"
)

// haproxySpare is how many descriptors HAProxy keeps for other purposes than
// connections.
const haproxySpare = 200

// haproxyConfig makes HAProxy end TLS and hand on bytes, which costs it least:
// it parses no HTTP. The cipher is the one that the other targets choose. The
// listening socket is inherited, so that its port is free for certain; nothing
// needs a privilege.
var haproxyConfig = template.Must(template.New("haproxy.cfg").Parse(`global
	maxconn {{.Connections}}
	nbthread {{.Threads}}
	ssl-default-bind-options ssl-min-ver TLSv1.2
	ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256
	ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
defaults
	mode tcp
	maxconn {{.Connections}}
	timeout connect 5s
	timeout client 1h
	timeout server 1h
frontend clients
	bind fd@3 ssl crt {{.Dir}}/haproxy.pem
	default_backend gateway
backend gateway
	server gateway {{.Gateway}}
`))

// haproxyPlaces is where to look; the second is where Debian installs it, which
// need not be in the path of ordinary users. Tests replace it.
var haproxyPlaces = []string{"haproxy", "/usr/sbin/haproxy"}

func findHAProxy() (string, error) {
	for _, place := range haproxyPlaces {
		if path, err := exec.LookPath(place); err == nil {
			return path, nil
		}
	}
	return "", &unfit{"there is no haproxy on this machine (apt-get install haproxy)"}
}

// startFront puts an HAProxy that ends TLS in front of g, with files in the
// directory of g. From then on it is part of g.
func (g *gateway) startFront(ctx context.Context, o startOptions) error {
	path, err := findHAProxy()
	if err != nil {
		return err
	}
	certificate, err := g.writeFrontFiles(o)
	if err != nil {
		return fmt.Errorf("configure haproxy: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for haproxy: %w", err)
	}
	defer func() { _ = l.Close() }()
	tcp := l.(*net.TCPListener)
	socket, err := tcp.File()
	if err != nil {
		return fmt.Errorf("listen for haproxy: %w", err)
	}
	defer func() { _ = socket.Close() }()
	cmd := exec.Command(path, "-q", "-db", "-f", filepath.Join(g.dir, "haproxy.cfg"))
	cmd.ExtraFiles = []*os.File{socket} // becomes descriptor 3
	if g.front, err = startChild(cmd); err != nil {
		return err
	}
	g.addr = tcp.Addr().(*net.TCPAddr).AddrPort()
	g.pids = append(g.pids, g.front.pid())
	return g.awaitFront(ctx, certificate)
}

// writeFrontFiles returns the certificate that clients have to trust.
func (g *gateway) writeFrontFiles(o startOptions) (certificate []byte, err error) {
	certificate, key, err := selfsigned.New()
	if err != nil {
		return nil, err
	}
	both := append(append([]byte(nil), certificate...), key...)
	if err := os.WriteFile(filepath.Join(g.dir, "haproxy.pem"), both, 0o600); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(g.dir, "haproxy.cfg"))
	if err != nil {
		return nil, err
	}
	threads := runtime.NumCPU()
	if o.oneLoop {
		threads = 1
	}
	err = haproxyConfig.Execute(file, map[string]any{
		// Each connection takes a descriptor on either side.
		"Connections": (int(descriptorLimit()) - haproxySpare) / 2, "Threads": threads,
		"Dir": g.dir, "Gateway": g.addr,
	})
	return certificate, errors.Join(err, file.Close())
}

// awaitFront waits until HAProxy shakes hands.
func (g *gateway) awaitFront(ctx context.Context, certificate []byte) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- checkCertificate(ctx, g.addr, certificate) }()
	select {
	case err := <-ready:
		if err != nil {
			return fmt.Errorf("start haproxy: %w%s", err, g.front.output)
		}
		return nil
	case end := <-g.front.exited:
		g.front.exited <- end
		cancel()
		<-ready //nolint:errcheck // the end is what is reported
		return fmt.Errorf("start haproxy: ended before it was ready: %s%s", end, g.front.output)
	}
}
