package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func TestOnlyWhatStillWaitsAboutTheSamePersonForTheSameClientIsEarlier(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		here, there := id(), id()
		first := delivery(t, s, store.PushKind, here, "ada", "x")
		second := delivery(t, s, store.PushKind, here, "ada", "x")
		for name, c := range map[string]struct {
			client, person, event string
			now                   time.Time
			want                  bool
		}{
			"the second waits for the first":     {here, "ada", second.ID, noon, true},
			"the first for nobody":               {here, "ada", first.ID, noon, false},
			"another client":                     {there, "ada", second.ID, noon, false},
			"another person":                     {here, "bob", second.ID, noon, false},
			"about nobody":                       {here, "", second.ID, noon, false},
			"what happened longer ago than ever": {here, "ada", second.ID, noon.Add(9 * 24 * time.Hour), false},
		} {
			if got := ok[bool](t)(s.Earlier(t.Context(), c.client, c.person, c.event, c.now)); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		}
		must(t, s.Exec(t.Context(), fmt.Sprintf(`UPDATE work SET dead_at = 1 WHERE event = '%s'`, first.ID)))
		if ok[bool](t)(s.Earlier(t.Context(), here, "ada", second.ID, noon)) {
			t.Error("a dead letter keeps others waiting")
		}
		must(t, s.Exec(t.Context(), fmt.Sprintf(`UPDATE work SET dead_at = 0, kind = 'signal', ref = 'txn' WHERE event = '%s'`, first.ID)))
		if !ok[bool](t)(s.Earlier(t.Context(), here, "ada", second.ID, noon)) {
			t.Error("what was not expanded yet does not keep others waiting")
		}
		must(t, s.Exec(t.Context(), fmt.Sprintf(`UPDATE work SET kind = 'notice' WHERE event = '%s'`, first.ID)))
		if ok[bool](t)(s.Earlier(t.Context(), here, "ada", second.ID, noon)) {
			t.Error("a letter to the person keeps deliveries waiting")
		}
	})
}

func TestHealthTellsTimesClassAndCountsAndNothingElse(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		one, two := id(), id()
		must(t, s.NoteDelivery(t.Context(), one, true, "", noon))
		must(t, s.NoteDelivery(t.Context(), one, false, "status-500", noon.Add(time.Minute)))
		must(t, s.NoteDelivery(t.Context(), one, false, "timeout", noon.Add(2*time.Minute)))
		must(t, s.NoteDelivery(t.Context(), one, true, "", noon.Add(3*time.Minute)))
		must(t, s.NoteDelivery(t.Context(), one, true, "", noon.Add(3*time.Minute+time.Millisecond))) // not worth a write
		for i := range 3 {
			delivery(t, s, store.WebhookKind, one, "ada", fmt.Sprint(i))
		}
		dead := delivery(t, s, store.WebhookKind, one, "ada", "dead")
		must(t, s.Exec(t.Context(), fmt.Sprintf(`UPDATE work SET dead_at = 1 WHERE event = '%s'`, dead.ID)))
		same(t, "health", ok[[]client.Health](t)(s.Health(t.Context(), two, one)), []client.Health{
			{Client: two}, {Client: one, Good: noon.Add(3 * time.Minute), Bad: noon.Add(2 * time.Minute), Class: "timeout", Waiting: 3, Dead: 1}})
		for most, want := range map[int]int{2: 2, 10: 3} {
			if n := ok[int](t)(s.WaitingFor(t.Context(), one, most)); n != want {
				t.Errorf("%d wait, looking at %d at most, want %d", n, most, want)
			}
		}
	})
}

func TestPolledDeliveriesStayUntilTheirOwnStreamAcknowledgesThem(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		here, there := id(), id()
		for i := range 3 {
			delivery(t, s, store.PollKind, here, "ada", fmt.Sprint(i))
		}
		delivery(t, s, store.PushKind, here, "ada", "pushed")
		fetch := func(stream string, n int) (refs []string, ids []string, more bool) {
			t.Helper()
			items, more, err := s.Polled(t.Context(), stream, n, noon)
			must(t, err)
			for _, i := range items {
				refs, ids = append(refs, strings.TrimPrefix(i.Ref, here+" ")), append(ids, i.ID)
				if i.Event == "" || i.Kind != store.PollKind {
					t.Errorf("got %+v", i)
				}
			}
			return refs, ids, more
		}
		refs, ids, more := fetch(here, 2)
		if fmt.Sprint(refs) != "[0 1]" || !more {
			t.Errorf("got %v, more %v", refs, more)
		}
		if again, _, _ := fetch(here, 2); fmt.Sprint(again) != "[0 1]" {
			t.Errorf("what was not acknowledged is gone: %v", again)
		}
		for name, foreign := range map[string][]string{"another stream": ids, "ids of nothing": {"x", "\xff", ""}, "none": nil} {
			stream := there
			if name != "another stream" {
				stream = here
			}
			if n := ok[int64](t)(s.Acked(t.Context(), stream, foreign)); n != 0 {
				t.Errorf("%s acknowledged %d", name, n)
			}
		}
		if n := ok[int64](t)(s.Acked(t.Context(), here, append(ids[:1:1], ids[0], "x"))); n != 1 {
			t.Errorf("acknowledged %d, want 1", n)
		}
		if n := ok[int64](t)(s.Refused(t.Context(), here, ids[1:], "invalid_key", noon)); n != 1 {
			t.Errorf("refused %d, want 1", n)
		}
		if refs, _, more := fetch(here, 10); fmt.Sprint(refs) != "[2]" || more {
			t.Errorf("left %v, more %v", refs, more)
		}
		if h := ok[[]client.Health](t)(s.Health(t.Context(), here))[0]; h.Waiting != 2 || h.Dead != 1 {
			t.Errorf("got %+v", h)
		}
		if refs, _, _ := fetch(here, 0); refs != nil {
			t.Errorf("none asked for, got %v", refs)
		}
	})
}

func TestAReceiverNamesPeopleByWhatTheySignInAs(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p := known(t, s)
		at := func(idp string) string {
			t.Helper()
			issuer, subject, err := s.SubjectAt(t.Context(), p.ID, idp)
			must(t, err)
			return issuer + " " + subject
		}
		if got := at("work") + at(""); got != "  " {
			t.Errorf("somebody who never signed in is %q", got)
		}
		arrived(t, s, p)
		for _, idp := range []string{"work", ""} {
			if got := at(idp); got != "https://op.example sub-"+p.ID {
				t.Errorf("at %q: %q", idp, got)
			}
		}
		if got := at("other"); got != " " {
			t.Errorf("at another provider: %q", got)
		}
		if who := ok[string](t)(s.PersonAt(t.Context(), "https://op.example", "sub-"+p.ID)); who != p.ID {
			t.Errorf("the subject is %q", who)
		}
		for _, pair := range [][2]string{{"https://evil.example", "sub-" + p.ID}, {"https://op.example", "sub"}, {"", ""}} {
			if who := ok[string](t)(s.PersonAt(t.Context(), pair[0], pair[1])); who != "" {
				t.Errorf("%q is %q", pair, who)
			}
		}
		second := binding(p)
		second.IDP, second.Issuer = "other", "https://other.example"
		ok[*session.Session](t)(s.Arrive(t.Context(), p.ID, second, "", func(*account.Person) (*session.Session, []event.Event, error) { return nil, nil, nil }))
		if got := at(""); got != " " {
			t.Errorf("at two providers, none named: %q", got)
		}
		if got := at("other"); got != "https://other.example sub-"+p.ID {
			t.Errorf("at the other provider: %q", got)
		}
	})
}

func TestAStreamHearsOfAPersonAgainOnlyWhenAsked(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, r := known(t, s), ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r))
		v := stream(r)
		must(t, s.CreateStream(t.Context(), v))
		excluded := func() bool { t.Helper(); return ok[bool](t)(s.Excluded(t.Context(), v.ID, p.ID)) }
		if excluded() {
			t.Error("from the start")
		}
		for range 2 {
			must(t, s.RemoveSubject(t.Context(), v.ID, p.ID, noon))
			if !excluded() {
				t.Error("removed, and still told of")
			}
		}
		for _, none := range [][2]string{{"none", p.ID}, {v.ID, "none"}} {
			if err := s.RemoveSubject(t.Context(), none[0], none[1], noon); !fault.Is(err, fault.NotFound) {
				t.Errorf("%v: %v", none, err)
			}
		}
		for range 2 {
			must(t, s.AddSubject(t.Context(), v.ID, p.ID))
			if excluded() {
				t.Error("added, and not told of")
			}
		}
		must(t, s.RemoveSubject(t.Context(), v.ID, p.ID, noon))
		must(t, s.DeletePerson(t.Context(), p.ID, "", 0))
		count(t, s, 0, `SELECT count(*) FROM stream_subjects`)
	})
}

func TestADeliveryThatNoEventBringsWaitsOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		for range 2 {
			must(t, s.PutDelivery(t.Context(), store.WebhookKind, "client test", noon, noon.Add(time.Hour)))
		}
		got := claim(t, s, noon, 5, store.WebhookKind)
		if len(got) != 1 || got[0].Ref != "client test" || !got[0].NotAfter.Equal(noon.Add(time.Hour)) {
			t.Errorf("got %+v", got)
		}
		for delivery, want := range map[string]string{client.DeliverPoll: store.PollKind, client.DeliverPush: store.PushKind} {
			if got := store.DeliveryKind(delivery); got != want {
				t.Errorf("%s is delivered by %s", delivery, got)
			}
		}
	})
}

// A receiver that verifies by the same state again and again, or staff who test: what was given up under one way of delivery
// once kept the stream from coming back to it.
func TestAVerificationOfBeforeKeepsNoStreamFromChangingItsWay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r))
		v := stream(r)
		must(t, s.CreateStream(t.Context(), v))
		turn := func(delivery string) {
			t.Helper()
			ok[*client.Stream](t)(s.UpdateStream(t.Context(), v.ID, func(now *client.Stream) ([]event.Event, error) {
				now.Delivery, now.Endpoint, now.Authorization = delivery, "", ""
				if delivery == client.DeliverPush {
					now.Endpoint = v.Endpoint
				}
				return nil, nil
			}))
		}
		waiting := func() string {
			t.Helper()
			return fmt.Sprint(claim(t, s, noon.Add(time.Hour), 10, store.PushKind), ok[int](t)(s.WaitingFor(t.Context(), v.ID, 10)))
		}
		ref := v.ID + " verification"
		must(t, s.PutDelivery(t.Context(), store.PushKind, ref, noon, time.Time{}))
		must(t, s.Bury(t.Context(), claim(t, s, noon, 1, store.PushKind)[0], noon, "refused"))
		turn(client.DeliverPoll)
		must(t, s.PutDelivery(t.Context(), store.PollKind, ref, noon, time.Time{}))
		turn(client.DeliverPush)
		if got := waiting(); !strings.Contains(got, ref) || !strings.HasSuffix(got, " 1") {
			t.Errorf("got %s, want the one that waits to be pushed", got)
		}
		// And one that was written while the stream changed.
		must(t, s.PutDelivery(t.Context(), store.PollKind, ref, noon, time.Time{}))
		must(t, s.Redirect(t.Context(), v.ID, store.PushKind))
		if n := ok[int](t)(s.WaitingFor(t.Context(), v.ID, 10)); n != 1 {
			t.Errorf("%d wait, want one", n)
		}
	})
}
