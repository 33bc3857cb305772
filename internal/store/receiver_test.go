package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

func hook(key string) *client.Receiver {
	return &client.Receiver{Key: key, Name: "Alarms", Kind: client.ReceiverWebhook, Events: []string{"password.reset"}, Format: client.FormatOpaque, URL: "https://siem.example/in",
		Sign: []client.SignSecret{{Secret: digest("canary-sign"), Created: noon}}, Created: noon, Updated: noon}
}

func ssf(key string) *client.Receiver {
	return &client.Receiver{Key: key, Name: "Identity", Kind: client.ReceiverSSF, Format: client.FormatIssSub, IDP: "work", Audience: "https://rp.example", Hosts: []string{"rp.example"},
		Secrets: []client.Token{{Hash: digest("s"), Created: noon, Expires: noon.Add(time.Hour)}}, Created: noon, Updated: noon}
}

func TestAReceiverReadsAsItWasMadeAndItsSecretsAreSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		h, r := hook("alarms"), ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r, event.New(noon, event.ReceiverCreated, "cli:x", "", "", event.Success)))
		must(t, s.CreateReceiver(t.Context(), h))
		same(t, "by key", ok[*client.Receiver](t)(s.Receiver(t.Context(), "identity")), r)
		same(t, "by id", ok[*client.Receiver](t)(s.ReceiverByID(t.Context(), h.ID)), h)
		same(t, "all", ok[[]client.Receiver](t)(s.Receivers(t.Context())), []client.Receiver{*h, *r})
		for what, none := range map[string]func() (*client.Receiver, error){
			"another key": func() (*client.Receiver, error) { return s.Receiver(t.Context(), "none") },
			"another id":  func() (*client.Receiver, error) { return s.ReceiverByID(t.Context(), "\xff") },
		} {
			if got, err := none(); got != nil || err != nil {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}
		count(t, s, 0, `SELECT count(*) FROM receivers WHERE `+holds(s, "sealed"), "canary")
		count(t, s, 0, `SELECT count(*) FROM receivers WHERE `+holds(s, "sealed"), "secret")
		err := s.CreateReceiver(t.Context(), hook("identity"))
		if taken, is := errors.AsType[*store.TakenError](err); !is || taken.Attr != "key" {
			t.Errorf("a second of that key: %v", err)
		}
		if err := s.CreateReceiver(t.Context(), hook("Not A Key")); !fault.Is(err, fault.Invalid) {
			t.Errorf("a bad key: %v", err)
		}
	})
}

func TestAReceiverIsChangedInOneCommitWithItsEvents(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		must(t, s.CreateReceiver(t.Context(), hook("alarms")))
		must(t, s.CreateReceiver(t.Context(), hook("other")))
		change := func(fn func(*client.Receiver)) (*client.Receiver, error) {
			return s.UpdateReceiver(t.Context(), "alarms", func(r *client.Receiver) ([]event.Event, error) {
				fn(r)
				return []event.Event{event.New(noon, event.ReceiverChanged, "cli:x", "", "", event.Success)}, nil
			})
		}
		got := ok[*client.Receiver](t)(change(func(r *client.Receiver) {
			must(t, r.AddSign(client.SignSecret{Secret: digest("two"), Created: noon}, noon.Add(time.Hour)))
			r.Kind, r.Disabled = client.ReceiverSSF, true
		}))
		same(t, "after", ok[*client.Receiver](t)(s.Receiver(t.Context(), "alarms")), got)
		if got.Version != 2 || len(got.Sign) != 2 || got.Sign[1].ID == "" || got.Kind != client.ReceiverWebhook || !got.Disabled {
			t.Errorf("got %+v", got)
		}
		if _, err := change(func(r *client.Receiver) { r.URL = "ftp://x" }); !fault.Is(err, fault.Invalid) {
			t.Errorf("a bad address: %v", err)
		}
		if _, err := change(func(r *client.Receiver) { r.Key = "other" }); !fault.Is(err, fault.Conflict) {
			t.Errorf("a taken key: %v", err)
		}
		same(t, "unchanged", ok[*client.Receiver](t)(s.UpdateReceiver(t.Context(), "alarms", func(*client.Receiver) ([]event.Event, error) { return nil, store.ErrUnchanged })), got)
		if _, err := s.UpdateReceiver(t.Context(), "none", nil); !fault.Is(err, fault.NotFound) {
			t.Errorf("none: %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM events`)
		must(t, s.DeleteReceiver(t.Context(), "alarms", event.New(noon, event.ReceiverDeleted, "cli:x", "", "", event.Success)))
		if err := s.DeleteReceiver(t.Context(), "alarms"); !fault.Is(err, fault.NotFound) {
			t.Errorf("again: %v", err)
		}
		count(t, s, 1, `SELECT count(*) FROM receivers`)
	})
}

func stream(r *client.Receiver) *client.Stream {
	return &client.Stream{Receiver: r.ID, Delivery: client.DeliverPush, Endpoint: "https://rp.example/events", Authorization: "Bearer canary-header", Requested: []string{"https://x.example/type"},
		Description: "all", Status: client.StreamEnabled, Created: noon, Updated: noon}
}

func TestAStreamReadsAsItWasMadeAndItsHeaderIsSealed(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r))
		v := stream(r)
		must(t, s.CreateStream(t.Context(), v, event.New(noon, event.StreamCreated, "receiver:"+r.ID, "", "", event.Success)))
		same(t, "by id", ok[*client.Stream](t)(s.Stream(t.Context(), v.ID)), v)
		same(t, "of the receiver", ok[[]client.Stream](t)(s.StreamsOf(t.Context(), r.ID)), []client.Stream{*v})
		same(t, "live", ok[[]client.Stream](t)(s.LiveStreams(t.Context())), []client.Stream{*v})
		count(t, s, 0, `SELECT count(*) FROM streams WHERE `+holds(s, "sealed"), "canary")
		if none, err := s.Stream(t.Context(), "none"); none != nil || err != nil {
			t.Errorf("none: %v, %v", none, err)
		}
		bad := stream(r)
		bad.Endpoint = "https://evil.example/"
		if err := s.CreateStream(t.Context(), bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("at another host: %v", err)
		}
		if err := s.CreateStream(t.Context(), &client.Stream{Receiver: "none"}); !fault.Is(err, fault.NotFound) {
			t.Errorf("of nobody: %v", err)
		}
		poll := &client.Stream{Receiver: r.ID, Delivery: client.DeliverPoll, Status: client.StreamDisabled, Created: noon, Updated: noon}
		must(t, s.CreateStream(t.Context(), poll))
		same(t, "without a header", ok[*client.Stream](t)(s.Stream(t.Context(), poll.ID)), poll)
		same(t, "live", ok[[]client.Stream](t)(s.LiveStreams(t.Context())), []client.Stream{*v})
		ok[*client.Receiver](t)(s.UpdateReceiver(t.Context(), r.Key, func(r *client.Receiver) ([]event.Event, error) { r.Disabled = true; return nil, nil }))
		if live := ok[[]client.Stream](t)(s.LiveStreams(t.Context())); len(live) != 0 {
			t.Errorf("a disabled receiver hears by %+v", live)
		}
		must(t, s.DeleteStream(t.Context(), poll.ID))
		if err := s.DeleteStream(t.Context(), poll.ID); !fault.Is(err, fault.NotFound) {
			t.Errorf("again: %v", err)
		}
		must(t, s.DeleteReceiver(t.Context(), r.Key))
		count(t, s, 0, `SELECT count(*) FROM streams`)
	})
}

func TestAReceiverHasSoManyStreamsHoweverManyItMakesAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r))
		for _, err := range race(16, func(int) error {
			for {
				err := s.CreateStream(t.Context(), stream(r))
				if n, _ := s.Count(t.Context(), `SELECT count(*) FROM streams`); err == nil || n >= client.MaxStreams {
					return err
				}
			}
		}) {
			if err != nil && !fault.Is(err, fault.Conflict) {
				t.Errorf("got %v", err)
			}
		}
		count(t, s, client.MaxStreams, `SELECT count(*) FROM streams`)
	})
}

// delivery puts a row of work for a client that an event about a person brought.
func delivery(t *testing.T, s *store.Store, kind, client, person, what string) event.Event {
	t.Helper()
	e := event.New(noon, event.LinkMade, "system", person, "txn", event.Success)
	must(t, s.Record(t.Context(), e))
	must(t, s.Exec(t.Context(), fmt.Sprintf(`INSERT INTO work (id, event, kind, ref, not_before, not_after, tries, lease_until, lease_owner, dead_at, last_error_class)
		VALUES ('%s', '%s', '%s', '%s', %d, 0, 0, 0, '', 0, '')`, id(), e.ID, kind, client+" "+what, noon.Add(time.Hour).UnixMicro())))
	return e
}

func TestWhatWaitsForAStreamFollowsIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		r := ssf("identity")
		must(t, s.CreateReceiver(t.Context(), r))
		one, two := stream(r), stream(r)
		for _, v := range []*client.Stream{one, two} {
			must(t, s.CreateStream(t.Context(), v))
			delivery(t, s, store.PushKind, v.ID, "ada", "a")
			delivery(t, s, store.PushKind, v.ID, "ada", "b")
			must(t, s.NoteDelivery(t.Context(), v.ID, true, "", noon))
		}
		change := func(at time.Time, fn func(*client.Stream)) {
			t.Helper()
			ok[*client.Stream](t)(s.UpdateStream(t.Context(), one.ID, func(v *client.Stream) ([]event.Event, error) { fn(v); v.Updated = at; return nil, nil }))
		}
		change(noon.Add(time.Minute), func(v *client.Stream) { v.Status = client.StreamPaused })
		count(t, s, 4, `SELECT count(*) FROM work WHERE not_before = $1`, noon.Add(time.Hour).UnixMicro())
		ok[*client.Receiver](t)(s.UpdateReceiver(t.Context(), r.Key, func(r *client.Receiver) ([]event.Event, error) { r.Hosts = nil; return nil, nil }))
		change(noon.Add(2*time.Minute), func(v *client.Stream) { v.Status = client.StreamEnabled }) // though its host is none of the receiver's any more
		if _, err := s.UpdateStream(t.Context(), one.ID, func(v *client.Stream) ([]event.Event, error) { v.Endpoint += "x"; return nil, nil }); !fault.Is(err, fault.Invalid) {
			t.Errorf("another address at a host that was taken away: %v", err)
		}
		count(t, s, 2, `SELECT count(*) FROM work WHERE not_before = $1`, noon.Add(2*time.Minute).UnixMicro())
		change(noon.Add(3*time.Minute), func(v *client.Stream) { v.Delivery, v.Endpoint, v.Authorization = client.DeliverPoll, "", "" })
		count(t, s, 2, `SELECT count(*) FROM work WHERE kind = 'set-poll'`)
		change(noon.Add(4*time.Minute), func(v *client.Stream) { v.Status = client.StreamDisabled })
		count(t, s, 2, `SELECT count(*) FROM work`)
		count(t, s, 2, `SELECT count(*) FROM work WHERE kind = 'set' AND substr(ref, 1, 36) = $1`, two.ID)
		must(t, s.DeleteStream(t.Context(), two.ID))
		count(t, s, 0, `SELECT count(*) FROM work`)
		count(t, s, 1, `SELECT count(*) FROM deliveries`)
		delivery(t, s, store.PollKind, one.ID, "ada", "c")
		must(t, s.DeleteReceiver(t.Context(), r.Key))
		count(t, s, 0, `SELECT count(*) FROM work`)
		count(t, s, 0, `SELECT count(*) FROM deliveries`)
	})
}
