package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// box keeps mails and text messages, or refuses them.
type box struct {
	mails []Mail
	texts []SMS
	err   error
}

type texts struct{ *box }

func (b *box) Send(_ context.Context, m Mail) error {
	if b.err == nil {
		b.mails = append(b.mails, m)
	}
	return b.err
}

func (b texts) Send(_ context.Context, s SMS) error {
	if b.err == nil {
		b.texts = append(b.texts, s)
	}
	return b.err
}

// desk is the post on a real store, with somebody signed in who registers.
type desk struct {
	t     *testing.T
	s     *store.Store
	reg   *register.Service
	post  *Post
	box   *box
	p     *account.Person
	sess  *session.Session
	clock time.Time
}

func newDesk(t *testing.T, kind store.Kind) *desk {
	t.Helper()
	d := &desk{t: t, box: &box{}, clock: when.UTC()}
	now, ring := func() time.Time { return d.clock }, keyring.Generate()
	d.s = storetest.Open(t, kind, func(c *store.Config) { c.Ring, c.Now = ring, now })
	if _, err := d.s.EnsurePolicy(t.Context(), "test", d.clock); err != nil {
		t.Fatal(err)
	}
	var err error
	d.reg, err = register.New(register.Config{Store: d.s, Limits: d.s, Keys: ring, Policies: d.s, Kinds: func() []method.Kind { return method.Kinds }, Organisation: "Contoso",
		Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	catalogue, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	printer, err := NewPrinter(catalogue.With("Organisation", "Contoso"))
	if err != nil {
		t.Fatal(err)
	}
	d.post = &Post{Register: d.reg, Book: d.s, Printer: printer, Mail: d.box, Text: texts{d.box}, Organisation: contoso, BaseURL: "https://reset.contoso.example",
		Zone: time.UTC, Now: now, Log: slog.New(slog.DiscardHandler)}
	d.p = &account.Person{UserName: "ada@contoso.example", DisplayName: "Ada Lovelace", Active: true, Language: "de",
		Emails: []account.Contact{{Value: "ada@contoso.example", Primary: true}}, Created: d.clock, Updated: d.clock}
	if err := d.s.CreatePerson(t.Context(), d.p, nil); err != nil {
		t.Fatal(err)
	}
	b := &session.Binding{IDP: "work", Key: "ada", Person: d.p.ID, Issuer: "https://op.example", Subject: "ada", Made: d.clock}
	d.sess, err = d.s.Arrive(t.Context(), d.p.ID, b, "", func(*account.Person) (*session.Session, []event.Event, error) {
		return &session.Session{ID: uuid.Must(uuid.NewV7()).String(), Hash: []byte("0123456789abcdef0123456789abcdef"), IDP: "work", Issuer: "https://op.example", Subject: "ada",
			AuthTime: d.clock, StepUp: d.clock, Started: d.clock, Seen: d.clock, Expires: d.clock.Add(session.Life)}, nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var asker = reset.Origin{Addr: netip.MustParseAddr("203.0.113.77"), Agent: "Firefox, Windows", Lang: "en"}

func (d *desk) begin(kind method.Kind, to string) *register.Enrolment {
	d.t.Helper()
	e, err := d.reg.Begin(d.t.Context(), d.sess, asker, kind, register.Input{Destination: to})
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

// item is the work that the newest event of a type brought along.
func (d *desk) item(t event.Type, route event.Route) event.Item {
	d.t.Helper()
	all, err := d.s.EventsOf(d.t.Context(), d.p.ID, "", 100)
	if err != nil {
		d.t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(e event.Event) bool { return e.Type == t })
	if i < 0 {
		d.t.Fatalf("no %s happened", t)
	}
	due, err := d.s.Claim(d.t.Context(), d.clock, "test", []string{string(route)}, 50, time.Minute)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, item := range due {
		if item.Event == all[i].ID {
			return event.Item{ID: item.ID, Event: item.Event, Kind: item.Kind, Ref: item.Ref, NotAfter: item.NotAfter}
		}
	}
	d.t.Fatalf("%s brought no %s", t, route)
	return event.Item{}
}

func (d *desk) state(e *register.Enrolment) reset.SendState {
	d.t.Helper()
	now, err := d.s.Enrolment(d.t.Context(), e.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	return now.Send
}

func TestACodeThatConfirmsAnAddressSaysWhoAskedAndHoldsNoLink(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			d := newDesk(t, kind)
			e := d.begin(method.Email, "somebody@mail.example")
			item := d.item(event.MethodConfirmAsked, event.RouteConfirm)
			if item.Ref != e.ID {
				t.Fatalf("the work is about %s, not %s", item.Ref, e.ID)
			}
			for range 2 { // a second run sends nothing
				if err := d.post.Handlers()[string(event.RouteConfirm)](t.Context(), item); err != nil {
					t.Fatal(err)
				}
			}
			if len(d.box.mails) != 1 {
				t.Fatalf("%d mails", len(d.box.mails))
			}
			m := d.box.mails[0]
			flat := strings.Join(strings.Fields(m.Text), " ")
			for _, want := range []string{"Ada Lovelace möchte diese Adresse nutzen", "203.0.113.0/24", "Firefox, Windows", "Er gilt 10 Minuten"} {
				if !strings.Contains(flat, want) {
					t.Errorf("not said: %q\n%s", want, m.Text)
				}
			}
			if m.To != "somebody@mail.example" || strings.Contains(m.Text, "203.0.113.77") || strings.Contains(m.Text+m.HTML, "reset.contoso.example/") {
				t.Errorf("to %s:\n%s", m.To, m.Text)
			}
			if d.state(e) != reset.Sent {
				t.Errorf("state %s", d.state(e))
			}
			code := ""
			for f := range strings.FieldsSeq(m.Text) {
				if len(f) == register.CodeDigits && strings.Trim(f, "0123456789") == "" {
					code = f
				}
			}
			if _, err := d.reg.Confirm(t.Context(), d.sess, asker, e.ID, code); err != nil {
				t.Errorf("the code of the letter, %q: %v", code, err)
			}
		})
	}
}

func TestANumberIsConfirmedByOneTextMessageAndNotTwo(t *testing.T) {
	d := newDesk(t, store.SQLite)
	e := d.begin(method.SMS, "+4915112345678")
	item := d.item(event.MethodConfirmAsked, event.RouteConfirm)
	d.box.err = &Error{Uncertain, errors.New("no answer")}
	err := d.post.confirm(t.Context(), item)
	if dead, ok := errors.AsType[event.Dead](err); !ok || dead.Class != "uncertain" || d.state(e) != reset.Sent {
		t.Errorf("it may have arrived: %v, state %s", err, d.state(e))
	}
	d.box.err = nil
	if err := d.post.confirm(t.Context(), item); err != nil || len(d.box.texts) != 0 {
		t.Errorf("sent again: %v", err)
	}
	d.clock = d.clock.Add(2 * time.Minute)
	if err := d.reg.Again(t.Context(), d.sess, asker, e.ID); err != nil {
		t.Fatal(err)
	}
	if err := d.post.confirm(t.Context(), d.item(event.MethodConfirmAsked, event.RouteConfirm)); err != nil || len(d.box.texts) != 1 {
		t.Fatalf("asked again: %v", err)
	}
	if x := d.box.texts[0]; x.To != "+4915112345678" || !strings.Contains(x.Text, "Ada Lovelace") || !strings.Contains(x.Text, "@reset.contoso.example #") {
		t.Errorf("got %+v", x)
	}
}

func TestAMailThatIsRefusedForGoodConfirmsNothing(t *testing.T) {
	d := newDesk(t, store.SQLite)
	e := d.begin(method.Email, "nobody@mail.example")
	item := d.item(event.MethodConfirmAsked, event.RouteConfirm)
	d.box.err = &Error{Temporary, errors.New("busy")}
	if _, ok := errors.AsType[event.Later](d.post.confirm(t.Context(), item)); !ok || d.state(e) != reset.Sending {
		t.Errorf("a busy server: state %s", d.state(e))
	}
	d.box.err = &Error{Permanent, errors.New("550 <nobody@mail.example>")}
	if dead, ok := errors.AsType[event.Dead](d.post.confirm(t.Context(), item)); !ok || strings.Contains(dead.Err.Error(), "nobody@") || d.state(e) != reset.SendLost {
		t.Errorf("refused: state %s", d.state(e))
	}
}

// toldOf returns who is told of the newest event of a type, and what they read.
func (d *desk) toldOf(t event.Type) (to []string, text string) {
	d.t.Helper()
	d.box.mails, d.box.texts = nil, nil
	item := d.item(t, event.RouteNotice)
	children, ok := errors.AsType[event.Expanded](d.post.notice(d.t.Context(), item))
	if !ok {
		d.t.Fatalf("%s was not expanded", t)
	}
	for _, c := range children {
		if err := d.post.letter(d.t.Context(), event.Item{Event: item.Event, Kind: c.Kind, Ref: c.Ref}); err != nil {
			d.t.Fatal(err)
		}
	}
	for _, m := range d.box.mails {
		to, text = append(to, m.To), m.Subject+"\n"+m.Text
	}
	slices.Sort(to)
	return to, strings.Join(strings.Fields(text), " ")
}

func TestEveryChangeIsToldToAllOtherAddresses(t *testing.T) {
	d := newDesk(t, store.SQLite)
	e := d.begin(method.Email, "ada@mail.example")
	if err := d.post.confirm(t.Context(), d.item(event.MethodConfirmAsked, event.RouteConfirm)); err != nil {
		t.Fatal(err)
	}
	delivery := d.box.mails[0]
	var code string
	for f := range strings.FieldsSeq(delivery.Text) {
		if len(f) == register.CodeDigits && strings.Trim(f, "0123456789") == "" {
			code = f
		}
	}
	own, err := d.reg.Confirm(t.Context(), d.sess, asker, e.ID, code)
	if err != nil {
		t.Fatal(err)
	}
	if to, text := d.toldOf(event.MethodAdded); !slices.Equal(to, []string{"ada@contoso.example"}) || !strings.Contains(text, "a•••@m•••.example") || !strings.Contains(text, "Er lässt sich ab") {
		t.Errorf("added: told %v:\n%s", to, text)
	}
	both := []string{"ada@contoso.example", "ada@mail.example"}
	held := d.clock.Add(20 * time.Hour)
	if _, err := d.s.UpdatePerson(t.Context(), d.p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		p.HoldUntil = held
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.Remove(t.Context(), d.sess, asker, own.ID); err != nil {
		t.Fatal(err)
	}
	if to, text := d.toldOf(event.MethodLeaving); !slices.Equal(to, both) || !strings.Contains(text, "wird entfernt") || !strings.Contains(text, "203.0.113.0/24") || !strings.Contains(text, held.Format("15:04")) {
		t.Errorf("leaving: told %v:\n%s", to, text)
	}
	if err := d.reg.Keep(t.Context(), d.sess, asker, own.ID); err != nil {
		t.Fatal(err)
	}
	if to, _ := d.toldOf(event.MethodKept); !slices.Equal(to, both) {
		t.Errorf("kept: told %v", to)
	}
	if _, err := d.s.UpdatePerson(t.Context(), d.p.ID, "", func(p *account.Person, _ *[]method.Method) ([]event.Event, error) {
		p.HoldUntil = time.Time{}
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.reg.Remove(t.Context(), d.sess, asker, own.ID); err != nil {
		t.Fatal(err)
	}
	if to, _ := d.toldOf(event.MethodRemoved); !slices.Equal(to, both) {
		t.Errorf("removed: told %v, and the address that was taken away must be, too", to)
	}
	d.clock = d.clock.Add(31 * 24 * time.Hour)
	if to, _, err := d.post.receivers(t.Context(), d.p.ID, true); err != nil || len(to) != 1 {
		t.Errorf("a month later: %+v, %v", to, err)
	}
}
