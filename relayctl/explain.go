package relayctl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/relayhouse/relayhouse/relayctl/arm"
)

// secret has text kept out of errors. What is very short is no secret: it would
// only make errors unreadable.
func (a *app) secret(text string) {
	const secretMin = 8
	if len(text) >= secretMin {
		a.secrets = append(a.secrets, text, url.QueryEscape(text), url.PathEscape(text))
	}
}

// explain makes one line of an error: what failed, why, and what to do.
func (a *app) explain(err error) string {
	text := arm.Line(err.Error())
	var status *arm.StatusError
	var request *url.Error
	var relay *relayError
	switch {
	case errors.As(err, &status):
		text = strings.TrimRight(text, ".") + a.adviseStatus(status)
	case errors.As(err, &relay):
		text = arm.Line(relay.explain())
	case errors.As(err, &request) && a.where != nil:
		text = arm.Line(a.explainRequest(request))
	case errors.Is(err, arm.ErrAnswer):
		text += "; is it the management API that listens at " + a.where.management + "?"
	}
	for _, secret := range a.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}

// adviseStatus says what can be done about an answer that is no success.
func (a *app) adviseStatus(e *arm.StatusError) string {
	switch e.Status {
	case http.StatusUnauthorized:
		if a.where != nil && a.where.token == "" && a.where.tokenFile == "" {
			return "; there is no token to send: give one with --token-file or RELAYCTL_TOKEN"
		}
		return "; choose another token with --token-file or RELAYCTL_TOKEN"
	case http.StatusForbidden:
		return "; a token with the role owner may do more"
	case http.StatusNotFound:
		return "; is it in another namespace or resource group? \"relayctl namespace list\" shows them"
	case http.StatusMethodNotAllowed:
		return "; change the gateway's file of definitions instead"
	case http.StatusPreconditionFailed:
		return "; somebody else changed it at the same moment: look at it, and try again"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return "; try again in a moment"
	case http.StatusInternalServerError:
		return "; the gateway's log says more"
	}
	return ""
}

// explainRequest is for a request to one of the gateway's APIs without an answer.
func (a *app) explainRequest(e *url.Error) string {
	at := e.URL
	u, err := url.Parse(e.URL)
	if err == nil {
		at = u.Scheme + "://" + u.Host
	}
	option := "--management"
	if admin, err := baseURL("--admin", a.where.admin, "http"); err == nil && u != nil &&
		admin.Host == u.Host {
		option = "--admin"
	}
	choose := "start one with \"relayhouse dev\", or choose another with " + option
	return explainConnection(at, choose, e.Err)
}

// explainConnection says why there is no connection to an address, or why it
// broke. choose is what to do where nothing is there.
func explainConnection(at, choose string, err error) string {
	var resolve *net.DNSError
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no gateway answers at " + at + " (connection refused); " + choose
	case errors.As(err, &resolve):
		return "no gateway answers at " + at + " (the name is not known); " + choose
	case errors.As(err, &authority):
		return "the certificate of " + at + " is signed by nobody that is trusted here; " +
			"name its CA with --ca"
	case errors.As(err, &hostname):
		return "the certificate of " + at + " is not for that name (" + hostname.Error() +
			"); use the name that it is for"
	case errors.As(err, &invalid):
		return "the certificate of " + at + " is not valid: " + invalid.Error()
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response"):
		return at + " does not speak TLS; " + choose
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return at + " does not answer in time; is it reachable from here?"
	}
	return "no answer from " + at + ": " + err.Error()
}
