package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/relayhouse/relayhouse/metrics"
)

// StatusSource is what /status shows. Methods may be called from any goroutine
// and must not wait for a loop. A limit is between 1 and 10,000.
type StatusSource interface {
	Gateway() Gateway
	Loops() []Loop
	Connections() map[string]int64 // By role.
	Listeners(limit int) List[Listener]
	Pending(limit int) List[Sender]
	Pools() []Pool
	Closed(limit int) List[Closed]
	Certificates(limit int) List[Certificate]
}

// Status is the answer to /status.
type Status struct {
	Gateway      Gateway           `json:"gateway"`
	Loops        []Loop            `json:"loops"`
	Connections  map[string]int64  `json:"connections"`
	Listeners    List[Listener]    `json:"listeners"`
	Pending      List[Sender]      `json:"pending"`
	Pools        []Pool            `json:"pools"`
	Closed       List[Closed]      `json:"closed"`
	Certificates List[Certificate] `json:"certificates"`
}

// List is the part of a list that the limit allows, and the length of all.
type List[T any] struct {
	Total int `json:"total"`
	Items []T `json:"items"`
}

// MarshalJSON writes an empty list as [], so that scripts can iterate over it.
func (l List[T]) MarshalJSON() ([]byte, error) {
	type plain List[T]
	if l.Items == nil {
		l.Items = []T{}
	}
	return json.Marshal(plain(l))
}

// Gateway describes the process.
type Gateway struct {
	ID              int               `json:"id"`
	Version         string            `json:"version"`
	Started         time.Time         `json:"started"`
	UptimeSeconds   float64           `json:"uptime_seconds"`
	Draining        bool              `json:"draining"`
	Addresses       map[string]string `json:"addresses"`  // By kind: http, https, admin.
	KernelTLS       bool              `json:"kernel_tls"` // The host's kernel has it.
	Entities        int               `json:"entities"`
	Namespaces      Namespaces        `json:"namespaces"`
	DescriptorsOpen int               `json:"descriptors_open"`
	DescriptorsMax  int               `json:"descriptors_max"`
}

// Namespaces says where the namespaces come from.
type Namespaces struct {
	From  string `json:"from"`  // file, memory, definitions or settings.
	Place string `json:"place"` // The file, or empty.
}

// Loop is one event loop; see metrics.Loop for the members.
type Loop struct {
	Index           int               `json:"index"`
	Connections     int64             `json:"connections"`
	Accepted        uint64            `json:"accepted"`
	AcceptErrors    map[string]uint64 `json:"accept_errors"`
	Refused         uint64            `json:"refused"`
	BytesToListener uint64            `json:"bytes_to_listener"`
	BytesToSender   uint64            `json:"bytes_to_sender"`
	Reads           uint64            `json:"reads"`
	Writes          uint64            `json:"writes"`
	Yields          uint64            `json:"yields"`
	PostsRun        uint64            `json:"posts_run"`
	Migrations      uint64            `json:"migrations"`
	PongsSent       uint64            `json:"pongs_sent"`
	LeftoverBytes   int64             `json:"leftover_bytes"`
	LeftoverPeak    int64             `json:"leftover_peak"`
}

// Listener is a control channel.
type Listener struct {
	Entity       string    `json:"entity"`
	ID           string    `json:"id"`
	TrackingID   string    `json:"tracking_id"`
	Peer         string    `json:"peer"`
	Since        time.Time `json:"since"`
	TokenExpires time.Time `json:"token_expires,omitzero"`
}

// Sender is a pending rendezvous.
type Sender struct {
	Entity     string    `json:"entity"`
	TrackingID string    `json:"tracking_id"`
	Peer       string    `json:"peer"`
	Expires    time.Time `json:"expires,omitzero"` // zero for an HTTP request
}

// Pool is memory that is kept for reuse or bounded.
type Pool struct {
	Name     string `json:"name"`
	Used     int64  `json:"used_bytes"`
	Peak     int64  `json:"peak_bytes,omitempty"`
	BytesMax int64  `json:"max_bytes,omitempty"`
}

// Closed is a connection that has ended; see metrics.Closed.
type Closed struct {
	Time       time.Time `json:"time"`
	Role       string    `json:"role"`
	Reason     string    `json:"reason"`
	Peer       string    `json:"peer"`
	Entity     string    `json:"entity,omitempty"`
	TrackingID string    `json:"tracking_id,omitempty"`
	BytesIn    uint64    `json:"bytes_in"`
	BytesOut   uint64    `json:"bytes_out"`
	Seconds    float64   `json:"seconds"`
	Detail     string    `json:"detail,omitempty"`
}

// Certificate is one that the TLS port has, or waits for.
type Certificate struct {
	Names     []string  `json:"names"`
	Key       string    `json:"key,omitempty"` // ecdsa, rsa, ed25519 or other.
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"` // Zero if there is none yet.
	NotAfter  time.Time `json:"not_after,omitzero"`
	Source    string    `json:"source"` // Its file, or who made it.
	Problem   string    `json:"problem,omitempty"`
}

// LoopsOf returns the status of loops from their counters.
func LoopsOf(loops []*metrics.Loop) []Loop {
	all := make([]Loop, len(loops))
	for i, l := range loops {
		s := Loop{
			Index:           i,
			Accepted:        l.Accepted.Load(),
			AcceptErrors:    make(map[string]uint64, len(l.AcceptErrors)),
			Refused:         l.Refused.Load(),
			BytesToListener: l.BytesToListener.Load(),
			BytesToSender:   l.BytesToSender.Load(),
			Reads:           l.Reads.Load(),
			Writes:          l.Writes.Load(),
			Yields:          l.Yields.Load(),
			PostsRun:        l.PostsRun.Load(),
			Migrations:      l.Migrations.Load(),
			PongsSent:       l.PongsSent.Load(),
			LeftoverBytes:   l.LeftoverBytes.Load(),
			LeftoverPeak:    l.LeftoverPeak.Load(),
		}
		for kind := range l.AcceptErrors {
			s.AcceptErrors[metrics.AcceptError(kind).String()] = l.AcceptErrors[kind].Load()
		}
		for role := range l.Connections {
			s.Connections += l.Connections[role].Load()
		}
		all[i] = s
	}
	return all
}

// ConnectionsOf returns the number of connections of all loops by role.
func ConnectionsOf(loops []*metrics.Loop) map[string]int64 {
	byRole := make(map[string]int64)
	for _, role := range metrics.Roles() {
		n := int64(0)
		for _, l := range loops {
			n += l.Connections[role].Load()
		}
		byRole[role.String()] = n
	}
	return byRole
}

// ClosedOf returns the newest entries of the closed history.
func ClosedOf(h *metrics.History, limit int) List[Closed] {
	last := h.Last(limit)
	all := List[Closed]{Total: h.Len(), Items: make([]Closed, len(last))}
	for i, c := range last {
		all.Items[i] = Closed{
			Time: c.Time, Role: c.Role.String(), Reason: c.Reason.String(),
			Peer: c.Peer.String(), Entity: c.Entity, TrackingID: c.TrackingID,
			BytesIn: c.BytesIn, BytesOut: c.BytesOut,
			Seconds: c.Duration.Seconds(), Detail: c.Detail,
		}
	}
	return all
}

type statusHandler struct{ source StatusSource }

func (h statusHandler) serve(w http.ResponseWriter, r *http.Request) {
	limit, err := listLimit(r)
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error()+"\n")
		return
	}
	part, ok := h.part(r.PathValue("part"), limit)
	if !ok {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, part)
}

func (h statusHandler) part(name string, limit int) (any, bool) {
	s := h.source
	switch name {
	case "":
		return Status{
			s.Gateway(), s.Loops(), s.Connections(), s.Listeners(limit),
			s.Pending(limit), s.Pools(), s.Closed(limit), s.Certificates(limit),
		}, true
	case "loops":
		return s.Loops(), true
	case "connections":
		return s.Connections(), true
	case "listeners":
		return s.Listeners(limit), true
	case "pending":
		return s.Pending(limit), true
	case "pools":
		return s.Pools(), true
	case "closed":
		return s.Closed(limit), true
	case "certificates":
		return s.Certificates(limit), true
	}
	return nil, false
}

func listLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return listLimitDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > listLimitMax {
		return 0, fmt.Errorf("limit: want 1–%d, got %q", listLimitMax, text)
	}
	return n, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // A float that JSON cannot say; all else is plain data.
		writeText(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set(headerContentType, applicationJSON)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
