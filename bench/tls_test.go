package bench

import (
	"context"
	"strings"
	"testing"
	"time"
)

// Every test of the matrix against a process that serves TLS itself.
func TestRunEveryTestWithTLS(t *testing.T) {
	target := childTarget(t, "naive")
	target.TLS, target.Open = OwnTLS, true
	o := testOptions(target)
	o.Tests = testIDs()
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Failures != 0 && r.Test != "fairness" { // see TestRunEveryTest
			t.Errorf("%s: %v", r.Test, r.FailureTexts)
		}
		if r.Test == "b10" && r.Skipped != "" {
			continue // its driver processes have no TLS
		}
		if r.Test != "storm" && len(r.Figures) < 3 {
			t.Errorf("%s: only %d figures; %s", r.Test, len(r.Figures), r.Skipped)
		}
		if notes := strings.Join(r.Notes, "\n"); r.Test != "storm" &&
			!strings.Contains(notes, "negotiated TLS 1.3, TLS_AES_128_GCM_SHA256, X25519, ECDSA P-256") {
			t.Errorf("%s: notes %q", r.Test, notes)
		}
	}
}

// The tests for TLS with all ways to reach a target; by default they are chosen
// when there is one with TLS.
func TestTLSTargets(t *testing.T) {
	plain := childTarget(t, "naive")
	plain.Name, plain.Open = "plain", true
	own, front := plain, plain
	own.Name, own.TLS = "own", OwnTLS
	front.Name, front.TLS = "haproxy", FrontTLS
	front.Args = []string{"--gateway-advertised-scheme=wss"}
	o := testOptions(plain, own, front)
	o.Baseline = "own"
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4*3 {
		t.Fatalf("%d rows for 4 tests and 3 targets", len(rows))
	}
	_, missing := findHAProxy()
	for i := range rows {
		r := &rows[i]
		if r.Failures > 0 {
			t.Errorf("%s %s: %v", r.Test, r.Target, r.FailureTexts)
		}
		skipped := r.Target == "plain" && r.Test == "tls-storm" ||
			r.Target == "haproxy" && missing != nil
		if (r.Skipped != "") != skipped {
			t.Errorf("%s %s: skipped %q", r.Test, r.Target, r.Skipped)
		}
		if !skipped && len(r.Figures) < 3 {
			t.Errorf("%s %s: %d figures", r.Test, r.Target, len(r.Figures))
		}
		if f := r.figure("resumed: resumed"); r.Test == "tls-setup" && !skipped &&
			(f != nil) != (r.Target != "plain") {
			t.Errorf("%s %s: resumed %+v", r.Test, r.Target, f)
		}
	}
	var table strings.Builder
	if err := WriteTable(&table, rows); err != nil || !strings.Contains(table.String(), "TARGET") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

// Targets that cannot have TLS are no failures, in tests that start processes
// as in others.
func TestTLSUnfit(t *testing.T) {
	defer func(places []string) { haproxyPlaces = places }(haproxyPlaces)
	haproxyPlaces = []string{"/nonexistent/haproxy"}
	for _, c := range []struct {
		end  TLSEnd
		want string
	}{
		{OwnTLS, "serves no https"}, {FrontTLS, "no haproxy on this machine"},
	} {
		target := childTarget(t, "without TLS")
		target.TLS = c.end
		o := testOptions(target)
		o.Tests = []string{"tls-bulk", "tls-idle"}
		rows, err := Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Failures > 0 || !strings.Contains(r.Skipped, c.want) {
				t.Errorf("%s: skipped %q, want %q; %v", r.Test, r.Skipped, c.want, r.FailureTexts)
			}
		}
	}
}

// An HAProxy that does not start says why, and neither process stays.
func TestFrontFails(t *testing.T) {
	defer func(places []string) { haproxyPlaces = places }(haproxyPlaces)
	haproxyPlaces = []string{"false"}
	target := childTarget(t, "naive")
	target.TLS = FrontTLS
	o := testOptions(target)
	o.Tests = []string{"tls-bulk"}
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rows[0].FailureTexts, "\n"); !strings.Contains(got,
		"start haproxy: ended before it was ready: exit status 1") {
		t.Errorf("failures %q", got)
	}
}

// A target that does not even begin to answer has failed; and slow connections
// say one byte at a time.
func TestTLSStormUnanswered(t *testing.T) {
	tr := startTrial(t, secureTarget(cutting(t)))
	s, err := newHelloStorm(tr, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	ctx, enough := context.WithTimeout(t.Context(), 30*time.Second)
	defer enough()
	s.heard = func() {
		if s.answers["ended by the gateway"] >= 3 {
			enough()
		}
	}
	if err := s.beside(func() error { <-ctx.Done(); return nil }); err != nil {
		t.Fatal(err)
	}
	s.report(tr, "")
	if got := tr.failures.first(); !strings.Contains(got, "no handshake was answered") {
		t.Errorf("first failure %q", got)
	}
	if n, _ := tr.value("silent still there"); n != 2 {
		t.Errorf("%v silent connections", n)
	}
	o := &slowHello{left: s.hello, c: s.silent[0].c}
	o.say()
	o.say()
	if len(o.left) != len(s.hello)-2 {
		t.Errorf("%d of %d bytes left after two", len(o.left), len(s.hello))
	}
}
