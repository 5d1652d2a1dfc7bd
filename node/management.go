package node

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/relayhouse/relayhouse/certificate"
	"github.com/relayhouse/relayhouse/config"
	"github.com/relayhouse/relayhouse/gateway"
	"github.com/relayhouse/relayhouse/management"
	"github.com/relayhouse/relayhouse/namespace"
)

// openManagement opens the management port, if there is to be one.
//
//	Errors: a *config.Error.
func (n *Node) openManagement() error {
	c := n.cfg.Management
	if c.Listen == "" {
		return nil
	}
	secure, err := n.managementTLS()
	if err != nil {
		return err
	}
	l, err := n.listenBeside(portManagement, c.Listen)
	if errors.Is(err, syscall.EADDRINUSE) && c.AnyPort {
		host, _, _ := net.SplitHostPort(c.Listen)
		n.log.Warn("the management port is in use; a free one is taken",
			slog.String("address", c.Listen))
		l, err = n.listenBeside(portManagement, net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return addressError("management.listen", c.Listen, err)
	}
	n.management, err = management.ListenOn(l, secure, management.Options{
		Namespaces: n.namespaces, Writer: n.store.writer,
		Listeners: n.gateway.ListenersOf, Endpoint: n.endpoint,
		TokensFile: c.Tokens, Audit: n.audit, Domain: c.Domain,
		NamespacesMax: n.cfg.Store.NamespacesMax, Backup: n.backupFunc(),
		Parse: parseDefinitions, Format: config.WriteDefinitions,
		FormatEmulator: config.WriteEmulator,
		Version:        build().Version, Log: n.log,
	})
	if err != nil {
		_ = l.Close()
		return &config.Error{Path: "management", Text: err.Error()}
	}
	n.addresses.Management = l.Addr().String()
	return nil
}

// openAudit opens the log of changes, by the API and on the data port.
//
//	Errors: a *config.Error.
func (n *Node) openAudit() (err error) {
	if n.audit, err = management.OpenAuditLog(n.cfg.Management.AuditLog, n.log); err != nil {
		return &config.Error{Path: "management.audit_log", Text: err.Error()}
	}
	return nil
}

// record notes a change that came to the data port.
func (n *Node) record(r gateway.AuditRecord) {
	change := management.EntityChange{
		Time: r.Time, Rule: r.Actor, Address: r.Address.String(), Operation: r.Operation,
		Namespace: namespace.Definition{Name: r.Namespace}, Kind: r.Kind, Name: r.Entity,
		Status: r.Status, TrackingID: r.TrackingID, Before: r.Before, After: r.After,
	}
	if ns := n.namespaces.Load().Namespace(r.Namespace); ns != nil {
		change.Namespace = ns.Settings()
	}
	n.audit.RecordEntity(change)
}

// managementTLS is the certificate of the management port: its own, or those of
// the section tls. Clients are told apart by their tokens.
func (n *Node) managementTLS() (*tls.Config, error) {
	c := n.cfg.Management
	if c.Certificate == "" {
		if err := n.openCertificates(); err != nil {
			return nil, err
		}
		own := n.certificates.Config().Clone()
		own.ClientAuth = tls.NoClientCert
		return own, nil
	}
	var err error
	n.managementCertificates, err = certificate.New(certificate.Options{
		Pairs:      []certificate.Pair{{Certificate: c.Certificate, Key: c.Key}},
		MinVersion: tls.VersionTLS12, Log: n.log,
	})
	if err != nil {
		return nil, certificateError(err)
	}
	if err := n.managementCertificates.Start(""); err != nil {
		return nil, certificateError(err)
	}
	return n.managementCertificates.Config(), nil
}

// endManagement ends the management port of a node that is being replaced: its
// clients must come again, to the process that can change something.
func (n *Node) endManagement() {
	if n.management == nil {
		return
	}
	n.servers.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), managementEnd)
		defer cancel()
		_ = n.management.Close(ctx)
	})
}

// managementEnd is how long requests in progress may take then.
const managementEnd = 5 * time.Second

// abandonManagement closes the port of a node that could not be started.
func (n *Node) abandonManagement() {
	if n.management != nil {
		_ = n.management.Listener().Close()
	}
	if n.managementCertificates != nil {
		n.managementCertificates.Close()
	}
}

// endpoint says where clients reach a namespace: at its first host name, or
// that of gateway.advertised_url, or this machine; at the port of
// advertised_url, or the one that listens.
func (n *Node) endpoint(ns *namespace.Namespace) (host string, port int) {
	address := n.addresses.HTTPS
	if address == "" {
		address = n.addresses.HTTP
	}
	host, text, _ := net.SplitHostPort(localhost(address))
	port, _ = strconv.Atoi(text)
	if advertised, err := url.Parse(n.cfg.Gateway.AdvertisedURL); err == nil && advertised.Host != "" {
		host = advertised.Hostname()
		switch text := advertised.Port(); {
		case text != "":
			port, _ = strconv.Atoi(text)
		case advertised.Scheme == "ws":
			port = 80
		default:
			port = 443
		}
	}
	if !ns.AnyHost() {
		host = ns.Host()
	}
	return host, port
}

// localhost names this machine where an address stands for it: clients of Azure
// take names only, and the certificate of the emulator has it.
func localhost(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// backupFunc is nil where there is nothing to back up.
func (n *Node) backupFunc() func(io.Writer) error {
	if n.store.bolt == nil {
		return nil
	}
	return n.store.bolt.Backup
}

// parseDefinitions reads what came over the network: without references to files
// and variables of this process.
func parseDefinitions(name string, text []byte) ([]namespace.Definition, error) {
	return config.ReadDefinitions(name, text)
}
