package provision

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/pkg/scim"
)

// heardEvery is how exactly it is kept when a connector was last heard of, and when it last failed.
const heardEvery = time.Minute

// What is written down of somebody who was let in by nothing, in place of what they asked for.
const (
	heardMistyped = "mistyped" // a secret of ours by its look, and cut or changed on its way
	heardUnknown  = "unknown"  // a whole secret, which is nobody's any more, or of another deployment
)

// secretLooks is how the secrets of connectors begin.
const secretLooks = "rgn_scim_"

// recorder writes down what was last heard of connectors: beside the requests and in nobody's way, once a minute, and once
// more when the first request of a minute went well and another fails.
type recorder struct {
	store Connectors
	now   func() time.Time
	log   *slog.Logger
	busy  sync.WaitGroup

	mu    sync.Mutex
	noted map[string]time.Time // when what was last written down, by connector and whether it failed
}

// maxNoted bounds what is remembered of when something was noted. Forgetting it costs one more row written.
const maxNoted = 10_000

// heardTime is how long writing down may take.
const heardTime = 5 * time.Second

// done is scim.Config.Done.
func (h *recorder) done(r *http.Request, p *scim.Principal, status int) {
	what := whatOf(r)
	if p != nil {
		if c, ok := p.Data.(*client.Connector); ok {
			h.note(r.Context(), c.ID, what, status)
		}
		return
	}
	if status != http.StatusUnauthorized {
		return
	}
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return
	}
	_, token, _ := strings.Cut(headers[0], " ")
	token = strings.TrimSpace(token)
	hash, whole := keyring.HashToken(token)
	switch {
	case whole:
		h.refused(r.Context(), hash, what)
	case strings.HasPrefix(token, secretLooks):
		h.note(r.Context(), "", heardMistyped, status)
	}
}

// failing reports whether a status says that a client is set up wrong, or we are. Not there, there already and changed
// meanwhile are how a client finds out.
func failing(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
		return false
	}
	return status >= 400
}

// note writes down a request of a connector, unless that was done within the last minute.
func (h *recorder) note(ctx context.Context, connector, what string, status int) {
	bad := failing(status)
	name := connector
	if bad {
		name += " bad"
	}
	now := h.now()
	if h.due(name, now) {
		h.beside(ctx, func(ctx context.Context) error { return h.store.NoteHeard(ctx, connector, what, status, bad, now) })
	}
}

// refused writes down that somebody came with a whole secret that opens nothing: of the connector that it once was of, if
// that is known.
func (h *recorder) refused(ctx context.Context, hash []byte, what string) {
	now := h.now()
	if !h.due("refused", now) {
		return
	}
	h.beside(ctx, func(ctx context.Context) error {
		connector, err := h.store.TokenOwner(ctx, hash)
		if err != nil {
			return err
		}
		if connector == "" {
			what = heardUnknown
		}
		return h.store.NoteHeard(ctx, connector, what, http.StatusUnauthorized, true, now)
	})
}

// due takes the one note of a name in a minute.
func (h *recorder) due(name string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if at, ok := h.noted[name]; ok && now.Sub(at) < heardEvery {
		return false
	}
	if h.noted == nil || len(h.noted) >= maxNoted {
		h.noted = map[string]time.Time{}
	}
	h.noted[name] = now
	return true
}

// beside writes something down while the request is over. That it could not be noted is nobody's harm.
func (h *recorder) beside(ctx context.Context, write func(context.Context) error) {
	h.busy.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), heardTime)
		defer cancel()
		if err := write(ctx); err != nil {
			h.log.WarnContext(ctx, "use of a connector not noted", "err", err)
		}
	})
}

// whatOf names a request in words of ours: the verb and the first part of the path, without whose it was.
func whatOf(r *http.Request) string {
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/scim/v2"), "/")
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "Users", "Groups", "AuthenticationMethods", "Bulk", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Me", ".search":
	case "":
		first = "everything"
	default:
		first = "elsewhere"
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return r.Method + " " + first
	}
	return "other " + first
}
