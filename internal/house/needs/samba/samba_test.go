package samba

import (
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestPasswordsAreWrittenToARealDomainController(t *testing.T) {
	needs.Group(t, needs.AnyOf("Debian's packages samba-ad-dc, samba-ad-provision and samba-dsdb-modules", "samba", "/usr/sbin/samba", "/usr/local/samba/sbin/samba"))
}
