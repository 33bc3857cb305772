package console

import (
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/staff"
	"github.com/regain-id/regain/internal/web"
)

// view is what every view model is.
type view interface{ Page() web.Page }

const hostile = `"><script>alert(1)</script>{{.}}&amp;'` + "\u202e"

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func sampleWays() []Way {
	names := map[string]string{"c1": "hr"}
	in := func(h time.Duration) time.Time { return noon.Add(h * time.Hour) }
	kept := []reset.Kept{
		{Kind: method.Passkey, Label: "Work laptop", Root: method.Root{Kind: method.ByPerson}, Added: in(-900), Used: in(-20)},
		{Kind: method.Email, Masked: "a•••@h•••.example", Primary: true, Root: method.Root{Kind: method.ByConnector, ID: "c1"}, Added: in(-900)},
		{Kind: method.SMS, Masked: "•• 42", Root: method.Root{Kind: method.BySession}, Added: in(-1), Rests: in(23), Matures: in(23), Why: "resting"},
		{Kind: method.TOTP, Label: "Pixel 9", Root: method.Root{Kind: method.ByPass}, Added: in(-40), Leaves: in(9)},
	}
	roots := []method.RootKind{method.ByConnector, method.ByDirectory, method.ByImport, method.ByIDP}
	kinds := []method.Kind{method.RecoveryCode, method.Voice, method.External, method.IDP, method.Pass, method.Question, method.Vouch, method.HOTP}
	for i, why := range []string{"disabled", "pending", "elsewhere", "off", "kind", "untrusted", "corporate", "disputed"} {
		kept = append(kept, reset.Kept{Kind: kinds[i], Root: method.Root{Kind: roots[i%4], ID: "gone"}, Added: in(-50), Why: why})
	}
	var out []Way
	for _, k := range kept {
		out = append(out, wayOf(k, names))
	}
	return out
}

// entries is one event of every type, with everything an event may tell.
func entries() []Entry {
	var out []Entry
	outcomes := []event.Outcome{event.Success, event.Failure, event.Unknown}
	actors := []string{"person:ada", "person:grace", "person:gone", "connector:c1", "connector:gone", "app:hr-portal", "receiver:r1", "cli:root", "system", "stranger", "person"}
	for i, typ := range slices.Sorted(maps.Keys(event.Catalogue)) {
		e := event.New(noon.Add(-time.Duration(i)*time.Minute), typ, "", "ada", "try", outcomes[i%3])
		e.Data = map[string]any{"kind": "email", "why": append(whyKnown, "smtp_550")[i%(len(whyKnown)+1)], "tries": float64(i % 5), "rule": "everyone", "directory": "main",
			"idp": "corp", "until": "2026-11-23T12:00:00Z", "kinds": []any{"sms", "totp"}, "attributes": []any{"displayName"}, "violations": []any{"in_history"}, "claims": []any{"sub", "groups"}}
		e.Private = map[string]string{"to": "a•••@h•••.example", "network": "192.0.2.1", "agent": "Firefox, Windows"}
		n := entryOf(e, "ada", map[string]string{"grace": "Grace Hopper"}, map[string]string{"c1": "hr"})
		n.Who = whoWords(actors[i%len(actors)], "ada", map[string]string{"grace": "Grace Hopper"}, map[string]string{"c1": "hr"})
		out = append(out, n)
	}
	for _, why := range whyNobody {
		e := event.New(noon.Add(-time.Hour), event.IdentityRefused, "stranger", "", "", event.Failure)
		e.Data = map[string]any{"why": why}
		out = append(out, entryOf(e, "", nil, nil))
	}
	for i := range whyKnown { // each once, whatever the types above took
		e := event.New(noon.Add(-time.Hour), event.CodeUnsent, "system", "ada", "", event.Failure)
		e.Data = map[string]any{"why": whyKnown[i]}
		out = append(out, entryOf(e, "ada", nil, nil))
	}
	return out
}

func few() []Entry {
	who := message.Key("console.who.person")
	return []Entry{
		{At: noon, Text: message.Key("console.event.password.reset"), Who: who, Details: []message.Message{message.Key("console.detail.directory", "Directory", "main")}, Tone: "ok", Result: message.Key("console.outcome.success"), Reference: "KTRW-49MP"},
		{At: noon.Add(-time.Minute), Text: message.Key("console.event.proof.refused"), Who: message.Key("console.who.stranger"), Details: []message.Message{kindWords(method.SMS)}, Tone: "bad", Result: message.Key("console.outcome.failure"), Reference: "KTRW-49MP"},
		{At: noon.Add(-2 * time.Minute), Text: message.Key("console.event.person.viewed"), Who: message.Key("console.who.staff", "Name", "Grace Hopper")},
	}
}

// samples is every state of every page.
func samples() map[string]view {
	two := []method.Kind{method.Email, method.SMS}
	ready := &reset.Readiness{Registered: true, Enabled: true, Capable: true, Together: 2, Decision: policy.Decision{Rule: "everyone", Proofs: 2, Kinds: two}}
	person := PersonPage{Name: "Ada Lovelace", Login: "ada@contoso.example", Active: true, Source: "hr", Since: noon, Ready: ready, Ways: sampleWays()[:2], Sessions: 2, Story: few(),
		Groups: []GroupOf{{Name: "Sales"}, {Name: "Everyone", Indirect: true}, {Name: "Guests", Stricter: true}}}
	full := person
	full.Ways, full.More, full.HoldUntil = sampleWays(), true, noon.Add(9*time.Hour)
	full.Dispute = &Dispute{At: noon, Since: noon.Add(-time.Hour), Reference: "KTRW-49MP"}
	full.Alerts = []Alert{{Person: "0193-a", IDP: "corp", Kind: account.Compromised, Since: noon, Until: noon.Add(account.AlertLife)}, {Person: "0193-a", IDP: "corp", Kind: account.Disabled, Since: noon, Confirmed: noon}}
	bare := PersonPage{Name: "Bob", Login: "bob", Since: noon, Ready: &reset.Readiness{Why: "not_in_scope", Decision: policy.Decision{Protected: true}}, Dispute: &Dispute{At: noon, Since: noon}}
	network := person
	network.Ready = &reset.Readiness{Registered: true, Enabled: true, Capable: true, Network: true, Together: 2, Decision: ready.Decision}
	attempt := AttemptPage{Reference: "KTRW-49MP", What: actionWords(policy.Reset), State: stateWords(reset.Done), Tone: stateTone(reset.Done), Resolved: true, Network: "192.0.2.1",
		Agent: "Firefox, Windows", Started: noon, Ended: noon.Add(time.Minute), Person: &FoundPerson{ID: "0193-a", Name: "Ada Lovelace", Login: "ada", Active: true}, Story: few()}
	admin := attempt
	admin.Administrator, admin.Typed = true, "ada@contoso.example"
	gone := attempt
	gone.Administrator, gone.Story, gone.More = true, entries(), true
	nobody := AttemptPage{Reference: "KTRW-49MP", What: actionWords(policy.Unlock), State: stateWords(reset.Started), Started: noon, Expires: noon.Add(time.Minute), Running: true}
	stranger := nobody
	stranger.Resolved, stranger.Running, stranger.What = true, false, actionWords(policy.Change)
	choices := []staff.Choice{{Key: "a1", Source: staff.FromClaim, Claim: "groups", Value: "it-admins"}, {Key: "a2", Source: staff.FromGroup, Value: "Desk East"}}
	wrong := []web.Problem{{Field: "choice", Say: message.Key("staff.invite.choose")}}
	all := map[string]view{
		"search":         SearchPage{},
		"search-short":   SearchPage{Text: "a", Problems: []web.Problem{{Field: "q", Say: message.Key("console.search.short")}}},
		"search-nothing": SearchPage{Text: "nobody", Searched: true},
		"search-found": SearchPage{Text: "ada", Searched: true, More: true, Try: &FoundTry{Reference: "KTRW-49MP", What: actionWords(policy.Reset), State: stateWords(reset.Proving), Started: noon},
			People: []FoundPerson{{ID: "0193-a", Name: "Ada Lovelace", Login: "ada@contoso.example", Active: true}, {ID: "0193-b", Name: "Adam Smith", Login: "adam@contoso.example"}}},
		"person": person, "person-full": full, "person-bare": bare, "person-network": network,
		"attempt": attempt, "attempt-admin": admin, "attempt-full": gone, "attempt-nobody": stranger, "attempt-running": nobody,
		"refused": RefusedPage{Claims: []string{"aud", "exp", "groups", "iss", "sub"}}, "refused-bare": RefusedPage{},
		"invite": InvitePage{Role: staff.Administrator}, "invite-helpdesk": InvitePage{Role: staff.Helpdesk}, "invite-again": InvitePage{Role: staff.Administrator, Again: true},
		"invite-choose": InviteChoosePage{Role: staff.Administrator, Choices: choices, Claims: []string{"groups", "sub"}}, "invite-helpdesk-choose": InviteChoosePage{Role: staff.Helpdesk, Choices: choices[:1]},
		"invite-wrong": InviteChoosePage{Role: staff.Administrator, Choices: choices, Problems: wrong}, "invite-nothing": InviteChoosePage{Role: staff.Administrator, Claims: []string{"sub"}},
		"invite-done": InviteDonePage{Rule: staff.Rule{Role: staff.Administrator, Value: "it-admins"}}, "invite-helpdesk-done": InviteDonePage{Rule: staff.Rule{Role: staff.Helpdesk, Value: "Desk East"}},
		"invite-over":     InviteOverPage{},
		"hostile-search":  SearchPage{Text: hostile, Searched: true, People: []FoundPerson{{ID: hostile, Name: hostile, Login: hostile}}},
		"hostile-nothing": SearchPage{Text: hostile, Searched: true},
		"hostile-person": PersonPage{Name: hostile, Login: hostile, Source: hostile, Since: noon, Ready: &reset.Readiness{Decision: policy.Decision{Rule: hostile}}, Groups: []GroupOf{{Name: hostile}}, Alerts: []Alert{{Person: hostile, IDP: hostile, Kind: hostile}},
			Ways: []Way{{Kind: method.TOTP, Label: hostile, Masked: hostile, Source: message.Key("console.root.connector", "Name", hostile)}}, Story: []Entry{{At: noon, Text: message.Key("console.event.code.sent"), Who: message.Key("console.who.staff", "Name", hostile), Reference: hostile}}},
		"hostile-attempt": AttemptPage{Reference: hostile, What: actionWords(policy.Reset), State: stateWords(reset.Done), Typed: hostile, Network: hostile, Agent: hostile, Started: noon, Expires: noon, Person: &FoundPerson{ID: hostile, Name: hostile}},
		"hostile-claims":  RefusedPage{Claims: []string{hostile}},
		"hostile-choose":  InviteChoosePage{Choices: []staff.Choice{{Key: hostile, Source: staff.FromClaim, Claim: hostile, Value: hostile}}},
	}
	for _, why := range []string{"inactive", "action", "protected", "alerted", "never_registered", "resting", "too_few"} {
		p := person
		p.Ready = &reset.Readiness{Why: why, From: noon.Add(time.Hour), Together: 1, Registered: why != "never_registered", Enabled: why != "action", Decision: ready.Decision}
		all["person-"+why] = p
	}
	for _, s := range []reset.State{reset.Started, reset.Proving, reset.Proved, reset.Writing, reset.Unknown, reset.Unresolved, reset.Expired, reset.Cancelled, reset.Blocked} {
		a := attempt
		a.State, a.Tone = stateWords(s), stateTone(s)
		all["attempt-state-"+string(s)] = a
	}
	maps.Copy(all, clientSamples())
	return all
}

// testSite serves every sample at /sample/NAME; problems are reported by the catalogue.
func testSite(t *testing.T, change func(*web.Config)) *web.Site {
	t.Helper()
	cat, err := message.Load()
	if err != nil {
		t.Fatal(err)
	}
	c := web.Config{
		Base:         "https://reset.contoso.example",
		Organisation: web.Organisation{Name: "Contoso"},
		Translator:   cat.With("Organisation", "Contoso").Reporting(func(p message.Problem) { t.Errorf("%v", p) }),
		Templates:    []fs.FS{Templates()},
		Location:     time.UTC,
	}
	if change != nil {
		change(&c)
	}
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range samples() {
		s.Handle("GET", "/sample/"+name, func(*web.Request) (web.Page, error) {
			p := v.Page()
			switch v.(type) {
			case SearchPage, PersonPage, AttemptPage:
				p.Frame = &web.Frame{Name: "Grace Hopper", Rooms: beside(staff.Helpdesk, PathSearch)}
			case AppsPage, AppPage, SecretPage:
				p.Frame = &web.Frame{Name: "Grace Hopper", Rooms: beside(staff.Administrator, PathApps)}
			case ReceiversPage, ReceiverPage:
				p.Frame = &web.Frame{Name: "Grace Hopper", Rooms: beside(staff.Administrator, PathReceivers+"/hr")}
			case InvitePage, InviteOverPage:
			default:
				p.Frame = &web.Frame{Name: "Grace Hopper"}
			}
			return p, nil
		})
	}
	return s
}
