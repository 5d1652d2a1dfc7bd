package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/bench/naive"
)

func holdRow(t *testing.T, change func(o *Options)) Row {
	t.Helper()
	o := testOptions(childTarget(t, "naive"))
	o.Tests = []string{"b10"}
	change(&o)
	rows, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rows[0]
}

func TestHold(t *testing.T) {
	var progress bytes.Buffer
	r := holdRow(t, func(o *Options) { o.Progress = &progress })
	if r.Failures != 0 {
		t.Fatal(r.FailureTexts)
	}
	for name, want := range map[string]float64{"relays held": 11, "relays echoed": 11,
		"gateways": 2, "dropped packets": 0} {
		if f := r.figure(name); f == nil || f.Median != want {
			t.Errorf("%s: %+v, want %v", name, f, want)
		}
	}
	for _, n := range []string{"4", "8", "11"} {
		if f := r.figure(n + ": user"); f == nil || f.Median <= 0 {
			t.Errorf("no point at %s relays", n)
		}
	}
	if !strings.Contains(progress.String(), "     8 relays") {
		t.Errorf("progress says %q", progress.String())
	}
}

func TestHoldStopsAtTheMemoryFloor(t *testing.T) {
	r := holdRow(t, func(o *Options) { o.tiny.hold.MemoryFloor = 1 << 60 })
	if r.Failures != 1 || r.FailureTexts[0] != "no relay could be held" || len(r.Notes) != 1 ||
		!strings.HasPrefix(r.Notes[0], "stopped at 0 of 11 relays: ") {
		t.Errorf("failures %q, notes %q", r.FailureTexts, r.Notes)
	}
}

func TestHoldWithout(t *testing.T) {
	if r := holdRow(t, func(o *Options) { o.Drive = nil }); r.Skipped == "" || r.Failures != 0 {
		t.Errorf("without a command for drivers: %+v", r)
	}
	r := holdRow(t, func(o *Options) { o.Drive = []string{"/bin/sh", "-c", "echo nonsense"} })
	if r.Failures == 0 || !strings.Contains(strings.Join(r.FailureTexts, " "), "driver 0: report: ") {
		t.Errorf("a driver that talks nonsense: %q", r.FailureTexts)
	}
	r = holdRow(t, func(o *Options) { o.Drive = []string{"/bin/sh", "-c", "echo why >&2; exit 3"} })
	if !strings.Contains(strings.Join(r.FailureTexts, " "), "why") {
		t.Errorf("a driver that dies: %q", r.FailureTexts)
	}
}

func TestHoldSize(t *testing.T) {
	for _, c := range []struct {
		size HoldSize
		want string
	}{
		{HoldSize{Relays: 10, Gateways: 1, Step: 5}, ""},
		{HoldSize{Relays: 10, Gateways: 0, Step: 5}, "want all above zero"},
		{HoldSize{Relays: -1, Gateways: 1, Step: 5}, "want all above zero"},
		{HoldSize{Relays: 10, Gateways: sourceNets + 1, Step: 5}, "at most 200 gateways"},
		{HoldSize{Relays: 1 << 30, Gateways: 2, Step: 5}, "; take "},
	} {
		err := c.size.check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.size, err, c.want)
		}
	}
	got := HoldSize{Relays: 7}.or(HoldSize{Relays: 1, Gateways: 2, Step: 9, Rest: 3})
	if got != (HoldSize{7, 2, 7, 3, DefaultMemoryFloor}) {
		t.Errorf("filled in: %+v", got)
	}
}

// A driver process counts every relay that it loses, and goes on.
func TestDriveReportsLostRelays(t *testing.T) {
	relay := new(naive.Relay)
	target := inProcess(t, http.HandlerFunc(relay.ServeHTTP))
	addr, err := resolve(target.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	h := &holder{}
	defer h.close()
	var out bytes.Buffer
	h.reports = json.NewEncoder(&out)
	first := order{Site: &driverSite{Addr: addr, Entity: "e", SourceNet: 7}, Open: 5}
	if err := h.follow(ctx, first); err != nil {
		t.Fatal(err)
	}
	h.pairs[2].lost(h.pairs[2].sender, errors.New("gone"))
	if err := h.follow(ctx, order{Sweep: true}); err != nil {
		t.Fatal(err)
	}
	var reports [2]report
	dec := json.NewDecoder(&out)
	for i := range reports {
		if err := dec.Decode(&reports[i]); err != nil {
			t.Fatal(err)
		}
	}
	if reports[0].Held != 5 || len(reports[0].Failures) != 0 {
		t.Errorf("after opening: %+v", reports[0])
	}
	if r := reports[1]; r.Held != 4 || r.Echoed != 4 || r.Failures["echo: sender leg: gone"] != 1 {
		t.Errorf("after a loss: %+v", r)
	}
}

func TestDriveEnds(t *testing.T) {
	for orders, want := range map[string]string{
		"":                 "",
		`{"Open":1}`:       "names no site",
		"nonsense":         "",
		`{"Site":{}}`:      "want a loopback address",
		"{\"Sweep\":true}": "names no site",
	} {
		var out bytes.Buffer
		err := Drive(context.Background(), strings.NewReader(orders), &out)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) ||
			err != nil && !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v, reported %q", orders, err, out.String())
		}
	}
}
