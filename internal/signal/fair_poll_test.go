package signal

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// Workers expand events in no order. Once the row of a later event, written first, stood before that of the earlier one: a
// receiver that asked for one event at a time was shown neither, for the one it was to get waits for the other.
func TestWhoFetchesOneAtATimeGetsTheEarliestWhicheverWasExpandedFirst(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWire(t, kind)
			token, _, poll := w.streams("crm")
			first := w.commit(w.ada, event.PasswordChanged)
			w.clock.pass(time.Millisecond)
			w.commit(w.ada, event.PasswordChanged)
			rows := have[[]store.Work](t)(w.store.Claim(t.Context(), w.clock.now(), "test", []string{"signal"}, 10, time.Minute))
			if len(rows) != 2 {
				t.Fatalf("%d events to expand", len(rows))
			}
			if rows[0].Event == first.ID {
				slices.Reverse(rows)
			}
			for _, row := range rows {
				if err := w.done(row, w.svc.expand(t.Context(), event.Item{ID: row.ID, Event: row.Event, Kind: row.Kind, Ref: row.Ref})); err != nil {
					t.Fatal(err)
				}
			}
			got := w.fetch(token, poll, `{"returnImmediately":true,"maxEvents":1}`)
			if len(got.Sets) != 1 || !got.More {
				t.Fatalf("got %d, more %t", len(got.Sets), got.More)
			}
			payload := have[[]byte](t)(base64.RawURLEncoding.DecodeString(strings.Split(got.Sets[got.jtis()[0]], ".")[1]))
			if !strings.Contains(string(payload), first.Txn) {
				t.Errorf("the later one came first: %s", payload)
			}
		})
	}
}
