package webservers

import (
	"errors"
	"testing"

	"github.com/regain-id/regain/internal/house/needs"
)

func TestTheSnippetsForWebServersRunInThem(t *testing.T) {
	needs.Group(t, errors.Join(needs.AnyOf("Debian's package nginx", "nginx", "/usr/sbin/nginx"), needs.AnyOf("Debian's package caddy", "caddy")))
}
