package postgresql

import (
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestTheStoreRunsOnPostgreSQL(t *testing.T) {
	needs.Group(t, needs.AnyOf("Debian's package postgresql", "/usr/lib/postgresql/*/bin/initdb", "initdb"))
}
