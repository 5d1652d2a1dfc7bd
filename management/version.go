package management

import (
	"net/url"
	"strings"
)

// version is one of the API, in order of age. The zero version is none.
type version uint8

// The versions that clients use. Source: docs/protocol.md, section 13.1.
const (
	v20160701 version = iota + 1
	v20170401
	v20211101
	v20240101
	v20260101
	v20260701Preview

	versionsEnd

	// ours stands for a path of our own, which has no versions.
	ours version = 255
)

var versionNames = [versionsEnd]string{
	v20160701: "2016-07-01", v20170401: "2017-04-01", v20211101: "2021-11-01",
	v20240101: "2024-01-01", v20260101: "2026-01-01", v20260701Preview: "2026-07-01-preview",
}

// String returns the version as clients write it.
func (v version) String() string {
	if v == 0 || v >= versionsEnd {
		return "none"
	}
	return versionNames[v]
}

// flatErrors says whether code and message stand at the top of an error too.
func (v version) flatErrors() bool { return v == v20160701 || v == v20170401 }

// systemData says whether resources have it.
func (v version) systemData() bool { return v >= v20211101 }

// networks says whether there are network rule sets and private endpoints.
func (v version) networks() bool { return v >= v20211101 }

// minimumTLS says whether namespaces have a minimum version of TLS.
func (v version) minimumTLS() bool { return v >= v20260701Preview }

// supported lists the versions from since on, the newest first.
func supported(since version) string {
	var b strings.Builder
	for v := versionsEnd - 1; v >= since; v-- {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(v.String())
	}
	return b.String()
}

// readVersion finds the version in a query, in any letter case.
//
//	Errors: *fault if there is none, one that is not known, or two; if it is
//	        older than since, and then it is returned too, for the form of the
//	        error.
func readVersion(query string, since version) (version, error) {
	var texts []string
	values, err := url.ParseQuery(query)
	if err != nil {
		return 0, faultBadRequest("", "The query of the request is malformed.")
	}
	for name, all := range values {
		if equalFold(name, apiVersion) {
			texts = append(texts, all...)
		}
	}
	if len(texts) == 0 || len(texts) == 1 && texts[0] == "" {
		return 0, faultMissingVersion()
	}
	if len(texts) > 1 {
		return 0, faultVersion(strings.Join(texts, ","), since)
	}
	for v := v20160701; v < versionsEnd; v++ {
		if !equalFold(texts[0], v.String()) {
			continue
		}
		if v < since {
			return v, faultVersion(texts[0], since)
		}
		return v, nil
	}
	return 0, faultVersion(texts[0], since)
}

const apiVersion = "api-version"

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }
