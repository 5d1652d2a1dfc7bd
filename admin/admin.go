package admin

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/relayhouse/relayhouse/internal/httpserver"
)

// Bounds of the server. Probes and scrapers send small heads and read at once;
// a profile extends the write timeout by the time it was asked to run.
const (
	headBytesMax      = 16 << 10
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute // Longer than usual scrape intervals.
	connectionsMax    = 128             // Further ones are closed at once.
	listLimitDefault  = 100
	listLimitMax      = 10_000
	checksTimeout     = 20 * time.Second // All self-checks together.
	textPlain         = "text/plain; charset=utf-8"
	applicationJSON   = "application/json"
	headerContentType = "Content-Type"
)

// Options says what a server shows. A nil member leaves its paths out, or with
// Readiness makes the node ready always.
type Options struct {
	Metrics   http.Handler
	Readiness Readiness
	Status    StatusSource
	Checks    []Check
	// Log gets the complaints of net/http. Nil means slog.Default.
	Log *slog.Logger
}

// Server is the admin server of one node.
type Server struct{ *httpserver.Server }

// Listen opens the admin port. Connections wait until Serve.
//
//	Errors: of the network, such as an address in use; nothing is open then.
func Listen(address string, o Options) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open admin port: %w", err)
	}
	return ListenOn(l, o), nil
}

// ListenOn is Listen with a socket that is open already.
func ListenOn(l net.Listener, o Options) *Server {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	return &Server{httpserver.New("admin", l, &http.Server{
		Handler:        Handler(o),
		ReadTimeout:    readTimeout,
		WriteTimeout:   writeTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: headBytesMax,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, connectionsMax)}
}

// Handler returns the paths of the admin port.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", serveIndex)
	mux.HandleFunc("GET /livez", serveLive)
	mux.HandleFunc("GET /healthz", serveLive)
	health := healthHandler{o.Readiness}
	mux.HandleFunc("GET /readyz", health.serveReady)
	mux.HandleFunc("GET /health", health.serveEmulator)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Status != nil {
		status := statusHandler{o.Status}
		mux.HandleFunc("GET /status", status.serve)
		mux.HandleFunc("GET /status/{part}", status.serve)
	}
	mux.Handle("GET /debug/check", &checkHandler{checks: o.Checks})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

const index = `Relayhouse admin

/livez  /healthz
/readyz?verbose
/health
/metrics
/status?limit=100
/status/loops  /status/connections  /status/listeners
/status/pending  /status/pools  /status/closed
/status/certificates
/debug/check
/debug/pprof/
`

func serveIndex(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, index) }

// writeText writes an answer. A peer that is gone is no error of ours.
func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set(headerContentType, textPlain)
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
