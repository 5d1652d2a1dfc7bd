package metrics

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapesMax bounds the scrapes that run at once; more are answered with 503.
const scrapesMax = 4

// Sources is what a registry reads at each scrape.
type Sources struct {
	Loops   []*Loop
	Gateway *Gateway
	Gauges  Gauges
	Build   Build
}

// Gauges are values that other packages own. The functions are called at
// scrapes, from any goroutine. A nil function leaves its metric out.
type Gauges struct {
	Listeners       func() int   // Registered listeners.
	Pending         func() int   // Senders that wait.
	HeadBytes       func() int64 // Memory of request heads in progress.
	BodyBytes       func() int64 // Memory of request bodies for control channels.
	DescriptorsOpen func() int   // Open file descriptors.
	DescriptorsMax  func() int   // Their limit.
	Entities        func() int   // Hybrid connections and WCF relays.

	AuditFailures func() uint64 // Lines that the audit log did not take.

	// Certificates are the seconds that certificates have left, by their first
	// names.
	Certificates func() map[string]float64
}

// certificatesMax bounds the series of certificates: beyond it, those with the
// most time left are left out.
const certificatesMax = 100

// Build says what is running.
type Build struct {
	Version   string
	Revision  string // Commit, or empty.
	GoVersion string
}

// NewRegistry returns a registry of all relay_* metrics, and those of the Go
// runtime and the process.
func NewRegistry(s Sources) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{s},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// Handler serves a registry in the Prometheus text formats.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapesMax,
		EnableOpenMetrics:   true,
	})
}

// collector adds up the loops when it is asked.
type collector struct{ Sources }

var (
	acceptErrors = desc("accept_errors_total",
		"Connections that could not be accepted.", "kind")
	handshakes = desc("tls_handshakes_total",
		"TLS handshakes by how they ended.", "result")
	bytesTotal = desc("bytes_total",
		"Bytes sent on relayed connections, frame headers included.", "direction")
	connections = desc("connections",
		"Open connections by role.", "role")
	activeConnections = desc("active_connections",
		"Relayed connections.")
	closed = desc("connections_closed_total",
		"Connections that ended, by close reason.", "reason")
	listenerDisconnects = desc("listener_disconnects_total",
		"Control channels that ended, by close reason.", "reason")
	senderDisconnects = desc("sender_disconnects_total",
		"Senders that ended while they waited or were relayed, by close reason.", "reason")
	leftoverPeak = desc("leftover_peak_bytes",
		"Most bytes ever held for slow receivers by a loop.", "loop")
	leftoverBytes = desc("leftover_bytes",
		"Bytes held for slow receivers.")
	listenerConnects = desc("listener_connects_total",
		"Handshakes of listeners.", "result")
	senderConnects = desc("sender_connects_total",
		"Handshakes of senders.", "result", "code")
	httpRequests = desc("http_requests_total",
		"Responses to HTTP requests whose head could be read, those of the gateway included.", "code")
	httpBytes = desc("http_bytes_total",
		"Bytes of the bodies of relayed HTTP requests and responses.", "direction")
	httpBodyBytes = desc("http_body_bytes",
		"Memory of request bodies that are on their way to a control channel.")
	acceptTimeouts = desc("accept_timeouts_total",
		"Senders for which no listener came in time.")
	failureLimiter = desc("failure_limiter_total",
		"Failed handshakes over the rate of their address: answered late (held), "+
			"or at once with 429 (refused).", "action")
	restartConnections = desc("restart_connections_total",
		"Connections handed to another process of a restart (out), or taken from one (in).",
		"direction")
	restartHeld = desc("restart_held_total",
		"Senders that waited for a listener on its way from the process before.")
	activeListeners = desc("active_listeners",
		"Registered listeners.")
	pendingRendezvous = desc("pending_rendezvous",
		"Senders that wait for a rendezvous connection.")
	headBytes = desc("head_bytes",
		"Memory of request heads in progress.")
	openFDs = desc("open_fds",
		"Open file descriptors.")
	maxFDs = desc("max_fds",
		"Limit of open file descriptors.")
	entities = desc("entities",
		"Hybrid connections and WCF relays that are defined.")
	auditFailures = desc("audit_failures_total",
		"Lines that could not be written to the audit log.")
	certificateExpiry = desc("certificate_expiry_seconds",
		"Seconds until a certificate expires, by its first name; less than 0 afterwards.", "name")
	draining = desc("draining",
		"1 while the gateway drains.")
	buildInfo = desc("build_info",
		"What is running; the value is 1.", "version", "revision", "goversion")
)

// loopCounters are the counters that are plain sums over the loops.
var loopCounters = []struct {
	desc  *prometheus.Desc
	value func(*Loop) uint64
}{
	{desc("accepted_total", "Connections accepted."),
		func(l *Loop) uint64 { return l.Accepted.Load() }},
	{desc("refused_total", "Connections over gateway.connections_max. The first 32 over it "+
		"are told 503, more are closed at once."),
		func(l *Loop) uint64 { return l.Refused.Load() }},
	{desc("reads_total", "Read calls on connections."),
		func(l *Loop) uint64 { return l.Reads.Load() }},
	{desc("writes_total", "Write calls on connections."),
		func(l *Loop) uint64 { return l.Writes.Load() }},
	{desc("loop_yields_total", "Turns that ended because their budget was used up."),
		func(l *Loop) uint64 { return l.Yields.Load() }},
	{desc("loop_posts_total", "Tasks given to loops by other goroutines."),
		func(l *Loop) uint64 { return l.PostsRun.Load() }},
	{desc("migrations_total", "Connections moved to another loop."),
		func(l *Loop) uint64 { return l.Migrations.Load() }},
	{desc("pongs_total", "Pongs sent."),
		func(l *Loop) uint64 { return l.PongsSent.Load() }},
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("relay_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.collectLoops(ch)
	c.collectCloses(ch)
	c.collectGateway(ch)
	c.collectGauges(ch)
}

func (c *collector) collectLoops(ch chan<- prometheus.Metric) {
	for _, row := range loopCounters {
		ch <- counter(row.desc, c.sum(row.value))
	}
	for kind := range acceptErrorCount {
		n := c.sum(func(l *Loop) uint64 { return l.AcceptErrors[kind].Load() })
		ch <- counter(acceptErrors, n, kind.String())
	}
	for end := range handshakeCount {
		n := c.sum(func(l *Loop) uint64 { return l.Handshakes[end].Load() })
		ch <- counter(handshakes, n, end.String())
	}
	toListener := c.sum(func(l *Loop) uint64 { return l.BytesToListener.Load() })
	ch <- counter(bytesTotal, toListener, "to_listener")
	toSender := c.sum(func(l *Loop) uint64 { return l.BytesToSender.Load() })
	ch <- counter(bytesTotal, toSender, "to_sender")

	var leftover int64
	var byRole [roleCount]int64
	for i, l := range c.Loops {
		leftover += l.LeftoverBytes.Load()
		for role := range byRole {
			byRole[role] += l.Connections[role].Load()
		}
		ch <- gauge(leftoverPeak, float64(l.LeftoverPeak.Load()), strconv.Itoa(i))
	}
	ch <- gauge(leftoverBytes, float64(leftover))
	for role, n := range byRole {
		ch <- gauge(connections, float64(n), Role(role).String())
	}
	ch <- gauge(activeConnections, float64(byRole[RoleRelayedSender]))
}

func (c *collector) collectCloses(ch chan<- prometheus.Metric) {
	for _, reason := range CloseReasons() {
		var all, listeners, senders uint64
		for _, l := range c.Loops {
			for role := range l.Closed {
				n := l.Closed[role][reason].Load()
				all += n
				switch Role(role) {
				case RoleListener:
					listeners += n
				case RoleSender, RoleRelayedSender:
					senders += n
				}
			}
		}
		ch <- counter(closed, all, reason.String())
		ch <- counter(listenerDisconnects, listeners, reason.String())
		ch <- counter(senderDisconnects, senders, reason.String())
	}
}

func (c *collector) collectGateway(ch chan<- prometheus.Metric) {
	g := c.Gateway
	if g == nil {
		return
	}
	byResult := map[string]uint64{}
	for status := range g.listenerConnects {
		byResult[connectResult(status)] += g.listenerConnects[status].Load()
	}
	for _, result := range connectResults {
		ch <- counter(listenerConnects, byResult[result], result)
	}
	for status := range g.senderConnects {
		n := g.senderConnects[status].Load()
		if n > 0 || status == 101 {
			ch <- counter(senderConnects, n, connectResult(status), strconv.Itoa(status))
		}
	}
	for status := range g.httpRequests {
		if n := g.httpRequests[status].Load(); n > 0 {
			ch <- counter(httpRequests, n, strconv.Itoa(status))
		}
	}
	ch <- counter(httpBytes, g.HTTPBytesToListener.Load(), "to_listener")
	ch <- counter(httpBytes, g.HTTPBytesToSender.Load(), "to_sender")
	g.httpSeconds.Collect(ch)
	ch <- counter(acceptTimeouts, g.AcceptTimeouts.Load())
	ch <- counter(failureLimiter, g.FailuresHeld.Load(), "held")
	ch <- counter(failureLimiter, g.FailuresRefused.Load(), "refused")
	ch <- counter(restartConnections, g.HandedOn.Load(), "out")
	ch <- counter(restartConnections, g.HandedHere.Load(), "in")
	ch <- counter(restartHeld, g.Held.Load())
	on := 0.0
	if g.Draining.Load() {
		on = 1
	}
	ch <- gauge(draining, on)
	g.rendezvous.Collect(ch)
	g.authFailures.Collect(ch)
	g.throttled.Collect(ch)
}

func (c *collector) collectGauges(ch chan<- prometheus.Metric) {
	for _, row := range []struct {
		desc  *prometheus.Desc
		value func() int
	}{
		{activeListeners, c.Gauges.Listeners},
		{pendingRendezvous, c.Gauges.Pending},
		{openFDs, c.Gauges.DescriptorsOpen},
		{maxFDs, c.Gauges.DescriptorsMax},
		{entities, c.Gauges.Entities},
	} {
		if row.value != nil {
			ch <- gauge(row.desc, float64(row.value()))
		}
	}
	for _, row := range []struct {
		desc  *prometheus.Desc
		value func() int64
	}{{headBytes, c.Gauges.HeadBytes}, {httpBodyBytes, c.Gauges.BodyBytes}} {
		if row.value != nil {
			ch <- gauge(row.desc, float64(row.value()))
		}
	}
	if c.Gauges.AuditFailures != nil {
		ch <- counter(auditFailures, c.Gauges.AuditFailures())
	}
	c.collectCertificates(ch)
	b := c.Build
	ch <- gauge(buildInfo, 1, b.Version, b.Revision, b.GoVersion)
}

func (c *collector) collectCertificates(ch chan<- prometheus.Metric) {
	if c.Gauges.Certificates == nil {
		return
	}
	left := c.Gauges.Certificates()
	names := slices.SortedFunc(maps.Keys(left), func(a, b string) int {
		return cmp.Or(cmp.Compare(left[a], left[b]), cmp.Compare(a, b))
	})
	for _, name := range names[:min(len(names), certificatesMax)] {
		ch <- gauge(certificateExpiry, left[name], strings.ToValidUTF8(name, "?"))
	}
}

func (c *collector) sum(value func(*Loop) uint64) (total uint64) {
	for _, l := range c.Loops {
		total += value(l)
	}
	return total
}

func counter(d *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}
