package openldap

import (
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestPasswordsAreWrittenToARealDirectory(t *testing.T) {
	needs.Group(t, needs.AnyOf("Debian's packages slapd and ldap-utils", "slapd", "/usr/sbin/slapd", "/usr/libexec/slapd"))
}
