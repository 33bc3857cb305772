package signal

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestAnOpaqueNameIsOnePersonsAtOneReceiverAndLeadsBackToThem(t *testing.T) {
	s := &Service{Config: Config{Keys: storetest.Ring()}}
	crm, hr := &client.Receiver{ID: "r1"}, &client.Receiver{ID: "r2"}
	seen := map[string]bool{}
	for range 200 {
		person := uuid.Must(uuid.NewV7()).String()
		a, b := s.OpaqueName(crm, person), s.OpaqueName(hr, person)
		if len(a) != 22 || a != s.OpaqueName(crm, person) || seen[a] || seen[b] || a == b {
			t.Fatalf("%s is %q at one and %q at the other", person, a, b)
		}
		seen[a], seen[b] = true, true
		if got := s.byOpaqueName(crm, a); got != person {
			t.Errorf("got %q, want %q", got, person)
		}
		if got := s.byOpaqueName(hr, a); got == person {
			t.Error("the name of one receiver leads to the person at another")
		}
	}
	for _, name := range []string{"", "x", strings.Repeat("A", 21), strings.Repeat("A", 23), strings.Repeat("A", 44), strings.Repeat("=", 22), "AAAAAAAAAAAAAAAAAAAAAB"} {
		if got := s.byOpaqueName(crm, name); got != "" {
			t.Errorf("%q is a name of %q", name, got)
		}
	}
	if got := s.OpaqueName(crm, "nobody"); got != "" {
		t.Errorf("what is no id has the name %q", got)
	}
}
