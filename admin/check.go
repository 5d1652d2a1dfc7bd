package admin

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Check is a test that the process runs on itself when an operator asks.
type Check struct {
	Name string
	// Run returns what is wrong, or nil. It must end with ctx.
	Run func(ctx context.Context) error
}

// checkHandler runs the checks in order, one request at a time.
type checkHandler struct {
	checks []Check
	mu     sync.Mutex // Held while checks run.
}

// ServeHTTP answers 200 when all checks pass, else 503, with a line for each.
func (h *checkHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.mu.TryLock() {
		writeText(w, http.StatusTooManyRequests, "checks are running; try again\n")
		return
	}
	defer h.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), checksTimeout)
	defer cancel()
	status := http.StatusOK
	var b strings.Builder
	for _, c := range h.checks {
		if err := c.Run(ctx); err != nil {
			status = http.StatusServiceUnavailable
			fmt.Fprintf(&b, "FAIL %s: %v\n", c.Name, err)
			continue
		}
		fmt.Fprintf(&b, "ok   %s\n", c.Name)
	}
	fmt.Fprintf(&b, "%d checks\n", len(h.checks))
	writeText(w, status, b.String())
}
