package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/relaytest"
)

// TestHTTPNumbers follows requests through /metrics.
func TestHTTPNumbers(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.HTTP.CollectTime = 10 * time.Second })
	want := func(series string, value float64) {
		t.Helper()
		n.WantMetric(t, series, value)
	}
	l := openListener(t, n)
	s := n.Ask(t, "POST", openTarget, "0123456789")
	r := l.Announced(t)
	want(`relay_connections{role="http_sender"}`, 1)
	want("relay_pending_rendezvous", 1)
	want("relay_active_connections", 0) // that is for WebSockets
	if n.Heads(t) == 0 {
		t.Error("a request that waits holds no memory")
	}
	r.Respond(t, relaytest.Reply{Status: 418, Parts: []string{"tea", "pot"}})
	s.WantResponse(t, 418, "teapot")
	want(`relay_http_requests_total{code="418"}`, 1)
	want(`relay_http_bytes_total{direction="to_listener"}`, 10)
	want(`relay_http_bytes_total{direction="to_sender"}`, 6)
	want("relay_http_request_seconds_count", 1)
	want(`relay_connections{role="http_sender"}`, 0)
	want(`relay_connections{role="head"}`, 1) // the sender, between two requests
	want("relay_pending_rendezvous", 0)
	want("relay_head_bytes", 0)

	s.Send(t, n.HTTPRequest("POST", openTarget, "4\r\npart\r\n", relaytest.ChunkedCoding))
	r = l.Announced(t)
	want("relay_pending_rendezvous", 1)
	leg := r.Dial(t)
	want("relay_pending_rendezvous", 0)
	want(`relay_connections{role="http_sender"}`, 1)
	want(`relay_connections{role="http_listener"}`, 1)
	leg.WantFrame(t, binary(false, "part"))
	want(`relay_http_bytes_total{direction="to_listener"}`, 14)
	s.Send(t, "0\r\n\r\n")
	leg.WantFrame(t, more(true, ""))
	r.Respond(t, relaytest.Reply{Parts: []string{long(100_000)}})
	s.WantResponse(t, 200, long(100_000))
	want(`relay_http_bytes_total{direction="to_sender"}`, 100_006)
	want(`relay_http_requests_total{code="200"}`, 1)
	want(`relay_connections{role="http_sender"}`, 0)
	want(`relay_connections{role="http_listener"}`, 0)
	want("relay_rendezvous_seconds_count", 1)

	partly := n.Ask(t, "POST", openTarget, "part", "Content-Length: 1000")
	want("relay_http_body_bytes", 1000)
	_ = partly.Close()
	want("relay_http_body_bytes", 0)

	for range 3 {
		s.Send(t, n.HTTPRequest("GET", closedTarget, ""))
		wantError(t, s.Response(t), 401, "TokenMissingOrInvalid")
	}
	want(`relay_http_requests_total{code="401"}`, 3)
	want(`relay_auth_failures_total{reason="MissingToken"}`, 3)
	l.Close(t)
	s.Send(t, get(n))
	wantError(t, s.Response(t), 404, "EndpointNotFound")
	want(`relay_http_requests_total{code="404"}`, 1)
	want(`relay_connections_closed_total{reason="internal"}`, 0)
	want(`relay_connections_closed_total{reason="unset"}`, 0)
}

// TestHTTPStatusPage: what an operator sees of requests that wait and of
// connections that ended.
func TestHTTPStatusPage(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) { c.Gateway.ID = 3 })
	before := time.Now().Add(-time.Second)
	l := openListener(t, n)
	s := n.Ask(t, "POST", "/UnAuthenticated/x?sb-hc-id=chosen", "body")
	r := l.Announced(t)
	if !strings.HasSuffix(r.ID, "_G3") || len(r.ID) != 39 || strings.Contains(r.ID, "chosen") {
		t.Errorf("id %q", r.ID)
	}
	status := n.Status(t)
	if p := status.Pending; p.Total != 1 || p.Items[0].TrackingID != r.ID ||
		p.Items[0].Entity != "test/unauthenticated" ||
		!strings.HasPrefix(p.Items[0].Peer, "127.0.0.1:") {
		t.Errorf("pending %+v", p)
	}
	if status.Connections["http_sender"] != 1 {
		t.Errorf("connections %v", status.Connections)
	}
	r.Respond(t, relaytest.Reply{})
	if res := s.WantResponse(t, 200, ""); res.Header.Get("TrackingId") != "" &&
		res.Header.Get("TrackingId") != r.ID {
		t.Errorf("response %v", res)
	}

	s.Send(t, get(n))
	r = l.Announced(t)
	r.Dial(t)
	s.Abort()
	closed := n.WantClosed(t, "http_sender", "sender_lost")
	if closed.Entity != "test/unauthenticated" || closed.TrackingID != r.ID || closed.BytesIn < 100 ||
		closed.BytesOut == 0 || closed.Seconds < 0 || closed.Seconds > 60 || closed.Time.Before(before) {
		t.Errorf("closed %+v", closed)
	}
	r.Leg.WantClosing(t, 1001)
	if leg := n.WantClosed(t, "http_listener", "sender_lost"); leg.TrackingID != r.ID {
		t.Errorf("closed %+v", leg)
	}
	s = n.Ask(t, "GET", closedTarget, "", "Connection: close")
	res := s.Response(t)
	if c := n.WantClosed(t, "head", "unauthorized"); c.Detail != "MissingToken" ||
		c.TrackingID != res.Header.Get("TrackingId") {
		t.Errorf("closed %+v", c)
	}
	for _, c := range n.Closed(1000).Items {
		if c.Reason == "internal" || c.Reason == "unset" {
			t.Errorf("closed %+v", c)
		}
	}
}

// TestHTTPLog: what happens can be found in the log by its tracking id, and
// nothing in it is a secret of sender or listener.
func TestHTTPLog(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t, func(c *config.Config) {
		c.HTTP.KeyParameters, c.HTTP.ResponseTimeout = true, short
	})
	l := n.Listen(t, relaytest.Dial{Path: relaytest.Authorized})
	const secret = "s3cr3t"
	secrets := []string{"Cookie: " + secret, "X-Key: " + secret, "Referer: http://x/?" + secret,
		"ServiceBusAuthorization: " + relaytest.Token(relaytest.Authorized),
		"Authorization: Basic " + secret}
	target := closedTarget + "/x?q=" + secret
	events := map[string]string{} // and a tracking id that belongs to it
	s := n.Ask(t, "POST", target, secret, secrets...)
	r := l.NextRequest(t)
	addresses := []string{r.Address}
	r.Respond(t, relaytest.Reply{Phrase: secret, Headers: map[string]any{"Set-Cookie": secret},
		Parts: []string{secret}})
	s.WantResponse(t, 200, secret)
	events["SenderSentHttpRequest"], events["ListenerSentHttpResponse"] = r.ID, r.ID

	s.Send(t, n.HTTPRequest("POST", target, relaytest.Chunked(secret),
		append(secrets, relaytest.ChunkedCoding)...))
	r = l.NextRequest(t)
	addresses = append(addresses, r.Address)
	wantError(t, s.Response(t), 504, "GatewayTimeout")
	events["ListenerAcceptingRequestTimeout"] = r.ID

	s.Send(t, n.HTTPRequest("GET", target, "", secrets...))
	r = l.Announced(t)
	r.Dial(t).SendFrame(t, text(`{"response":{"requestId":"`+r.ID+`","statusCode":"`+secret+`"}}`))
	wantError(t, s.Response(t), 502, "BadGateway")
	events["ListenerReturningHttpResponseFailed"] = r.ID

	s.Send(t, n.HTTPRequest("GET", closedTarget+"?sb-hc-sas-key-name=send&sb-hc-sas-key="+secret+
		"&sb-hc-token="+secret, "", "Authorization: "+secret))
	res := s.Response(t)
	wantError(t, res, 401, "TokenMissingOrInvalid")
	events["InvalidSasToken"] = res.Header.Get("TrackingId")
	l.Close(t)
	s.Send(t, n.HTTPRequest("GET", target, "", secrets...))
	res = s.Response(t)
	wantError(t, res, 404, "EndpointNotFound")
	events["ListenerAcceptingHttpRequestFailed"] = res.Header.Get("TrackingId")

	log := strings.Join(n.Lines(), "\n")
	if strings.Contains(log, secret) {
		t.Errorf("%s in the log", secret)
	}
	for _, a := range addresses {
		_, rest, _ := strings.Cut(a, "sb-hc-rendezvous=")
		if id, _, _ := strings.Cut(rest, "&"); len(id) < 16 || strings.Contains(log, id) {
			t.Errorf("the rendezvous id of %s in the log", a)
		}
	}
	for event, id := range events {
		found := false
		for line := range strings.SplitSeq(log, "\n") {
			found = found || strings.Contains(line, `"event":"`+event+`"`) && strings.Contains(line, id)
		}
		if !found || id == "" {
			t.Errorf("no line with the event %s and the tracking id %q", event, id)
		}
	}
}

// TestHTTPRuntimeInformation: a management call is told from a request by a
// header; it needs Manage (item 74).
func TestHTTPRuntimeInformation(t *testing.T) {
	t.Parallel()
	n := relaytest.Start(t)
	l := openListener(t, n)
	openListener(t, n)
	s := n.Raw(t)
	const mark = "X-PROCESS-AT: ServiceBus"
	ask := func(target string, fields ...string) relaytest.Response {
		t.Helper()
		s.Send(t, n.HTTPRequest("GET", target+"?api-version=2016-07", "", append(fields, mark)...))
		return s.Response(t)
	}
	for _, field := range []string{"Authorization: ", "ServiceBusAuthorization: "} {
		manage := field + relaytest.Token(relaytest.Anonymous)
		res := ask(openTarget, manage)
		if res.Status != 200 || !strings.Contains(res.Body, "<ListenerCount>2</ListenerCount>") ||
			!strings.Contains(res.Body, "<RequiresClientAuthorization>false<") ||
			!strings.HasPrefix(res.Header.Get("Content-Type"), "application/atom+xml;type=entry") ||
			res.Header.Get("Via") != "" {
			t.Errorf("response %v", res)
		}
		res = ask("/nowhere", field+root("http%3A%2F%2Frelay.test"))
		if res.Status != 200 || !strings.Contains(res.Body, "<feed") ||
			!strings.HasPrefix(res.Header.Get("Content-Type"), "application/atom+xml;type=feed") {
			t.Errorf("response %v", res)
		}
		for _, token := range []string{"", field + "x", field + mint(relaytest.Anonymous,
			relaytest.SendRule, relaytest.SendKey)} {
			res := ask(openTarget, token)
			if res.Status != 401 || !strings.Contains(res.Body, "<Code>401</Code>") {
				t.Errorf("response %v", res)
			}
		}
	}
	if l.Requests() != 0 {
		t.Errorf("%d requests reached the listener", l.Requests())
	}
	l.Close(t)
	res := ask(openTarget, "Authorization: "+relaytest.Token(relaytest.Anonymous))
	if !strings.Contains(res.Body, "<ListenerCount>1</ListenerCount>") {
		t.Errorf("response %v", res)
	}
}
