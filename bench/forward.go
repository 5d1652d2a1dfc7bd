package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// startForwarders starts a target that only forwards, and the door behind it.
func (t *Target) startForwarders(ctx context.Context, o startOptions) (*gateway, error) {
	dir, err := os.MkdirTemp("", "relaybench-")
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	g := &gateway{fresh: true, dir: dir}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		g.door, err = l.(*net.TCPListener).File()
		_ = l.Close()
	}
	if err == nil {
		err = t.launch(ctx, g, o)
	}
	if err != nil {
		g.kill()
		return nil, fmt.Errorf("start %s: %w", t.Name, err)
	}
	for _, c := range g.forwarders[:len(g.forwarders)-g.unmeasured] {
		g.pids = append(g.pids, c.pid())
		g.pids = append(g.pids, childrenOf(c.pid())...)
	}
	return g, nil
}

// doorAddr is where g.door listens.
func (g *gateway) doorAddr() (netip.AddrPort, error) {
	l, err := net.FileListener(g.door)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// forward starts one process of g in its directory.
func (g *gateway) forward(path string, args ...string) error {
	return g.forwardWith(exec.Command(path, args...))
}

func (g *gateway) forwardWith(cmd *exec.Cmd) error {
	cmd.Dir = g.dir
	c, err := startChild(cmd)
	if err == nil {
		g.forwarders = append(g.forwarders, c)
	}
	return err
}

// awaitListening waits until something takes connections at g.addr, as long as
// all processes of g run.
func (g *gateway) awaitListening(ctx context.Context) error {
	return g.awaitAt(ctx, g.addr)
}

func (g *gateway) awaitAt(ctx context.Context, at netip.AddrPort) error {
	var d net.Dialer
	for end := time.Now().Add(startMax); ; {
		c, err := d.DialContext(ctx, "tcp", at.String())
		if err == nil {
			return c.Close()
		}
		for _, f := range g.forwarders {
			select {
			case end := <-f.exited:
				f.exited <- end
				return fmt.Errorf("ended before it was ready: %s%s", end, f.output)
			default:
			}
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return errors.Join(ctx.Err(), fmt.Errorf("not ready within %v: %w", startMax, err))
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// freeAddr is an address that was free a moment ago, for programs that cannot
// choose one themselves.
func freeAddr() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).AddrPort(), nil
}

// childrenOf are the processes that pid has started.
func childrenOf(pid int) (children []int) {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(raw)) {
		if child, err := strconv.Atoi(f); err == nil {
			children = append(children, child)
		}
	}
	return children
}

// workers is how many threads or processes a target may use.
func workers(o startOptions) int {
	if o.oneLoop {
		return 1
	}
	return runtime.NumCPU()
}

// forwardConnections is how many connections a forwarder may have: two
// descriptors each.
func forwardConnections() int { return (int(descriptorLimit()) - haproxySpare) / 2 }

func launchHAProxy(path string) func(context.Context, *gateway, startOptions) error {
	return func(ctx context.Context, g *gateway, o startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		if g.addr, err = freeAddr(); err != nil {
			return err
		}
		config := fmt.Sprintf(`global
	maxconn %d
	nbthread %d
defaults
	mode http
	maxconn %[1]d
	timeout connect 5s
	timeout client 1h
	timeout server 1h
	timeout tunnel 1h
frontend clients
	bind %[3]s
	default_backend listener
backend listener
	server listener %[4]s
`, forwardConnections(), workers(o), g.addr, door)
		if err := g.write("haproxy.cfg", config); err != nil {
			return err
		}
		if err := g.forward(path, "-q", "-db", "-f", "haproxy.cfg"); err != nil {
			return err
		}
		return g.awaitListening(ctx)
	}
}

func launchNginx(path string) func(context.Context, *gateway, startOptions) error {
	return func(ctx context.Context, g *gateway, o startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		if g.addr, err = freeAddr(); err != nil {
			return err
		}
		config := fmt.Sprintf(`daemon off;
pid nginx.pid;
error_log stderr error;
worker_processes %d;
worker_rlimit_nofile %d;
events { worker_connections %[2]d; }
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %[3]s backlog=4096;
		location / {
			proxy_pass http://%[4]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			proxy_read_timeout 1h;
			proxy_send_timeout 1h;
		}
	}
}
`, workers(o), descriptorLimit(), g.addr, door)
		if err := g.write("nginx.conf", config); err != nil {
			return err
		}
		err = g.forward(path, "-p", g.dir, "-c", filepath.Join(g.dir, "nginx.conf"), "-e", "stderr")
		if err != nil {
			return err
		}
		return g.awaitListening(ctx)
	}
}

// launchFRP starts server and agent. TLS between them, the default, is off:
// nobody else in the table encrypts.
func launchFRP(dir string) func(context.Context, *gateway, startOptions) error {
	return func(ctx context.Context, g *gateway, _ startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		server, err := freeAddr()
		if err != nil {
			return err
		}
		if g.addr, err = freeAddr(); err != nil {
			return err
		}
		err = errors.Join(g.write("frps.toml", fmt.Sprintf(`bindAddr = "127.0.0.1"
bindPort = %d
proxyBindAddr = "127.0.0.1"
log.level = "error"
`, server.Port())), g.write("frpc.toml", fmt.Sprintf(`serverAddr = "127.0.0.1"
serverPort = %d
log.level = "error"
transport.tls.enable = false
[[proxies]]
name = "bench"
type = "tcp"
localIP = "127.0.0.1"
localPort = %d
remotePort = %d
`, server.Port(), door.Port(), g.addr.Port())))
		if err == nil {
			err = g.forward(filepath.Join(dir, "frps"), "-c", "frps.toml")
		}
		if err == nil {
			err = g.awaitAt(ctx, server)
		}
		if err == nil {
			err = g.forward(filepath.Join(dir, "frpc"), "-c", "frpc.toml")
		}
		if err == nil {
			err = g.awaitListening(ctx)
		}
		return err
	}
}

// launchChisel starts server and agent; what is between them is SSH and cannot
// be anything else.
func launchChisel(dir string) func(context.Context, *gateway, startOptions) error {
	return func(ctx context.Context, g *gateway, _ startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		server, err := freeAddr()
		if err != nil {
			return err
		}
		if g.addr, err = freeAddr(); err != nil {
			return err
		}
		path := filepath.Join(dir, "chisel")
		err = g.forward(path, "server", "--host", "127.0.0.1", "--port",
			strconv.Itoa(int(server.Port())), "--reverse")
		if err == nil {
			err = g.awaitAt(ctx, server)
		}
		if err == nil {
			err = g.forward(path, "client", "http://"+server.String(),
				fmt.Sprintf("R:%v:%v", g.addr, door))
		}
		if err == nil {
			err = g.awaitListening(ctx)
		}
		return err
	}
}

// launchStrelaysrv starts the relay, which announces itself nowhere, and behind it
// the clients, whose cost is not the relay's.
func launchStrelaysrv(dir string) func(context.Context, *gateway, startOptions) error {
	return func(ctx context.Context, g *gateway, _ startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		relay, err := freeAddr()
		if err != nil {
			return err
		}
		if g.addr, err = freeAddr(); err != nil {
			return err
		}
		err = g.forward(filepath.Join(dir, "strelaysrv"), "-listen", relay.String(), "-keys", g.dir,
			"-pools", "", "-status-srv", "")
		if err == nil {
			err = g.awaitAt(ctx, relay)
		}
		if err == nil {
			g.unmeasured = 1
			err = g.forward(filepath.Join(dir, "ends"), relay.String(), g.addr.String(),
				door.String())
		}
		if err == nil {
			err = g.awaitListening(ctx)
		}
		return err
	}
}

// write makes a file in the directory of g.
func (g *gateway) write(name, text string) error {
	return os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600)
}
