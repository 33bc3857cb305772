package memstore_test

import (
	"testing"

	"github.com/regain-id/regain/pkg/scim/memstore"
	"github.com/regain-id/regain/pkg/scim/schema"
	"github.com/regain-id/regain/pkg/scim/scimtest"
)

func TestMemstoreKeepsThePromisesOfAStore(t *testing.T) {
	scimtest.StoreSuite(t, func(t *testing.T) scimtest.Backend {
		users, err := schema.NewType("User", schema.User(), schema.Extension{Schema: schema.EnterpriseUser()})
		if err != nil {
			t.Fatal(err)
		}
		groups, err := schema.NewType("Group", schema.Group())
		if err != nil {
			t.Fatal(err)
		}
		db := memstore.New()
		return scimtest.Backend{Users: db.Type(users), Groups: db.Type(groups)}
	})
}
