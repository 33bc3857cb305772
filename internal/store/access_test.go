package store_test

import (
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestAnAccessTokenIsGoodUntilItsTimeAndNoLonger(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		crm := &client.Receiver{Key: "crm", Name: "CRM", Kind: client.ReceiverSSF, Format: client.FormatOpaque, Audience: "https://crm.example"}
		must(t, s.CreateReceiver(t.Context(), crm))
		a := client.Access{Hash: digest("one"), Receiver: crm.ID, Secret: "s1", Scopes: []client.Scope{client.ScopeManage, client.ScopeRead}, Expires: noon.Add(client.AccessTime)}
		must(t, s.PutAccess(t.Context(), a, noon))
		read := func(name string, at time.Time) *client.Access {
			t.Helper()
			return ok[*client.Access](t)(s.Access(t.Context(), digest(name), at))
		}
		same(t, "token", read("one", noon.Add(client.AccessTime-time.Microsecond)), &a)
		if read("one", noon.Add(client.AccessTime)) != nil || read("two", noon) != nil {
			t.Error("a token is found that is over, or was never made")
		}
		// The next one takes along what is over, so that a receiver that asks for ever keeps no rows for ever.
		b := a
		b.Hash, b.Scopes, b.Expires = digest("two"), []client.Scope{client.ScopeRead}, noon.Add(time.Hour)
		must(t, s.PutAccess(t.Context(), b, noon.Add(client.AccessTime)))
		count(t, s, 1, `SELECT count(*) FROM ssf_tokens`)
		same(t, "token", read("two", noon), &b)
		must(t, s.DeleteReceiver(t.Context(), "crm"))
		count(t, s, 0, `SELECT count(*) FROM ssf_tokens`)
	})
}
