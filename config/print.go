package config

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/relayhouse/relayhouse/namespace"
)

// Print writes the settings as YAML that Load reads, but for the keys, which
// are masked. It is what a node runs with, from all sources together.
func (c Config) Print(w io.Writer) error {
	p := printer{bufio.NewWriter(w)}
	section := ""
	for _, s := range c.settings() {
		now, key := cutLast(s.path)
		depth := strings.Count(now, ".")
		if now != section {
			if now == "tls.acme" {
				p.pairs(c.TLS.Certificates)
			}
			_, name := cutLast(now)
			p.line(depth, name+":")
			section = now
		}
		value := s.get()
		if s.kind == "string" {
			value = strconv.Quote(value)
		}
		p.line(depth+1, key+": "+value)
	}
	if len(c.Namespaces) == 0 {
		p.line(0, "namespaces: []")
	} else {
		p.line(0, "namespaces:")
	}
	for _, d := range c.Namespaces {
		p.definition(d)
	}
	return p.w.Flush()
}

// printer keeps the first error of its writer until Flush.
type printer struct{ w *bufio.Writer }

func (p printer) line(depth int, text string) {
	_, _ = fmt.Fprintf(p.w, "%s%s\n", strings.Repeat("  ", depth), text)
}

// pairs writes tls.certificates, at the end of the section tls.
func (p printer) pairs(all []KeyPair) {
	if len(all) > 0 {
		p.line(1, "certificates:")
	}
	for _, pair := range all {
		p.line(2, "- certificate: "+strconv.Quote(pair.Certificate))
		p.line(3, "key: "+strconv.Quote(pair.Key))
	}
}

func (p printer) definition(d namespace.Definition) {
	p.line(1, "- name: "+strconv.Quote(d.Name))
	if len(d.Hosts) > 0 {
		p.line(2, "hosts: "+quotedList(d.Hosts))
	}
	p.rules(2, d.Rules)
	if len(d.HybridConnections) > 0 {
		p.line(2, "hybrid_connections:")
	}
	for _, e := range d.HybridConnections {
		p.line(3, "- name: "+strconv.Quote(e.Name))
		p.line(4, "requires_client_authorization: "+
			strconv.FormatBool(e.RequiresClientAuthorization))
		p.line(4, "user_metadata: "+strconv.Quote(e.UserMetadata))
		p.line(4, "listeners_max: "+strconv.Itoa(e.ListenersMax))
		p.httpTime("http_response_timeout", e.HTTPResponseTimeout)
		p.httpTime("http_body_gap", e.HTTPBodyGap)
		p.line(4, "http_delivery: "+strconv.Quote(e.HTTPDelivery.String()))
		p.rules(4, e.Rules)
	}
}

// httpTime writes a time of an entity, unless it is the gateway's.
func (p printer) httpTime(key string, d time.Duration) {
	switch d {
	case 0:
	case namespace.Never:
		p.line(4, key+": 0")
	default:
		p.line(4, key+": "+formatSpan(d))
	}
}

func (p printer) rules(depth int, rules []namespace.Rule) {
	if len(rules) > 0 {
		p.line(depth, "authorization_rules:")
	}
	for _, r := range rules {
		rights := strings.Split(r.Rights.String(), ",")
		if r.Rights == 0 {
			rights = nil
		}
		p.line(depth+1, "- name: "+strconv.Quote(r.Name))
		p.line(depth+2, "rights: "+quotedList(rights))
		p.line(depth+2, "primary_key: "+masked(r.PrimaryKey))
		if r.SecondaryKey != "" {
			p.line(depth+2, "secondary_key: "+masked(r.SecondaryKey))
		}
	}
}

func masked(key string) string {
	if key == "" {
		return `""`
	}
	return strconv.Quote(keyMask)
}

func quotedList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = strconv.Quote(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
