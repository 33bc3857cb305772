package app

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regain-id/regain/internal/store"
)

// maxSkew is how far the clocks of process and database may differ before times mean different things to replicas.
const maxSkew = 5 * time.Second

// health answers /healthz/live and /healthz/ready. Live needs nothing but the process. Ready commits to the database
// and compares clocks, at most once a second; it says no while the server drains.
type health struct {
	store    *store.Store
	now      func() time.Time
	draining atomic.Bool

	mu   sync.Mutex
	at   time.Time
	said string
}

// ServeHTTP answers GET and HEAD.
func (h *health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	status, text := http.StatusOK, "ok\n"
	switch r.URL.Path {
	case "/healthz/live":
	case "/healthz/ready":
		if said := h.ready(r.Context()); said != "" {
			status, text = http.StatusServiceUnavailable, said+"\n"
		}
	default:
		status, text = http.StatusNotFound, "not found\n"
	}
	w.WriteHeader(status)
	io.WriteString(w, text) //nolint:errcheck // the reader is gone
}

// ready returns what is wrong, or nothing.
func (h *health) ready(ctx context.Context) string {
	if h.draining.Load() {
		return "draining"
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := h.now(); h.at.IsZero() || now.Sub(h.at) > time.Second || now.Before(h.at) {
		h.said = h.probe(ctx)
		h.at = now
	}
	return h.said
}

func (h *health) probe(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := h.store.Ping(ctx); err != nil {
		return "database"
	}
	skew, err := h.store.ClockSkew(ctx)
	switch {
	case err != nil:
		return "database"
	case skew.Abs() > maxSkew:
		return "clock"
	}
	return ""
}
