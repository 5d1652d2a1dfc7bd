package gateway_test

import (
	"context"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/relaytest"
)

// phases are requests at each phase of an exchange: nothing of it is over.
type phases struct {
	l                            *relaytest.Listener
	collecting, handed, dialled  *relaytest.Raw
	announced, uploading         *relaytest.Raw
	uploaded, downloading        *relaytest.Raw
	handedRequest, told          *relaytest.Request
	uploadingLeg, downloadingLeg *relaytest.Request
	uploadedLeg, dialledLeg      *relaytest.Request
}

// inAllPhases begins them. It needs a long collect time.
func inAllPhases(t *testing.T, n *relaytest.Node) *phases {
	t.Helper()
	p := &phases{l: openListener(t, n)}
	p.collecting = n.Ask(t, "POST", openTarget, "part", "Content-Length: 10")
	p.handed = n.Ask(t, "POST", openTarget, "body")
	p.handedRequest = p.l.Announced(t)
	p.dialled = n.Ask(t, "GET", openTarget, "")
	p.dialledLeg = p.l.Announced(t)
	p.dialledLeg.Dial(t)
	p.announced = n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
	p.told = p.l.Announced(t)
	p.uploading = n.Ask(t, "POST", openTarget, "4\r\npart\r\n", relaytest.ChunkedCoding)
	p.uploadingLeg = p.l.Announced(t)
	p.uploadingLeg.Dial(t).WantFrame(t, binary(false, "part"))
	p.uploaded = n.Ask(t, "POST", openTarget, relaytest.Chunked("body"), relaytest.ChunkedCoding)
	p.uploadedLeg = p.l.NextRequest(t)
	p.downloading = n.Ask(t, "GET", openTarget, "")
	p.downloadingLeg = p.l.Announced(t)
	leg := p.downloadingLeg.Dial(t)
	leg.SendFrame(t, head(p.downloadingLeg, nil))
	leg.SendFrame(t, binary(false, "part"))
	p.downloading.ResponseHead(t)
	p.downloading.WantChunks(t, "part")
	n.WantMetric(t, "relay_http_body_bytes", 10)
	return p
}

// wantEnded wants an error for every request, a cut for what has begun, and
// Close 1001 on every rendezvous connection.
func (p *phases) wantEnded(t *testing.T, status int, code, sentence string) {
	t.Helper()
	for name, s := range map[string]*relaytest.Raw{
		"collecting": p.collecting, "handed": p.handed, "dialled": p.dialled,
		"announced": p.announced, "uploading": p.uploading, "uploaded": p.uploaded,
	} {
		r, err := s.TryResponse("GET")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantError(t, r, status, code, sentence)
	}
	p.downloading.WantEnd(t)
	for _, r := range []*relaytest.Request{
		p.dialledLeg, p.uploadingLeg, p.uploadedLeg, p.downloadingLeg,
	} {
		r.Leg.WantCloseFrame(t, 1001)
		r.Leg.WantEnd(t)
	}
	p.collecting.WantEnd(t)
	p.uploading.WantEnd(t)
}

// TestHTTPEntityRemoved: 404 for requests, a cut for responses that have begun,
// 1001 for listeners; requests to other entities go on.
func TestHTTPEntityRemoved(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.CollectTime = 10 * time.Second })
	p := inAllPhases(t, n)
	token := "ServiceBusAuthorization: " + relaytest.Token(relaytest.Sibling)
	other := n.Listen(t, relaytest.Dial{Path: relaytest.Sibling})
	s := n.Ask(t, "GET", "/"+relaytest.Sibling, "", token)
	r := other.NextRequest(t)
	streams := n.Ask(t, "GET", "/"+relaytest.Sibling, "", token)
	q := other.Announced(t)
	leg := q.Dial(t)
	leg.SendFrame(t, head(q, nil))

	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections = []namespace.Entity{
		{Name: relaytest.Sibling, RequiresClientAuthorization: true},
	}
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	p.wantEnded(t, 404, "EndpointNotFound", "Endpoint does not exist")
	p.l.WantClose(t, 1001)
	wantDead(t, n, p.told.Address)
	wantDead(t, n, p.handedRequest.Address)
	n.WantClosed(t, "http_sender", "entity_removed")

	r.Respond(t, relaytest.Reply{Parts: []string{"here"}})
	s.WantResponse(t, 200, "here")
	leg.SendFrame(t, binary(true, "there"))
	streams.WantResponse(t, 200, "there")
	// What is gone is unknown from now on.
	s.Send(t, get(n))
	wantError(t, s.Response(t), 404, "EndpointNotFound")
	s.Send(t, get(n, "Authorization: "+root("http%3A%2F%2Frelay.test")))
	wantError(t, s.Response(t), 404, "EndpointNotFound", "Endpoint does not exist")
}

// TestHTTPReloadKeepsWhatStays: new times hold for new requests.
func TestHTTPReloadKeepsWhatStays(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	s := n.Ask(t, "GET", openTarget, "")
	r := l.NextRequest(t)
	cfg := relaytest.Settings()
	cfg.Namespaces[0].HybridConnections[1].HTTPDelivery = namespace.DeliveryRendezvous
	cfg.Namespaces[0].HybridConnections[1].HTTPResponseTimeout = short
	if err := n.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	late := n.Ask(t, "GET", openTarget, "")
	q := l.NextRequest(t)
	if q.Control {
		t.Errorf("request %+v", q)
	}
	wantError(t, late.Response(t), 504, "GatewayTimeout")
	r.Respond(t, relaytest.Reply{})
	s.WantResponse(t, 200, "")
}

// drained starts a drain; the channel is closed when it has ended.
func drained(t *testing.T, n *relaytest.Node) <-chan struct{} {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Drain(context.Background())
	}()
	n.WantMetric(t, "relay_draining", 1)
	return done
}

// TestHTTPDrain: new requests get 503 and the end of their connection, those in
// progress are finished.
func TestHTTPDrain(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.CollectTime, c.Drain.Timeout = 10*time.Second, 30*time.Second
	})
	p := inAllPhases(t, n)
	idle, quiet := n.Raw(t), n.Raw(t)
	wantRelayed(t, n, idle, p.l)
	wantRelayed(t, n, quiet, p.l)
	done := drained(t, n)

	for _, s := range []*relaytest.Raw{idle, n.Raw(t)} { // requests still wait: the port is open
		s.Send(t, get(n))
		r := s.Response(t)
		wantError(t, r, 503, "ServiceUnavailable", "The gateway is shutting down")
		if r.Header.Get("Connection") != "close" || r.Header.Get("Retry-After") == "" {
			t.Errorf("response %v", r)
		}
		s.WantEnd(t)
	}
	finish := func(s *relaytest.Raw, r *relaytest.Request) {
		t.Helper()
		r.Respond(t, relaytest.Reply{Parts: []string{"done"}})
		if res := s.WantResponse(t, 200, "done"); res.Header.Get("Connection") != "close" {
			t.Errorf("response %v", res)
		}
		s.WantEnd(t)
	}
	finish(p.handed, p.handedRequest)
	p.told.Dial(t)
	p.told.ReadBody(t)
	finish(p.announced, p.told)
	quiet.WantEnd(t)
	p.l.WantClose(t, 1001) // nothing more goes over the control channel
	finish(p.dialled, p.dialledLeg)
	finish(p.uploaded, p.uploadedLeg)
	p.uploading.Send(t, "0\r\n\r\n")
	p.uploadingLeg.Leg.WantFrame(t, more(true, ""))
	finish(p.uploading, p.uploadingLeg)
	p.downloadingLeg.Leg.SendFrame(t, more(true, ", all"))
	p.downloading.WantChunks(t, ", all")
	if last := p.downloading.Chunk(t); last != "" {
		t.Errorf("chunk %q", last)
	}
	p.downloading.WantEnd(t)
	p.collecting.Send(t, "-of-10")
	// The listener has been sent away, but that is not the sender's matter.
	wantError(t, p.collecting.Response(t), 503, "ServiceUnavailable", "The gateway is shutting down")
	p.collecting.WantEnd(t)
	p.l.WantClose(t, 1001)
	relaytest.Receive(t, done, "the end of the drain")
	if left := n.Total(); left != 0 {
		t.Errorf("%d connections are left", left)
	}
}

// TestHTTPDrainEnds: what is left at the deadline is refused or cut.
func TestHTTPDrainEnds(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.CollectTime, c.Drain.Timeout = 10*time.Second, short
	})
	p := inAllPhases(t, n)
	done := drained(t, n)
	p.wantEnded(t, 503, "ServiceUnavailable", "The gateway is shutting down")
	p.l.WantClose(t, 1001)
	relaytest.Receive(t, done, "the end of the drain")
	if left := n.Total(); left != 0 {
		t.Errorf("%d connections are left", left)
	}
	n.WantClosed(t, "http_sender", "drain")
}

// TestHTTPDrainListenerLost: a listener that only stayed for its requests may
// break all the same.
func TestHTTPDrainListenerLost(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Drain.Timeout = 30 * time.Second })
	c := n.RawListen(t, relaytest.Anonymous)
	s := n.Ask(t, "GET", openTarget, "")
	c.Announced(t)
	done := drained(t, n)
	relaytest.Eventually(t, "the listener takes no more", func() bool {
		return n.Listeners(1).Total == 0
	})
	c.Abort()
	wantError(t, s.Response(t), 502, "BadGateway", "listener went away")
	s.WantEnd(t)
	relaytest.Receive(t, done, "the end of the drain")
}
