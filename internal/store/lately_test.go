package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
	"github.com/regain-id/regain/pkg/scim/schema"
)

func TestAnyNumberOfFiltersIsAnsweredWithFewKeptCompiled(t *testing.T) {
	s := storetest.Open(t, store.SQLite)
	population(t, s)
	users := userType(t)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			text := fmt.Sprint(`userName eq "bob" and externalId ne "`, w, `"`)
			for range 60 { // each a text of its own, all at once
				text += ` and userName pr`
				x, err := filter.Parse(users, text, schema.Standard())
				if err != nil {
					t.Error(err)
					return
				}
				var page store.List[*account.Person]
				if page, err = s.ListPeople(t.Context(), "c1", &scim.Query{Filter: x, Count: 10, WantTotal: true}); err != nil || len(page.Rows) != 1 || page.Total != 1 {
					t.Errorf("%s: %+v, %v", text, page, err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := s.KeptCompiled(); n == 0 || n > 64 {
		t.Errorf("%d statements are kept compiled, want 1 to 64", n)
	}
}
