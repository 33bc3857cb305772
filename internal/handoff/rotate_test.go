package handoff

import (
	"net/http"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
)

func TestAKeyIsRotatedWithoutAGapAndEnds(t *testing.T) {
	old, next := newPair(t, "ES256"), newPair(t, "ES256")
	w := newWorld(t, byKey(old))
	w.hr.change(func(a *client.App) {
		k := next.public
		k.Created = w.clock.now()
		if err := a.AddKey(k, w.clock.now().Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
	})
	with := func(k pair) int {
		return w.call(w.site, http.MethodPost, PathPush, asserts(w.hr.request(), k.signs(t, "ES256", nil, w.asserted("hr")))).code
	}
	if old, new := with(old), with(next); old != http.StatusCreated || new != http.StatusCreated {
		t.Errorf("while both live: %d, %d", old, new)
	}
	w.clock.pass(24*time.Hour - time.Second)
	if old := with(old); old != http.StatusCreated {
		t.Errorf("at the last moment: %d", old)
	}
	w.clock.pass(time.Second)
	if old, new := with(old), with(next); old != http.StatusUnauthorized || new != http.StatusCreated {
		t.Errorf("when the older one ended: %d, %d", old, new)
	}
}
