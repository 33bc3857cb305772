package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/reset"
)

// Flow is what the post needs of the reset flow: which code goes where, and a place to say what became of it.
type Flow interface {
	Prepare(ctx context.Context, challenge string) (*reset.Delivery, error)
	Delivered(ctx context.Context, d *reset.Delivery, class string) error
	NotMe(attempt string) string
}

// Registering is what the post needs of registering: which code confirms which address, and a place to say what became of
// it.
type Registering interface {
	Prepare(ctx context.Context, enrolment string) (*register.Delivery, error)
	Delivered(ctx context.Context, d *register.Delivery, class string) error
}

// Book is where the post looks up what happened and whom to tell.
type Book interface {
	Event(ctx context.Context, id string) (event.Event, error)
	Person(ctx context.Context, id string) (*account.Person, error)
	// Methods returns removed ones, too, for thirty days: an address that was taken away is still told.
	Methods(ctx context.Context, person string) ([]method.Method, error)
}

// MailSender hands a mail over.
type MailSender interface {
	Send(ctx context.Context, m Mail) error
}

// TextSender hands a text message over.
type TextSender interface {
	Send(ctx context.Context, s SMS) error
}

// Guard says whether a text message may leave: countries, number ranges and a daily budget, against fraud by premium
// numbers. why is a short word for operators.
type Guard interface {
	Allow(ctx context.Context, number string) (ok bool, why string, err error)
}

// Post turns rows of work into messages. Mail and Text may be nil: then nothing goes out that way. Its handlers are
// repeatable: a letter that is sent again carries the same id, a text message is claimed once.
type Post struct {
	Flow         Flow
	Register     Registering // nil: no address is confirmed here
	Book         Book
	Printer      *Printer
	Mail         MailSender
	Text         TextSender
	Guard        Guard // asked before a text message leaves; nil lets all through
	Organisation Organisation
	BaseURL      string // without a slash at the end
	SignIn       string // where people sign in next; "" when not known
	Language     string // for people whose own is not known; "" means the first of the catalogue
	Security     string // address told of disputes; "" for nobody
	Zone         *time.Location
	Now          func() time.Time
	Log          *slog.Logger
}

// letterKind is the kind of work that is one notice to one receiver.
const letterKind = "letter"

// Handlers returns the handler of each kind of work that sends something.
func (p *Post) Handlers() map[string]event.Handler {
	out := map[string]event.Handler{
		string(event.RouteCode):     p.code,
		string(event.RouteNotice):   p.notice,
		string(event.RouteSecurity): p.security,
		letterKind:                  p.letter,
	}
	if p.Register != nil {
		out[string(event.RouteConfirm)] = p.confirm
	}
	return out
}

// code delivers the code of one challenge.
func (p *Post) code(ctx context.Context, i event.Item) error {
	d, err := p.Flow.Prepare(ctx, i.Ref)
	if err != nil || d == nil {
		return err
	}
	e := Envelope{ID: "code-" + d.Challenge, Lang: d.Lang, To: d.To}
	c := Code{
		Purpose: Purpose(d.Action), Code: d.Code, Minutes: int(reset.CodeLife.Minutes()), Reference: d.Reference,
		Origin: Origin{When: d.Started.In(p.Zone), Browser: d.Agent, Network: wide(d.Network)}, NotMe: p.notMe(d.NotMe),
	}
	if d.Kind == method.Email {
		err = p.sendMail(ctx, CodeLetter(e, c))
	} else {
		err = p.sendText(ctx, CodeText(e, c))
	}
	switch class := KindOf(err); {
	case err == nil:
		return p.Flow.Delivered(ctx, d, "")
	case d.Kind == method.Email && class != Permanent && p.Now().Add(event.Backoff(i.Tries)).Before(i.NotAfter):
		p.Log.WarnContext(ctx, "code not handed over", "challenge", d.Challenge, "class", class.String(), "err", err)
		return event.Later{After: event.Backoff(i.Tries), Class: class.String()}
	default: // a text message costs money and may have arrived: the person presses resend
		if derr := p.Flow.Delivered(ctx, d, class.String()); derr != nil {
			return derr
		}
		return event.Dead{Class: class.String(), Err: err}
	}
}

// wide returns the network a message may name: never a whole address.
func wide(network string) string {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return ""
	}
	bits := 24
	if p.Addr().Is6() {
		bits = 48
	}
	if p, err = p.Addr().Prefix(min(bits, p.Bits())); err != nil {
		return ""
	}
	return p.String()
}

func (p *Post) notMe(ticket string) string { return p.BaseURL + "/not-me?t=" + ticket }

// receiver is one address a notice goes to.
type receiver struct {
	ref     string
	address string
	text    bool
}

// receivers returns every address of a person: the mailboxes they were provisioned with, their methods, and those
// removed in the last thirty days.
func (p *Post) receivers(ctx context.Context, person string, texts bool) ([]receiver, *account.Person, error) {
	who, err := p.Book.Person(ctx, person)
	if err != nil || who == nil {
		return nil, nil, err
	}
	methods, err := p.Book.Methods(ctx, person)
	if err != nil {
		return nil, nil, err
	}
	var out []receiver
	seen := map[string]bool{}
	add := func(address string, text bool) {
		key := account.Fold(address)
		if address == "" || seen[key] {
			return
		}
		seen[key] = true
		out = append(out, receiver{ref: refOf(person, address), address: address, text: text})
	}
	for _, a := range who.NoticeAddresses() {
		add(a, false)
	}
	for _, m := range methods {
		switch {
		case m.Status == method.Pending || m.Gone(p.Now().Add(-toldFor)) && p.Now().Sub(m.RemovedAt) > toldFor:
		case m.Kind == method.Email:
			add(m.Destination, false)
		case m.Kind == method.SMS && texts && p.Text != nil:
			add(m.Destination, true)
		}
	}
	return out, who, nil
}

// toldFor is how long an address that was taken away is still told.
const toldFor = 30 * 24 * time.Hour

// refOf names one address of a person in a row of work, without saying it.
func refOf(person, address string) string {
	h := sha256.Sum256([]byte(person + "\x00" + account.Fold(address)))
	return hex.EncodeToString(h[:12])
}

// others returns the receivers without the address that a person has just added themselves: it is where they read the code
// a moment ago, and all others are told. Where there is no other it is.
func (p *Post) others(ctx context.Context, e event.Event, to []receiver) ([]receiver, error) {
	if e.Type != event.MethodAdded || !strings.HasPrefix(e.Actor, "person:") {
		return to, nil
	}
	methods, err := p.Book.Methods(ctx, e.Subject)
	if err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(to), func(r receiver) bool {
		return slices.ContainsFunc(methods, func(m method.Method) bool {
			return m.ID == data(e, "method") && m.Destination != "" && refOf(e.Subject, m.Destination) == r.ref
		})
	})
	if len(rest) == 0 {
		return to, nil
	}
	return rest, nil
}

// texted says which notices also go to phones: those of what was done, not those that only explain.
func texted(t event.Type) bool {
	switch t {
	case event.PasswordReset, event.PasswordChanged, event.AccountUnlocked, event.WriteUnknown, event.AttemptDisputed:
		return true
	}
	return false
}

// notice expands an event into one letter per receiver.
func (p *Post) notice(ctx context.Context, i event.Item) error {
	e, err := p.Book.Event(ctx, i.Event)
	if err != nil {
		return gone(err)
	}
	to, _, err := p.receivers(ctx, e.Subject, texted(e.Type))
	if err != nil {
		return err
	}
	if to, err = p.others(ctx, e, to); err != nil {
		return err
	}
	if len(to) == 0 {
		return event.Dead{Class: "no-address"}
	}
	children := make(event.Expanded, len(to))
	for n, r := range to {
		children[n] = event.Child{Kind: letterKind, Ref: r.ref}
	}
	return children
}

func gone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// letter sends one notice to one receiver.
func (p *Post) letter(ctx context.Context, i event.Item) error {
	e, err := p.Book.Event(ctx, i.Event)
	if err != nil {
		return gone(err)
	}
	to, who, err := p.receivers(ctx, e.Subject, true)
	if err != nil {
		return err
	}
	for _, r := range to {
		if r.ref != i.Ref {
			continue
		}
		env := Envelope{ID: "notice-" + e.ID + "-" + r.ref, Lang: p.lang(who, data(e, "lang")), To: r.address}
		if r.text {
			if i.Tries > 0 { // it may have been sent before this process or another died
				return event.Dead{Class: "uncertain"}
			}
			t, ok := p.composeText(env, e)
			if !ok {
				return nil
			}
			return p.outcome(i, p.sendText(ctx, t), false)
		}
		l, ok := p.compose(env, e)
		if !ok {
			return event.Dead{Class: "no-letter"}
		}
		return p.outcome(i, p.sendMail(ctx, l), true)
	}
	return nil // the address is gone for good
}

func (p *Post) outcome(i event.Item, err error, again bool) error {
	switch class := KindOf(err); {
	case err == nil:
		return nil
	case again && class != Permanent:
		return event.Later{After: event.Backoff(i.Tries), Class: class.String()}
	default:
		return event.Dead{Class: class.String(), Err: err}
	}
}

// lang is the person's own language, else that of the pages they just went through, else the operator's.
func (p *Post) lang(who *account.Person, tried string) string {
	return p.langOf(who.Language, tried)
}

// langOf is the first of the languages that is known, else the operator's.
func (p *Post) langOf(tags ...string) string {
	for _, tag := range tags {
		if tag != "" {
			return p.Printer.catalogue.Match(tag)
		}
	}
	return p.Printer.catalogue.Match(p.Language)
}

func (p *Post) sendMail(ctx context.Context, l Letter) error {
	if p.Mail == nil {
		return permanent("no mail server is configured")
	}
	m, err := p.Printer.Mail(p.Organisation, l)
	if err != nil {
		return err
	}
	return discreet(p.Mail.Send(ctx, m))
}

func (p *Post) sendText(ctx context.Context, t Text) error {
	if p.Text == nil {
		return permanent("no text message provider is configured")
	}
	if p.Guard != nil {
		ok, why, err := p.Guard.Allow(ctx, t.To)
		if err != nil {
			return &Error{Temporary, err}
		}
		if !ok {
			return permanent("text message held back: %s", why)
		}
	}
	s, err := p.Printer.Text(p.Organisation, t)
	if err != nil {
		return err
	}
	return discreet(p.Text.Send(ctx, s))
}

// addresses are mail addresses and telephone numbers, as servers like to quote them when they refuse.
var addresses = regexp.MustCompile(`"[^"]*"@[^\s<>"'(),;:]+|[^\s<>"'(),;:]+@[^\s<>"'(),;:]+|\+?[0-9][0-9 ()/-]{6,}[0-9]`)

// discreet returns a failed delivery without the addresses its text may quote: what a log says of it names nobody. Its
// kind stays.
func discreet(err error) error {
	if err == nil {
		return nil
	}
	kind, cause := KindOf(err), err
	if e, ok := errors.AsType[*Error](err); ok {
		cause = e.Cause
	}
	return &Error{kind, errors.New(addresses.ReplaceAllString(cause.Error(), "[address]"))}
}

func data(e event.Event, name string) string {
	s, _ := e.Data[name].(string)
	return s
}

func (p *Post) origin(e event.Event) Origin {
	return Origin{When: e.At.In(p.Zone), Browser: e.Private["agent"], Network: wide(e.Private["network"])}
}

func (p *Post) done(e event.Event) Done {
	return Done{Purpose: Purpose(data(e, "action")), Handed: strings.HasPrefix(e.Actor, "connector:"), Origin: p.origin(e), Reference: data(e, "reference"), SignIn: p.SignIn, NotMe: p.notMe(p.Flow.NotMe(e.Txn))}
}

func (p *Post) dispute(e event.Event) Dispute {
	return Dispute{Purpose: Purpose(data(e, "action")), Done: true, Origin: p.origin(e), Reference: data(e, "reference"), Again: p.BaseURL + "/reset"}
}

// compose says what a notice of an event holds.
func (p *Post) compose(env Envelope, e event.Event) (Letter, bool) {
	switch e.Type {
	case event.PasswordReset, event.PasswordChanged, event.AccountUnlocked:
		return DoneLetter(env, p.done(e)), true
	case event.WriteUnknown:
		return UnknownLetter(env, p.done(e)), true
	case event.AttemptDisputed:
		return DisputeLetter(env, p.dispute(e)), true
	case event.AttemptFlooded:
		return FloodLetter(env, p.origin(e), data(e, "reference")), true
	case event.AttemptCannot:
		return CannotLetter(env, p.cannot(e)), true
	case event.MethodAdded:
		return MethodLetter(env, p.method(e, MethodAdded)), true
	case event.MethodRemoved:
		return MethodLetter(env, p.method(e, MethodRemoved)), true
	case event.MethodSpent:
		return MethodLetter(env, p.method(e, MethodDisabled)), true
	case event.MethodLeaving:
		return MethodLetter(env, p.method(e, MethodLeaving)), true
	case event.MethodKept:
		return MethodLetter(env, p.method(e, MethodKept)), true
	case event.BrowserTrusted:
		return BrowserLetter(env, p.origin(e)), true
	}
	return Letter{}, false
}

func (p *Post) composeText(env Envelope, e event.Event) (Text, bool) {
	switch e.Type {
	case event.PasswordReset, event.PasswordChanged, event.AccountUnlocked:
		return DoneText(env, p.done(e)), true
	case event.WriteUnknown:
		return UnknownText(env, p.done(e)), true
	case event.AttemptDisputed:
		return DisputeText(env, p.dispute(e)), true
	}
	return Text{}, false
}

func (p *Post) cannot(e event.Event) Cannot {
	c := Cannot{Kind: data(e, "kind"), Origin: p.origin(e), Reference: data(e, "reference")}
	switch why := data(e, "why"); why {
	case "held":
		c.Reason, c.Until = HeldUntil, p.until(e)
	case "kind":
		c.Reason = KindNotAvailable
	default:
		c.Reason = Reason(why)
	}
	return c
}

func (p *Post) method(e event.Event, c MethodChange) Method {
	return Method{Change: c, Kind: data(e, "kind"), Masked: e.Private["to"], Until: p.until(e), Origin: p.origin(e)}
}

// until returns the time an event says that something lasts, in the zone people live in; zero when it says none.
func (p *Post) until(e event.Event) time.Time {
	t, err := time.Parse(time.RFC3339, data(e, "until"))
	if err != nil {
		return time.Time{}
	}
	return t.In(p.Zone)
}

// Check reports what is missing for the post to work at all.
func (p *Post) Check() error {
	var missing []string
	for name, ok := range map[string]bool{"flow": p.Flow != nil, "book": p.Book != nil, "printer": p.Printer != nil, "zone": p.Zone != nil, "now": p.Now != nil, "log": p.Log != nil} {
		if !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("notify: %s missing", strings.Join(missing, ", "))
	}
	return nil
}
