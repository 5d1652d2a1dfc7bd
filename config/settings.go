package config

import (
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

// settings returns every setting but the namespaces, bound to c, in the order
// of help texts and of Print. The ranges are sanity bounds: below them clients
// break, above them memory or patience does.
func (c *Config) settings() []setting {
	var all []setting
	for _, section := range [][]setting{
		c.Listen.settings(), c.TLS.settings(), c.TLS.ACME.settings(),
		c.ProxyProtocol.settings(), c.Admin.settings(),
		c.Management.settings(), c.Store.settings(),
		c.Gateway.settings(), c.Gateway.abuseSettings(), c.Relay.settings(), c.HTTP.settings(),
		c.Limits.settings(), c.Engine.settings(), c.TCP.settings(), c.Drain.settings(),
		c.Restart.settings(), c.Log.settings(),
	} {
		all = append(all, section...)
	}
	return all
}

func (l *Listen) settings() []setting {
	return []setting{
		str("listen.http", &l.HTTP, "127.0.0.1:8080", "host:port", isHostPort,
			"address for plain HTTP and WebSockets; port 0 picks a free one; may be empty "+
				"beside listen.https"),
		str("listen.https", &l.HTTPS, "", "host:port", isHostPort,
			"address for HTTPS and WebSockets over TLS; needs a certificate, see tls"),
	}
}

func (t *TLS) settings() []setting {
	return []setting{
		str("tls.certificate", &t.Certificate, "", "a PEM file", isPath,
			"certificate of the server, its chain behind it; in a file, tls.certificates lists more"),
		str("tls.key", &t.Key, "", "a PEM file", isPath,
			"key of tls.certificate, not encrypted"),
		choice("tls.client_auth", &t.ClientAuth, "off",
			"certificates of clients: request checks one if it is given, require wants one",
			"off", "request", "require"),
		str("tls.client_ca", &t.ClientCA, "", "a PEM file", isPath,
			"authorities that sign the certificates of clients"),
		choice("tls.min_version", &t.MinVersion, "1.2",
			"least version of TLS", "1.2", "1.3"),
		span("tls.handshake_timeout", &t.HandshakeTimeout, "10s", time.Second, 2*time.Minute, "",
			"time from a connection to the end of its handshake"),
		number("tls.handshakes_max", &t.HandshakesMax, "4096", 1, 65536, "",
			"handshakes in progress, about 30 KiB each; others wait"),
		number("tls.handshake_workers", &t.HandshakeWorkers, "0", 1, 1024, "one per CPU",
			"handshakes that compute at the same time"),
		choice("tls.record_layer", &t.RecordLayer, "crypto/tls",
			"who protects records of TLS 1.3; own costs less memory. TLS 1.2 is always crypto/tls's",
			"crypto/tls", "own"),
	}
}

func (a *ACME) settings() []setting {
	return []setting{
		list("tls.acme.domains", &a.Domains, "host names without wildcard, separated by commas",
			isHostName,
			"names to obtain certificates for by ACME; the port 443 of each must lead here"),
		str("tls.acme.email", &a.Email, "", "an address", isEmail,
			"where the authority writes to"),
		str("tls.acme.directory", &a.Directory, "https://acme-v02.api.letsencrypt.org/directory",
			"https://host[:port]/path", isDirectoryURL,
			"directory of the authority; Let's Encrypt when empty"),
		str("tls.acme.ca", &a.CA, "", "a PEM file", isPath,
			"authorities to trust the directory by; the system's when empty"),
		str("tls.acme.storage", &a.Storage, "/var/lib/relayhouse/acme", "a directory", isPath,
			"where the account, keys and certificates of ACME are kept"),
		boolean("tls.acme.agree", &a.Agree, "false",
			"agree to the terms of the authority; must be true to use it"),
	}
}

func (p *ProxyProtocol) settings() []setting {
	return []setting{
		networks("proxy_protocol.networks", &p.Networks,
			"balancers whose connections begin with a PROXY protocol header, version 1 or 2"),
	}
}

func (a *Admin) settings() []setting {
	return []setting{
		str("admin.listen", &a.Listen, "127.0.0.1:9090", "host:port", isHostPort,
			"address of the admin port; it has no authentication, keep it private"),
		number("admin.closed_history", &a.ClosedHistory, "256", 0, 65536, "",
			"closed connections that /status/closed remembers"),
	}
}

func (m *Management) settings() []setting {
	return []setting{
		str("management.listen", &m.Listen, "", "host:port", isHostPort,
			"address of the management API, over TLS; needs management.tokens"),
		str("management.tokens", &m.Tokens, "", "a file", isPath,
			"who may use it, a line each: NAME TOKEN, or NAME sha256:HEX, and reader for GET alone"),
		str("management.audit_log", &m.AuditLog, "", "a file", isPath,
			"where each change is written, a line of JSON each; the log when empty"),
		str("management.domain", &m.Domain, "", "a host name", isHostName,
			"namespaces that are made by the API get the host name NAME.DOMAIN; none when empty"),
		str("management.certificate", &m.Certificate, "", "a PEM file", isPath,
			"certificate of management.listen, its chain behind it; those of tls when empty"),
		str("management.key", &m.Key, "", "a PEM file", isPath,
			"key of management.certificate, not encrypted"),
	}
}

func (s *Store) settings() []setting {
	return []setting{
		str("store.file", &s.File, "", "a file", isPath,
			"where namespaces are kept that the management API changes; made when it is not there"),
		str("store.master_key", &s.MasterKey, "", "a file", isPath,
			"key that keys in store.file are encrypted with"),
		str("store.definitions", &s.Definitions, "", "a file", isPath,
			"file of namespaces, read again when it changes; the management API cannot change them"),
		number("store.namespaces_max", &s.NamespacesMax, "1000", 1, 100_000, "",
			"namespaces that the management API may make; files may bring more"),
		number("store.entities_max", &s.EntitiesMax, "100000", 1, 1_000_000, "",
			"entities of one namespace that the management API may make; files may bring more"),
	}
}

// Defaults of protocol timers and quotas are those of docs/protocol.md, section
// 9.
func (g *Gateway) settings() []setting {
	return []setting{
		number("gateway.id", &g.ID, "0", 0, 65535, "",
			"number of this gateway, the n of the suffix _Gn of tracking ids"),
		str("gateway.advertised_url", &g.AdvertisedURL, "",
			"ws://host[:port] or wss://host[:port]", isBaseURL,
			"base of rendezvous addresses; when empty, the host that the listener used"),
		choice("gateway.advertised_scheme", &g.AdvertisedScheme, "auto",
			"scheme of rendezvous addresses while advertised_url is empty; auto is wss for "+
				"listeners that came over TLS, here or to a trusted proxy", "auto", "ws", "wss"),
		span("gateway.rendezvous_window", &g.RendezvousWindow, "30s",
			time.Second, 30*time.Second, "",
			"time that a listener has to accept a sender"),
		number("gateway.listeners_max", &g.ListenersMax, "25", 1, namespace.ListenersMaxMax, "",
			"listeners of one entity that does not set its own"),
		number("gateway.pending_max", &g.PendingMax, "65536", 1, mib, "",
			"senders that wait to be accepted, in all"),
		span("gateway.token_skew", &g.TokenSkew, "5m", 0, time.Hour, "",
			"how long after its expiry a token is still taken"),
		number("gateway.token_cache", &g.TokenCache, "65536", 0, mib, "",
			"verified tokens to remember"),
		span("gateway.listener_ping", &g.ListenerPing, "1m", time.Second, 10*time.Minute, "",
			"silence of a listener after which it is pinged"),
		span("gateway.listener_ping_grace", &g.ListenerPingGrace, "30s",
			time.Second, 5*time.Minute, "",
			"silence after the ping that ends the control channel"),
		choice("gateway.forbidden_status_for_missing_claim",
			&g.ForbiddenStatusForMissingClaim, 401,
			"status for a valid token that lacks the right", 401, 403),
		boolean("gateway.unprefixed_reject", &g.UnprefixedReject, "true",
			"take statusCode without sb-hc- behind our sb-hc-id as a rejection"),
		number("gateway.connections_max", &g.ConnectionsMax, "0", 16, mib,
			"the descriptor limit minus a reserve",
			"connections of clients"),
	}
}

// abuseSettings bound what failing handshakes of one address may cost.
func (g *Gateway) abuseSettings() []setting {
	return []setting{
		number("gateway.failure_rate", &g.FailureRate, "50", 1, 100_000, "",
			"failed handshakes per second and address that are answered at once"),
		number("gateway.failure_burst", &g.FailureBurst, "500", 1, mib, "",
			"unauthorized handshakes above the rate before answers are delayed"),
		span("gateway.failure_delay", &g.FailureDelay, "1s", 0, 10*time.Second, "",
			"delay of an answer above the rate"),
		number("gateway.failure_held_max", &g.FailureHeldMax, "256", 0, 65536, "",
			"delayed answers per address; above it the answer is 429 at once"),
	}
}

func (r *Relay) settings() []setting {
	return []setting{
		span("relay.half_idle", &r.HalfIdle, "1m", time.Second, time.Hour, "never",
			"idle time after which a half-closed relay ends, and a response without limit"),
		span("relay.send_stall", &r.SendStall, "1m", time.Second, time.Hour, "never",
			"time without progress after which a receiver is given up"),
		span("relay.linger", &r.Linger, "5s", 100*time.Millisecond, time.Minute, "",
			"time for the last bytes of a closing connection"),
	}
}

func (h *HTTP) settings() []setting {
	return []setting{
		span("http.response_timeout", &h.ResponseTimeout, "1m",
			namespace.HTTPTimeMin, namespace.HTTPTimeMax, "never",
			"time that a listener has to begin its response to a request it was handed"),
		span("http.body_gap", &h.BodyGap, "1m",
			namespace.HTTPTimeMin, namespace.HTTPTimeMax, "never",
			"longest silence within a body, of a request or a response"),
		span("http.keepalive", &h.Keepalive, "2m", time.Second, time.Hour, "",
			"idle time between two requests of one connection"),
		span("http.collect_time", &h.CollectTime, "1s", 10*time.Millisecond, 10*time.Second, "",
			"time for a short body to arrive whole; a slower one goes by rendezvous"),
		size("http.body_memory", &h.BodyMemory, "64MiB", mib, 4*gib,
			"short request bodies on their way to control channels, of all connections"),
		choice("http.forwarded", &h.Forwarded, "off",
			"headers added to requests to say who the sender is",
			"off", "x-forwarded", "forwarded", "both"),
		networks("http.trusted_proxies", &h.TrustedProxies,
			"proxies whose X-Forwarded-For and -Proto, or Forwarded, say who the sender is"),
		choice("http.request_target", &h.RequestTarget, "decoded",
			"form in which listeners get the path: percent-decoded, or as it was sent",
			"decoded", "raw"),
		choice("http.no_listener_status", &h.NoListenerStatus, 404,
			"status for a request while no listener is connected", 404, 502),
		boolean("http.key_parameters", &h.KeyParameters, "false",
			"take sb-hc-sas-key-name and sb-hc-sas-key of the query for a token"),
	}
}

func (l *Limits) settings() []setting {
	return []setting{
		size("limits.head_bytes", &l.HeadBytes, "32KiB", 4*kib, 64*kib,
			"size of a request head"),
		span("limits.head_timeout", &l.HeadTimeout, "10s", time.Second, 2*time.Minute, "",
			"time for a request head to arrive"),
		size("limits.head_memory", &l.HeadMemory, "64MiB", mib, 4*gib,
			"request heads in progress, of all connections"),
		size("limits.control_message", &l.ControlMessage, "256KiB", 64*kib, mib,
			"text message from a listener"),
		size("limits.control_queue", &l.ControlQueue, "1MiB", 128*kib, 64*mib,
			"bytes queued towards one listener"),
		size("limits.leftover_memory", &l.LeftoverMemory, "256MiB", mib, 64*gib,
			"bytes held for slow receivers, above which reads shrink"),
	}
}

func (e *Engine) settings() []setting {
	return []setting{
		number("engine.loops", &e.Loops, "0", 1, 256, "one per CPU", "event loops"),
		size("engine.read_buffer", &e.ReadBuffer, "256KiB", 64*kib, mib,
			"read buffer of a loop").inSteps(&e.ReadBuffer, 4*kib),
		size("engine.turn_bytes", &e.TurnBytes, "256KiB", 64*kib, 8*mib,
			"bytes that one connection may move before others have their turn"),
		span("engine.tick", &e.Tick, "1s", 10*time.Millisecond, time.Second, "",
			"resolution of timers"),
	}
}

func (t *TCP) settings() []setting {
	return []setting{
		span("tcp.keepalive", &t.Keepalive, "1m", 10*time.Second, 2*time.Hour, "off",
			"idle time before TCP keep-alive probes"),
		span("tcp.user_timeout", &t.UserTimeout, "0", time.Second, time.Hour, "off",
			"time without acknowledgement before TCP gives up (TCP_USER_TIMEOUT)"),
		size("tcp.send_buffer", &t.SendBuffer, "0", 16*kib, 64*mib,
			"bytes that the kernel queues for a slow client (SO_SNDBUF)",
		).orNone(&t.SendBuffer, "the system's, which grows"),
		size("tcp.receive_buffer", &t.ReceiveBuffer, "0", 16*kib, 64*mib,
			"bytes that the kernel takes from a client ahead of the gateway (SO_RCVBUF)",
		).orNone(&t.ReceiveBuffer, "the system's, which grows"),
		number("tcp.backlog", &t.Backlog, "4096", 1, 65535, "",
			"connections that the kernel queues for accept"),
	}
}

func (d *Drain) settings() []setting {
	return []setting{
		span("drain.delay", &d.Delay, "0", 0, 5*time.Minute, "",
			"time between not being ready and closing the listening sockets"),
		span("drain.spread", &d.Spread, "5s", 0, 10*time.Minute, "",
			"time over which listeners are sent away, part of drain.timeout"),
		span("drain.timeout", &d.Timeout, "1m", 0, 24*time.Hour, "",
			"time that relayed connections get to end"),
	}
}

func (r *Restart) settings() []setting {
	return []setting{
		str("restart.socket", &r.Socket, "", "an absolute path of at most 90 bytes", isSocketPath,
			"Unix socket at which a new process takes over without loss"),
		span("restart.ready_timeout", &r.ReadyTimeout, "30s", time.Second, 10*time.Minute, "",
			"time for a new process to become ready; then the old one goes on"),
		span("restart.hold", &r.Hold, "10s", 100*time.Millisecond, time.Minute, "not at all",
			"time that a sender waits for listeners on their way from the old process"),
	}
}

func (l *Log) settings() []setting {
	return []setting{
		choice("log.level", &l.Level, "info",
			"least severity that is written", "debug", "info", "warn", "error"),
		choice("log.format", &l.Format, "auto",
			"auto is text on a terminal, else json", "auto", "json", "text"),
	}
}
