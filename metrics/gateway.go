package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusMax is the largest HTTP status that a listener may reject with
// (docs/protocol.md, section 3.4), hence the bound of the label.
const statusMax = 999

// rendezvousBuckets cover a listener on the same machine up to one that uses
// the whole window of 30 s.
var rendezvousBuckets = []float64{
	.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30,
}

// Gateway counts what happens at handshakes. All fields and methods may be
// used from any goroutine.
type Gateway struct {
	// AcceptTimeouts counts senders for which no listener came in time.
	AcceptTimeouts atomic.Uint64
	// FailuresHeld and FailuresRefused count failed handshakes from addresses
	// over their rate: answered late, or at once with 429.
	FailuresHeld    atomic.Uint64
	FailuresRefused atomic.Uint64
	// HandedOn and HandedHere count connections that went to another process of
	// a restart, and came from it; Held those that waited for a listener.
	HandedOn   atomic.Uint64
	HandedHere atomic.Uint64
	Held       atomic.Uint64
	// Draining is true from the first step of a drain on.
	Draining atomic.Bool

	// HTTPBytesToListener and HTTPBytesToSender count the bodies of relayed
	// HTTP requests and responses, without framing.
	HTTPBytesToListener atomic.Uint64
	HTTPBytesToSender   atomic.Uint64

	listenerConnects statusCounts
	senderConnects   statusCounts
	httpRequests     statusCounts
	httpSeconds      prometheus.Histogram
	rendezvous       prometheus.Histogram
	authFailures     *prometheus.CounterVec
	throttled        *prometheus.CounterVec
}

// statusCounts counts by HTTP status: 8 KB, no lock, no label lookup.
type statusCounts [statusMax + 1]atomic.Uint64

func (c *statusCounts) add(status int) {
	if status < 0 || status > statusMax {
		status = 0
	}
	c[status].Add(1)
}

// connectResult sorts a handshake's status into the three results of the
// metrics ListenerConnections-* and SenderConnections-* of Azure.
func connectResult(status int) string {
	switch {
	case status == 101:
		return "success"
	case 100 <= status && status < 500:
		return "client_error"
	}
	return "server_error"
}

// connectResults lists what connectResult returns.
var connectResults = []string{"success", "client_error", "server_error"}

// NewGateway returns counters at zero.
func NewGateway() *Gateway {
	return &Gateway{
		rendezvous: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "relay_rendezvous_seconds",
			Help:    "Time from a sender's request to its rendezvous connection.",
			Buckets: rendezvousBuckets,
			// A tenth of relative error, at most 100 buckets.
			NativeHistogramBucketFactor:    1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		httpSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                           "relay_http_request_seconds",
			Help:                           "Time from an HTTP request's head to the head of its response.",
			Buckets:                        rendezvousBuckets,
			NativeHistogramBucketFactor:    1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		authFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_auth_failures_total",
			Help: "Requests without a token that authorizes them, by reason.",
		}, []string{"reason"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relay_throttled_total",
			Help: "Requests refused because a quota was used up.",
		}, []string{"quota"}),
	}
}

// ListenerConnect counts the answer to a listener's handshake.
func (g *Gateway) ListenerConnect(status int) { g.listenerConnects.add(status) }

// SenderConnect counts the answer to a sender's handshake, by the gateway or
// by a listener that rejects.
func (g *Gateway) SenderConnect(status int) { g.senderConnects.add(status) }

// HTTPResponse counts a response to an HTTP request, by a listener or by the
// gateway, d after the request's head.
func (g *Gateway) HTTPResponse(status int, d time.Duration) {
	g.httpRequests.add(status)
	g.httpSeconds.Observe(d.Seconds())
}

// Rendezvous records how long a sender waited for its rendezvous connection.
func (g *Gateway) Rendezvous(d time.Duration) { g.rendezvous.Observe(d.Seconds()) }

// AuthFailure counts a refused token. The reason is a code from the table of
// refusals, never text from a peer.
func (g *Gateway) AuthFailure(reason string) { g.authFailures.WithLabelValues(reason).Inc() }

// Throttled counts a refusal because of a quota. The quota is the last part of
// its setting's name, such as listeners_max.
func (g *Gateway) Throttled(quota string) { g.throttled.WithLabelValues(quota).Inc() }
