package portal

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/fault"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/web"
)

// Sent is the tie between a browser and an app that sent it here and waits for an answer; handoff.Service is one.
type Sent interface {
	// Of returns the handoff that a browser holds; nil when no app waits for it.
	Of(r *web.Request) (*client.Handoff, error)
	// Bind says that the handoff is about a try which began just now, in place of any earlier one.
	Bind(r *web.Request, attempt string) error
	// Falter notes that something needed was not answering, so that the app is told that when nothing comes of it.
	Falter(r *web.Request) error
	// Forget ends the tie of a browser.
	Forget() web.Cookie
}

// sent returns the handoff of a browser; nil when the person came by themselves.
func (p *Pages) sent(r *web.Request) (*client.Handoff, error) {
	if p.Sent == nil {
		return nil, nil
	}
	return p.Sent.Of(r)
}

// registering reports whether an app sent the person to set up ways.
func (p *Pages) registering(r *web.Request) (bool, error) {
	h, err := p.sent(r)
	return h != nil && h.Action == client.ActionRegister, err
}

// bind ties a try that began to the app that asked for one. A try at something else is the person's own affair: the app
// would be told that what it asked for was done.
func (p *Pages) bind(r *web.Request, a *reset.Attempt) error {
	h, err := p.sent(r)
	if err != nil || h == nil || h.Action != client.Action(a.Action) {
		return err
	}
	if err := p.Sent.Bind(r, a.ID); !fault.Is(err, fault.Over) { // it ended meanwhile: the try goes on without it
		return err
	}
	return nil
}

// untie ends the tie to an app, because a plain link with another one came later.
func (p *Pages) untie() []web.Cookie {
	if p.Sent == nil {
		return nil
	}
	return []web.Cookie{p.Sent.Forget()}
}

// Begin leads to the first page of what an app asks for. The login name it gave goes the way of every hint, into the first
// field; its language counts unless the person chose one here; where a plain link would have led back is forgotten.
func (p *Pages) Begin(r *web.Request, h *client.Handoff) web.Page {
	page := web.Page{Goto: PathSetup, Cookies: []web.Cookie{hintCookie(h.Hint), {Name: cookieBack, MaxAge: -1}}}
	switch h.Action {
	case client.ActionReset, client.ActionUnlock, client.ActionChange:
		page.Goto = PathOf(policy.Action(h.Action))
	}
	if h.Lang != "" && r.Cookie("lang") == "" {
		page.Cookies = append(page.Cookies, web.Cookie{Name: "lang", Value: h.Lang, MaxAge: tryAge})
	}
	return page
}

// hintCookie keeps a login name for the first field, for ten minutes. What nobody could have typed there, and "", forgets
// an earlier one.
func hintCookie(hint string) web.Cookie {
	if hint == "" || len(hint) > MaxLogin || !utf8.ValidString(hint) || strings.ContainsFunc(hint, unicode.IsControl) {
		return web.Cookie{Name: cookieHint, MaxAge: -1}
	}
	return web.Cookie{Name: cookieHint, Value: encodeHint(hint), MaxAge: 10 * time.Minute}
}

// held returns the try a handoff is about, when this browser holds it; nil otherwise.
func (p *Pages) held(r *web.Request, h *client.Handoff) (*reset.Attempt, error) {
	hash := p.Hash(r.Cookie(cookieTry))
	if hash == nil || h.Attempt == "" {
		return nil, nil
	}
	a, err := p.Flow.Load(r.Context(), hash)
	switch {
	case fault.Is(err, fault.Over):
		return nil, nil
	case err != nil:
		return nil, err
	case a.ID != h.Attempt || client.Action(a.Action) != h.Action:
		return nil, nil
	}
	return a, nil
}

// Outcome says what became of what an app asked for. Before the first proof it depends on nothing about the account: a try
// that is under way is one, whoever's it is.
//
// A person's epoch that moved since the write is somebody who said that it was not them, or who did it again elsewhere: the
// app hears nothing of this try then, as nothing else that hung on it lives on.
func (p *Pages) Outcome(r *web.Request, h *client.Handoff) (client.Outcome, error) {
	if h.Action == client.ActionRegister {
		return p.registered(r, h)
	}
	a, err := p.held(r, h)
	if err != nil {
		return client.Outcome{}, err
	}
	if a == nil {
		return client.Outcome{Over: h.Attempt != ""}, nil
	}
	o := outcome(a, p.Now())
	o.Down = o.Status == "" && h.Why == client.WhyDown
	return o, nil
}

// falter notes for the app that waits that something was not answering; err is returned as it is.
func (p *Pages) falter(r *web.Request, err error) error {
	if p.Sent == nil || !fault.Is(err, fault.Unavailable) {
		return err
	}
	if ferr := p.Sent.Falter(r); ferr != nil {
		return errors.Join(err, ferr)
	}
	return err
}

// outcome is what a try that is the handoff's says.
func outcome(a *reset.Attempt, now time.Time) client.Outcome {
	o := client.Outcome{Person: a.Person, Epoch: a.Epoch, At: a.Ended, Txn: a.ID}
	switch a.State {
	case reset.Done:
		o.Status, o.Over = client.StatusDone, true
	case reset.Writing, reset.Unknown:
		o.Status, o.At = client.StatusUnknown, now
	case reset.Unresolved:
		o.Status, o.Over = client.StatusUnknown, true
	default:
		return client.Outcome{Over: a.Alive(now) != nil}
	}
	if a.LiveEpoch != a.Epoch || !a.LiveActive {
		return client.Outcome{Over: true}
	}
	for _, proof := range a.Proofs {
		o.Proofs = append(o.Proofs, string(proof.Class))
	}
	return o
}

// registered says what whoever is signed in here set up since the app asked for it: ways they confirmed themselves, by
// which they show who they are, and which are still there. It ties to the events of the session in which the last was
// added. More may follow.
func (p *Pages) registered(r *web.Request, h *client.Handoff) (client.Outcome, error) {
	if p.Door == nil {
		return client.Outcome{Over: true}, nil
	}
	s, err := p.Door.Session(r)
	if err != nil || s == nil {
		return client.Outcome{}, err
	}
	ways, err := p.Reads.Methods(r.Context(), s.Person)
	if err != nil {
		return client.Outcome{}, err
	}
	o := client.Outcome{Person: s.Person, Epoch: s.Epoch}
	for i := range ways {
		m := &ways[i]
		if m.Root.Kind != method.BySession || m.Status != method.Active || m.Gone(p.Now()) || m.Created.Before(h.Created) {
			continue
		}
		if class := string(m.Kind.Class()); !slices.Contains(o.Proofs, class) {
			o.Proofs = append(o.Proofs, class)
		}
		o.Status, o.At, o.Txn = client.StatusDone, m.Created, m.Root.ID
	}
	if o.Status == "" {
		return client.Outcome{}, nil
	}
	return o, nil
}

// Stop ends the try a handoff is about, because the person goes back to the app. One that has ended, or whose write is on
// its way, stays as it is: Outcome tells what became of it.
func (p *Pages) Stop(r *web.Request, h *client.Handoff) error {
	a, err := p.held(r, h)
	if err != nil || a == nil {
		return err
	}
	if _, err = p.Flow.Cancel(r.Context(), a); fault.Is(err, fault.Over) {
		return nil
	}
	return err
}
