package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Condition is one thing that must hold for a node to be ready.
type Condition struct {
	Name   string // One word or two, such as "listening".
	OK     bool
	Detail string // Why not, or empty.
}

// Readiness tells whether the gateway may get traffic.
type Readiness interface {
	// Ready returns every condition, held or not. It may be called from any
	// goroutine, often, and must not block.
	Ready() []Condition
}

type healthHandler struct{ readiness Readiness }

func serveLive(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") }

// conditions returns all conditions and the ones that do not hold.
func (h healthHandler) conditions() (all, failed []Condition) {
	if h.readiness == nil {
		return nil, nil
	}
	all = h.readiness.Ready()
	for _, c := range all {
		if !c.OK {
			failed = append(failed, c)
		}
	}
	return all, failed
}

func (h healthHandler) serveReady(w http.ResponseWriter, r *http.Request) {
	all, failed := h.conditions()
	var b strings.Builder
	if r.URL.Query().Has("verbose") {
		for _, c := range all {
			mark := "ok  "
			if !c.OK {
				mark = "FAIL"
			}
			fmt.Fprintf(&b, "%s %s\n", mark, c)
		}
	}
	status := http.StatusOK
	if len(failed) > 0 {
		status = http.StatusServiceUnavailable
		fmt.Fprintf(&b, "not ready: %s\n", names(failed))
	} else {
		b.WriteString("ok\n")
	}
	writeText(w, status, b.String())
}

// serveEmulator answers in the form of the Azure emulators, which scripts that
// wait for them read (docs/protocol.md, section 12.3).
func (h healthHandler) serveEmulator(w http.ResponseWriter, _ *http.Request) {
	status, word, message := http.StatusOK, "healthy", "Service is healthy."
	if _, failed := h.conditions(); len(failed) > 0 {
		status, word = http.StatusServiceUnavailable, "unhealthy"
		message = "Service is not ready: " + names(failed) + "."
	}
	w.Header().Set(headerContentType, applicationJSON)
	w.WriteHeader(status)
	// Without blanks, as some scripts search for the text.
	_ = json.NewEncoder(w).Encode(struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}{word, message})
}

// String returns the name, and the detail if there is one.
func (c Condition) String() string {
	if c.Detail == "" {
		return c.Name
	}
	return c.Name + ": " + c.Detail
}

func names(conditions []Condition) string {
	all := make([]string, len(conditions))
	for i, c := range conditions {
		all[i] = c.Name
	}
	return strings.Join(all, ", ")
}
