package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/floor"
)

// forwardingTarget hands on bytes of TCP in this process. before, when set, is
// called with the door's address once it is known.
func forwardingTarget(t *testing.T, before func(door netip.AddrPort)) Target {
	t.Helper()
	target := Target{Name: "gateway", Open: true, Compared: "forwards bytes"}
	target.launch = func(_ context.Context, g *gateway, _ startOptions) error {
		door, err := g.doorAddr()
		if err != nil {
			return err
		}
		if before != nil {
			before(door)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		g.addr = l.Addr().(*net.TCPAddr).AddrPort()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go forwardBytes(c.(*net.TCPConn), door)
			}
		}()
		return nil
	}
	return target
}

func forwardBytes(c *net.TCPConn, to netip.AddrPort) {
	defer func() { _ = c.Close() }()
	other, err := net.Dial("tcp", to.String())
	if err != nil {
		return
	}
	defer func() { _ = other.Close() }()
	// Without ReadFrom, which would keep pipes of splice(2) for later.
	move := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from})
	}
	go func() {
		move(other, c)
		_ = other.Close()
	}()
	move(c, other)
}

// Every test that applies to a target that forwards runs, and the others say why
// not.
func TestRunThroughTheDoor(t *testing.T) {
	o := testOptions(forwardingTarget(t, nil))
	o.Tests = testIDs()
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, r := range rows {
		switch {
		case r.Failures > 0:
			t.Errorf("%s: %v", r.Test, r.FailureTexts)
		case r.Skipped == "":
			ran++
			if len(r.Figures) == 0 || r.Compared == "" {
				t.Errorf("%s: %+v", r.Test, r)
			}
		}
	}
	if ran < 9 { // those that need no processes and only open connections
		t.Errorf("only %d tests ran", ran)
	}
	if b1 := findRow(rows, "b1", "gateway"); b1.figure("throughput").Median <= 0 {
		t.Errorf("b1: %+v", b1)
	}
}

// Strangers at the door are no failure and disturb nobody.
func TestStrangersAtTheDoor(t *testing.T) {
	var strangers []net.Conn
	o := testOptions(forwardingTarget(t, func(door netip.AddrPort) {
		for _, head := range []string{"", "nonsense", "GET /?pair=12345 HTTP/1.1\r\n\r\n",
			"GET /?pair= HTTP/1.1\r\n\r\n", strings.Repeat("x", 3*responseHeadMax)} {
			c, err := net.Dial("tcp", door.String())
			if err != nil {
				t.Fatal(err)
			}
			strangers = append(strangers, c)
			_, _ = io.WriteString(c, head)
		}
	}))
	o.Tests = []string{"b5"}
	rows, err := Run(context.Background(), o)
	if err != nil || rows[0].Failures > 0 {
		t.Errorf("%v, %v", err, rows[0].FailureTexts)
	}
	for i, c := range strangers {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("stranger %d got an answer", i)
		}
		_ = c.Close()
	}
}

func TestMissingPeerIsAResult(t *testing.T) {
	missing := &Peer{Name: "missing", prepare: func(context.Context, Places, *Target) error {
		return errors.New("it is not there")
	}}
	target := missing.Target(context.Background(), Places{})
	o := testOptions(target)
	o.Tests = []string{"b1", "b7"}
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Failures != 1 || !strings.Contains(r.FailureTexts[0], "install missing: it is not there") {
			t.Errorf("%s: %q", r.Test, r.FailureTexts)
		}
	}
	if _, err := missing.Check(context.Background(), Places{}); err == nil {
		t.Error("a check that passes")
	}
}

// The balancers are among the prerequisites of the tests, so they must start.
func TestPeersOfTheMachine(t *testing.T) {
	for _, p := range Peers() {
		switch p.Name {
		case "floor", "haproxy", "nginx":
		default:
			continue // built from modules, or by the binary that is not there yet
		}
		target, err := p.Check(context.Background(), Places{Cache: t.TempDir()})
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if target.Version == "" || target.Compared == "" {
			t.Errorf("%s: %+v", p.Name, target)
		}
	}
}

func TestInstallReportsWhatGoSays(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	m := module{path: "example.invalid/nothing", version: "v1.0.0", packages: []string{""}}
	if _, err := m.install(context.Background(), t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "example.invalid/nothing@v1.0.0") {
		t.Errorf("error %v", err)
	}
}

// Set-ups by the thousand that end in resets: a descriptor that is used again at
// once must not inherit the end of the connection before.
func TestFloorSetUps(t *testing.T) {
	path, err := floor.Build(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(Target{Name: "floor", Binary: path, Command: "floor", Open: true})
	o.Tests, o.tiny.window, o.tiny.atOnce = []string{"b6"}, time.Second, []int{64}
	rows, err := Run(context.Background(), o)
	if err != nil || rows[0].Failures > 0 {
		t.Errorf("%v, %v", err, rows[0].FailureTexts)
	}
}
