package management

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/relayhouse/relayhouse/namespace"
	"github.com/relayhouse/relayhouse/namespacestore"
	"github.com/relayhouse/relayhouse/sas"
)

// Bounds of a request. The first is Azure's order of magnitude, all are ours.
const (
	// bodyBytesMax bounds the body of an ARM request; a longer one is 413.
	bodyBytesMax = 256 << 10
	// requestsMax bounds the requests that are served at one moment; beyond it
	// they are 429. With bodyBytesMax it bounds the memory of all bodies.
	requestsMax = 256
	// retryAfterSeconds is what 429 and 503 tell a client to wait.
	retryAfterSeconds = 1
	// idBytesMax bounds the ids of a client that are echoed; a longer one, or
	// one with other than printable ASCII, is as none.
	idBytesMax = 128
)

// Options say what an API changes and how it talks to the rest of a node.
type Options struct {
	// Namespaces holds the current snapshot, which Writer replaces.
	Namespaces *namespace.Store
	Writer     namespacestore.Writer
	// Listeners returns how many listeners an entity has now, by
	// namespace.Entity.Key. It is asked for each entity of a page. Nil says none.
	Listeners func(entityKey string) int
	// Endpoint says under which host name and port clients reach a namespace.
	// It is asked within updates too and must not wait. Nil takes the namespace's
	// own host name and port 443.
	Endpoint func(*namespace.Namespace) (host string, port int)

	// TokensFile has the bearer tokens; it is read at each request.
	TokensFile string
	// Audit is where changes are noted. Nil is Log.
	Audit *AuditLog
	// Domain makes the host name NAME.DOMAIN of a new namespace; empty leaves
	// it without one, so that it serves every host.
	Domain string
	// NamespacesMax is the limit that checkNameAvailability tells of; 0 is none.
	// The limit itself is Writer's.
	NamespacesMax int

	// Backup writes a consistent copy of the store. Nil: 501.
	Backup func(io.Writer) error
	// Parse reads definitions in any of the forms that config knows. What it
	// reads came over the network: it must not follow file: and env:. A rule
	// without a key is given one. Nil: 501.
	Parse func(name string, text []byte) ([]namespace.Definition, error)
	// Format writes definitions, keys included. Nil: 501.
	Format func(io.Writer, []namespace.Definition) error
	// FormatEmulator likewise, as Config.json of the Azure emulators.
	FormatEmulator func(io.Writer, []namespace.Definition) error
	// Version is that of the program.
	Version string

	// Log gets what operators should know. Nil means slog.Default.
	Log *slog.Logger
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Random returns a new id, as 8-4-4-4-12 hexadecimal digits. Nil means
	// random ones.
	Random func() string
}

// API is the http.Handler of the management API. It may be called from any
// goroutine, but not from an event loop: changes wait for the disk.
type API struct {
	// Fixed after New.
	o      Options
	log    *slog.Logger
	routes []route
	newKey func() string
	// importMax is importBytesMax, or less in a test.
	importMax int64

	slots     chan struct{} // one in it for each request in service
	transfers chan struct{} // one in it while an import or a backup runs
	failures  throttled     // lines about failed authentications
	problems  throttled     // lines about the tokens file
}

// New returns an API.
//
//	Errors: an option that must be there is not.
func New(o Options) (*API, error) {
	if o.Namespaces == nil || o.Writer == nil {
		return nil, errors.New("management: want Namespaces and Writer")
	}
	if o.TokensFile == "" {
		return nil, errors.New("management: want TokensFile: there is no access without a token")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = newID
	}
	if o.Audit == nil {
		o.Audit = &AuditLog{log: o.Log}
	}
	if o.Listeners == nil {
		o.Listeners = func(string) int { return 0 }
	}
	if o.Endpoint == nil {
		o.Endpoint = func(n *namespace.Namespace) (string, int) { return n.Host(), httpsPort }
	}
	a := &API{
		o: o, log: o.Log, routes: newRoutes(), newKey: sas.NewKey,
		importMax: importBytesMax,
		slots:     make(chan struct{}, requestsMax),
		transfers: make(chan struct{}, 1),
		failures:  newThrottled(o.Now),
		problems:  newThrottled(o.Now),
	}
	return a, nil
}

// newID makes a random UUID, version 4 of RFC 9562.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// throttled lets a few lines through and counts the others, so that strangers
// cannot fill a log.
type throttled struct {
	limiter *rate.Limiter
	now     func() time.Time
	left    *atomic.Int64 // lines that were left out since the last one
}

// Lines of a kind in a row and, after them, per second; ours.
const (
	linesBurst     = 10
	linesPerSecond = 0.2
)

func newThrottled(now func() time.Time) throttled {
	return throttled{rate.NewLimiter(linesPerSecond, linesBurst), now, new(atomic.Int64)}
}

// warn logs a line, with the number of those that were left out before it.
func (t throttled) warn(log *slog.Logger, text string, args ...any) {
	if !t.limiter.AllowN(t.now(), 1) {
		t.left.Add(1)
		return
	}
	if left := t.left.Swap(0); left > 0 {
		args = append(args, slog.Int64("left_out", left))
	}
	log.Warn(text, args...)
}

// call is one request on its way.
type call struct {
	*API
	r *http.Request
	w http.ResponseWriter

	requestID, correlationID string

	version version // none until it is known
	path            // what the URL says
	action  *action
	client  client
	note    note // for the audit log
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{API: a, r: r, w: w, requestID: a.o.Random()}
	c.correlationID = printableID(r.Header.Get("X-Ms-Correlation-Request-Id"))
	if c.correlationID == "" {
		c.correlationID = a.o.Random()
	}
	c.headers()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	default:
		c.refuse(faultTooManyRequests())
		return
	}
	answer, err := c.serve()
	if err != nil {
		c.refuse(c.fault(err))
		return
	}
	c.record(answer.status, "")
	c.write(answer)
}

// headers sets what every answer has.
func (c *call) headers() {
	h := c.w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Ms-Request-Id", c.requestID)
	h.Set("X-Ms-Correlation-Request-Id", c.correlationID)
	if returns := c.r.Header.Get("X-Ms-Return-Client-Request-Id"); equalFold(returns, "true") {
		if id := printableID(c.r.Header.Get("X-Ms-Client-Request-Id")); id != "" {
			h.Set("X-Ms-Client-Request-Id", id)
		}
	}
}

// printableID returns the id of a client if it can be echoed, or "".
func printableID(id string) string {
	if len(id) > idBytesMax {
		return ""
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return ""
		}
	}
	return id
}

// serve does what is asked for. Strangers learn nothing but that they are.
func (c *call) serve() (answer, error) {
	var err error
	if c.client, err = c.authenticate(); err != nil {
		return answer{}, err
	}
	found, err := c.find()
	if err != nil {
		return answer{}, err
	}
	if found.since != ours {
		if c.version, err = readVersion(c.r.URL.RawQuery, found.since); err != nil {
			return answer{}, err
		}
	}
	method := c.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	c.action = found.action(method, c.version)
	if c.action == nil {
		return answer{}, faultMethod(method, found.allow(c.version))
	}
	if err := c.authorize(); err != nil {
		return answer{}, err
	}
	return c.action.serve(c)
}

// snapshot is the current state.
func (c *call) snapshot() *namespace.Snapshot { return c.o.Namespaces.Load() }
