package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/relayhouse/relayhouse/bench/naive"
)

// Fragments as another framer sees them: one binary message with the pattern.
func TestPatternFragments(t *testing.T) {
	for _, size := range []uint64{1, fragmentSize, fragmentSize + 1, 3*fragmentSize - 1} {
		var stream []byte
		for at := uint64(0); at < size; at += fragmentSize {
			stream = appendPatternFragment(stream, fragmentSize, at, size)
		}
		var body []byte
		for rd := bytes.NewReader(stream); rd.Len() > 0; {
			first := len(body) == 0
			f, err := ws.ReadFrame(rd)
			if err != nil {
				t.Fatal(err)
			}
			if (f.Header.OpCode == ws.OpBinary) != first || f.Header.Fin != (rd.Len() == 0) ||
				!f.Header.Masked {
				t.Errorf("%d bytes: after %d a frame with the header %+v", size, len(body), f.Header)
			}
			body = append(body, ws.UnmaskFrameInPlace(f).Payload...)
		}
		if uint64(len(body)) != size || checkPattern(body, 0) >= 0 {
			t.Errorf("%d bytes: %d came, or others", size, len(body))
		}
	}
}

func TestFrameReaderTellsTextFromBinary(t *testing.T) {
	var got []string
	r := frameReader{
		verify: true,
		onText: func(b []byte) { got = append(got, "text "+string(b)) },
	}
	stream := append(gatewayFrame(ws.OpText, false, []byte("on")),
		gatewayFrame(ws.OpContinuation, true, []byte("e"))...)
	stream = append(stream, gatewayFrame(ws.OpBinary, false, pattern(40, 0))...)
	stream = append(stream, gatewayFrame(ws.OpContinuation, true, pattern(60, 40))...)
	for _, b := range stream {
		if _, err := r.feed([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(got) != "[text one]" || r.bytes != 100 || r.messages != 2 || r.frames != 4 {
		t.Errorf("got %q, %d bytes, %d messages, %d frames", got, r.bytes, r.messages, r.frames)
	}
	r.onMessage = func(b []byte) { got = append(got, "binary "+string(b)) }
	r.verify = false
	if _, err := r.feed(append(gatewayFrame(ws.OpBinary, true, []byte("two")),
		gatewayFrame(ws.OpText, true, nil)...)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[text one binary two text ]" {
		t.Errorf("got %q", got)
	}
}

// damaged is a naive relay whose handling of HTTP requests is replaced.
func damaged(
	handle func(w http.ResponseWriter, r *http.Request, relay http.Handler),
) http.Handler {
	relay := new(naive.Relay)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/$hc/") {
			relay.ServeHTTP(w, r)
			return
		}
		handle(w, r, relay)
	})
}

// Each way in which a gateway may go wrong must turn into a failure of the row.
func TestHTTPNoticesDamage(t *testing.T) {
	type relayed = func(w http.ResponseWriter, r *http.Request, relay http.Handler)
	for _, c := range []struct {
		name, want string
		handle     relayed
	}{
		{"refusal", "http: answered 503 Service Unavailable",
			func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusServiceUnavailable)
			}},
		{"short response", "bytes, want 1024",
			func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
				relay.ServeHTTP(&shortened{ResponseWriter: w}, r)
			}},
		{"short request", "http: the body of a request has 1000 bytes, want 1024",
			func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
				if r.ContentLength > 1000 {
					r.ContentLength, r.Body = 1000, io.NopCloser(io.LimitReader(r.Body, 1000))
				}
				relay.ServeHTTP(w, r)
			}},
		{"wrong sender", "http: sender 1 got the response of sender 0",
			func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
				r.URL.Path = strings.TrimSuffix(r.URL.Path, "1") + "0"
				relay.ServeHTTP(w, r)
			}},
		{"foreign request", "which nobody sent",
			func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
				r.URL.Path += "x"
				ctx, stop := context.WithCancel(r.Context())
				stop()
				relay.ServeHTTP(w, r.WithContext(ctx))
			}},
		{"close", "response with Connection: close",
			func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
				w.Header().Set("Connection", "close")
				relay.ServeHTTP(w, r)
			}},
		{"cut", "http: sender's connection: ended by the gateway",
			func(http.ResponseWriter, *http.Request, http.Handler) {
				panic(http.ErrAbortHandler)
			}},
	} {
		tr := startTrial(t, inProcess(t, damaged(c.handle)))
		for _, hc := range httpCases[:2] {
			_ = runHTTPCase(tr, "", hc.x, 2)
		}
		if got := strings.Join(tr.failures.list(), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: failures %q, want %q", c.name, got, c.want)
		}
	}
}

// A shortened response loses its first byte.
type shortened struct {
	http.ResponseWriter
	begun bool
}

func (s *shortened) Write(p []byte) (int, error) {
	if !s.begun && len(p) > 0 {
		s.begun = true
		n, err := s.ResponseWriter.Write(p[1:])
		return n + 1, err
	}
	return s.ResponseWriter.Write(p)
}

// A byte that is changed on its way through a long body.
func TestBulkNoticesDamage(t *testing.T) {
	const where = 700_000
	flip := func(p []byte, at int) bool {
		if at <= where && where < at+len(p) {
			p[where-at] ^= 1
		}
		return true
	}
	cut := func(p []byte, at int) bool { return at+len(p) <= where }
	for _, c := range []struct {
		name   string
		change func([]byte, int) bool
		want   []string // of a download, of an upload
	}{
		{"flipped byte", flip, []string{"of the body is", "of the stream is"}},
		{"cut", cut, []string{"http: sender's connection: ", "connection: "}},
	} {
		for i, bulk := range bulkCases(2e6, 2e6)[:2] {
			real := inProcess(t, new(naive.Relay))
			m := &meddler{target: strings.TrimPrefix(real.URL, "http://"), change: c.change}
			tr := startTrial(t, m.serve(t))
			err := runBulkCase(tr, bulk)
			got := fmt.Sprint(err, strings.Join(tr.failures.list(), "\n"))
			if !strings.Contains(got, c.want[i]) || tr.failures.count() == 0 {
				t.Errorf("%s, %s: %q, want %q", c.name, bulk.name, got, c.want[i])
			}
		}
	}
}

// The slow receivers are slow: the body takes as long as both stalls.
func TestBulkStalls(t *testing.T) {
	target := inProcess(t, new(naive.Relay))
	target.PID = 0 // memory is not the matter
	tr := startTrial(t, target)
	tr.size.stall = 50 * time.Millisecond
	for _, c := range bulkCases(0, 30e6)[2:] {
		begun := time.Now()
		if err := runBulkCase(tr, c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 2*tr.size.stall || tr.failures.count() > 0 {
			t.Errorf("%s: %v, failures %q", c.name, took, tr.failures.list())
		}
	}
}

// A gateway that keeps bodies whole must fail the row, unless it is the one
// that is compared with.
func TestBulkNoticesKeptBodies(t *testing.T) {
	keeping := damaged(func(w http.ResponseWriter, r *http.Request, relay http.Handler) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		relay.ServeHTTP(w, r)
	})
	target := inProcess(t, keeping)
	target.PID = os.Getpid()
	for _, baseline := range []bool{false, true} {
		debug.FreeOSMemory()
		tr := startTrial(t, target)
		if baseline {
			tr.opt.Baseline = target.Name
		}
		if err := runBulkCase(tr, bulkCases(40e6, 0)[1]); err != nil {
			t.Fatal(err)
		}
		failed := strings.Contains(strings.Join(tr.failures.list(), "\n"), "grew by more than 16")
		if failed == baseline {
			t.Errorf("baseline %v: failures %q", baseline, tr.failures.list())
		}
	}
}
