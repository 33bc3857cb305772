package store_test

import (
	"testing"
	"time"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestWhatOutlivedItsTimeIsSweptAndNothingElse(t *testing.T) {
	clock := noon
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, v, e := enrolling(t, s)
		must(t, s.ChangeMethods(t.Context(), v.ID, e.ID, func(c *register.Changing) ([]event.Event, error) { return nil, nil })) // touches the destination
		must(t, s.PutFlow(t.Context(), flow()))
		must(t, s.PutBrowser(t.Context(), browser(p)))
		must(t, s.PutInvite(t.Context(), staff.Invite{Hash: digest("i"), Role: staff.Helpdesk, Made: noon, Expires: noon.Add(staff.InviteLife)}))
		ok[bool](t)(s.SpendOnce(t.Context(), digest("jti"), noon.Add(time.Minute), noon))
		sweep := func(at time.Time) int64 { t.Helper(); return ok[int64](t)(s.SweepSignIns(t.Context(), at)) }
		if n := sweep(noon); n != 0 {
			t.Errorf("at once: %d", n)
		}
		for _, step := range []struct {
			after time.Duration
			table string
			left  string
		}{
			{time.Minute, "spent", "signins"}, {session.FlowLife, "signins", "enrolments"}, {register.Life, "enrolments", "invites"}, {staff.InviteLife, "invites", "sessions"},
			{session.Life + 30*24*time.Hour, "sessions", "browsers"}, {session.BrowserLife, "browsers", "people"},
		} {
			if n := sweep(noon.Add(step.after - time.Microsecond)); n != 0 {
				t.Errorf("%s: swept too early", step.table)
			}
			sweep(noon.Add(step.after))
			count(t, s, 0, `SELECT count(*) FROM `+step.table)
			count(t, s, 1, `SELECT count(*) FROM `+step.left)
		}
		count(t, s, 0, `SELECT count(*) FROM destinations`)
	}, at(&clock))
}

func TestMoreThanAPageIsSweptAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		must(t, s.Exec(t.Context(), `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
			INSERT INTO spent (k, not_after) SELECT CAST('key' || i AS `+map[store.Kind]string{store.PostgreSQL: "BYTEA", store.SQLite: "BLOB"}[s.Kind()]+`), i FROM n`))
		if n := ok[int64](t)(s.SweepSignIns(t.Context(), noon)); n != 2500 {
			t.Errorf("%d swept, want 2500", n)
		}
	})
}

func TestAWayThatWasToLeaveIsRemovedOnceItsTimeHasCome(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := ada("c1")
		leaves, stays, later := mail("leaves@home.example"), seed(), mail("later@home.example")
		leaves.Leaves, later.Leaves = noon.Add(time.Hour), noon.Add(2*time.Hour)
		must(t, s.CreatePerson(t.Context(), p, []method.Method{leaves, stays, later}))
		if n := ok[int](t)(s.SweepLeaving(t.Context(), noon.Add(time.Hour-time.Microsecond))); n != 0 {
			t.Errorf("%d removed too early", n)
		}
		removed := make([]int, 16)
		for _, err := range race(16, func(i int) (err error) {
			removed[i], err = s.SweepLeaving(t.Context(), noon.Add(time.Hour))
			return err
		}) {
			must(t, err)
		}
		sum := 0
		for _, n := range removed {
			sum += n
		}
		if sum != 1 {
			t.Errorf("removed %d times", sum)
		}
		for _, m := range ok[[]method.Method](t)(s.Methods(t.Context(), p.ID)) {
			if gone := m.ID == leaves.ID; (m.Status == method.Removed) != gone || gone && !m.RemovedAt.Equal(noon.Add(time.Hour)) {
				t.Errorf("got %+v", m)
			}
		}
		events := ok[[]event.Event](t)(s.EventsOf(t.Context(), p.ID, "", 10))
		if len(events) != 1 || events[0].Type != event.MethodRemoved || events[0].Private["to"] != method.Mask(method.Email, "leaves@home.example") {
			t.Errorf("events: %+v", events)
		}
		count(t, s, 1, `SELECT count(*) FROM work WHERE kind = 'notice'`)
	})
}
