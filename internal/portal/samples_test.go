package portal

import (
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/web"
)

// view is what every view model is.
type view interface{ Page() web.Page }

const hostile = `"><script>alert(1)</script>{{.}}&amp;'` + "\u202e"

var (
	when     = time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
	running  = Running{Action: policy.Reset, Step: 2, SecondsLeft: 840, MayExtend: true}
	uniform  = []Way{{Kind: method.Email, Value: "email"}, {Kind: method.SMS, Value: "sms"}, {Kind: method.RecoveryCode, Value: "recovery-code"}}
	emailWay = Way{Kind: method.Email, Value: "0193-a", Masked: "s•••@e•••.net"}
	smsWay   = Way{Kind: method.SMS, Value: "0193-b", Masked: "•• 42"}
	appWay   = Way{Kind: method.TOTP, Value: "0193-c", Name: "Pixel 9"}
	rules    = []Rule{
		{Text: message.Key("password.rule.length", "Min", 15), Length: true}, {Text: message.Key("password.rule.lists")},
		{Text: message.Key("password.rule.history", "Count", 5)}, {Text: message.Key("password.rule.partial")},
	}
)

func problem(field, key string) []web.Problem {
	return []web.Problem{{Field: field, Say: message.Key(key)}}
}

// samples is every state of every page.
var samples = sync.OnceValue(allSamples)

func allSamples() map[string]view {
	last := running
	last.MayExtend, last.SecondsLeft, last.Step = false, 60, 3
	third := running
	third.Step = 3
	password := NewPasswordPage{Running: third, Login: "sam@contoso.example", MinLength: 15, Rules: rules}
	suggested, refused, old := password, password, password
	suggested.Suggestion = "lantern orbit pickle meadow"
	refused.Problems = []web.Problem{{Field: "password", Say: message.Key("reset.violation.in_history")}, {Field: "password", Say: message.Key("password.common")}}
	refused.Refused, refused.Left = 1, 4
	old.Old = true
	oldWrong := old
	oldWrong.Problems = problem("current", "reset.old.wrong")
	bothWrong := old
	bothWrong.Problems = append(problem("current", "reset.old.empty"), problem("password", "password.missing")...)
	all := map[string]view{
		"home":         HomePage{SignIn: "https://login.contoso.example/"},
		"home-bare":    HomePage{},
		"home-stories": HomePage{Stories: []Story{{Name: message.Key("home.reset"), Text: message.Key("home.reset.hint"), URL: "/reset"}}},

		"choose":          ChoosePage{Running: running, Ways: uniform, Needed: 2},
		"choose-one":      ChoosePage{Running: last, Ways: uniform[:1], Needed: 1},
		"choose-problem":  ChoosePage{Running: running, Ways: uniform, Needed: 2, Chosen: "sms", Problems: problem("way", "reset.way.choose")},
		"choose-all":      ChoosePage{Running: running, Ways: everyKind(), Needed: 3},
		"next":            NextPage{Running: running, Proved: []Way{emailWay}, Needed: 2, Ways: []Way{smsWay, appWay}, Chosen: smsWay.Value},
		"next-one":        NextPage{Running: running, Proved: []Way{emailWay}, Needed: 3, Ways: []Way{smsWay}, Resting: []Way{{Kind: method.SMS, Masked: "•• 17", Until: when}}, Missing: []message.Message{message.Key("reset.cannot.too_few", "Needed", 2, "Have", 1)}},
		"next-problem":    NextPage{Running: running, Proved: []Way{emailWay}, Needed: 2, Ways: []Way{smsWay}, Problems: problem("way", "reset.way.choose")},
		"code-sms":        CodePage{Running: running, Way: uniform[1], Digits: 8, Minutes: 10},
		"code-voice":      CodePage{Running: running, Way: Way{Kind: method.Voice}, Digits: 8, Minutes: 10},
		"code-email":      CodePage{Running: running, Way: uniform[0], Digits: 8, Minutes: 10},
		"code-wrong":      CodePage{Running: running, Way: uniform[0], Digits: 8, Minutes: 10, Problems: problem("code", "reset.code.wrong")},
		"code-own-sms":    CodePage{Running: running, Way: smsWay, Digits: 8, Minutes: 10},
		"code-own-voice":  CodePage{Running: running, Way: Way{Kind: method.Voice, Masked: "•• 42"}, Digits: 8, Minutes: 10},
		"code-own-email":  CodePage{Running: running, Way: emailWay, Digits: 8, Minutes: 10},
		"nothing":         NothingPage{Running: running, Minutes: 10},
		"app-code":        AppCodePage{Running: running, Digits: 6},
		"app-code-wrong":  AppCodePage{Running: running, Digits: 6, Name: "Pixel 9", Problems: problem("code", "reset.code.wrong")},
		"recovery":        RecoveryCodePage{Running: running},
		"recovery-wrong":  RecoveryCodePage{Running: running, Problems: problem("code", "reset.code.wrong")},
		"cannot":          CannotPage{Running: running, Why: []message.Message{message.Key("reset.cannot.too_few", "Needed", 2, "Have", 1)}, Resting: []Way{{Kind: method.Email, Masked: "s•••@e•••.net", Until: when}}, Reference: "KTRW-49MP"},
		"password":        password,
		"password-hint":   suggested,
		"password-no":     refused,
		"change":          old,
		"change-wrong":    oldWrong,
		"change-empty":    bothWrong,
		"unlock":          UnlockPage{Running: third, Login: "sam@contoso.example"},
		"writing":         WritingPage{Reference: "KTRW-49MP"},
		"done":            DonePage{Reference: "KTRW-49MP", Systems: []message.Message{message.Key("kind.sign_in"), message.Key("kind.email")}, Notices: 3, SignIn: "https://login.contoso.example/"},
		"done-unlock":     DonePage{Action: policy.Unlock, Reference: "KTRW-49MP", Notices: 1},
		"unknown":         UnknownPage{Reference: "KTRW-49MP", Checking: true, SignIn: "https://login.contoso.example/"},
		"unknown-unlock":  UnknownPage{Action: policy.Unlock, Reference: "KTRW-49MP"},
		"unresolved":      UnresolvedPage{Reference: "KTRW-49MP", SignIn: "https://login.contoso.example/"},
		"unresolved-lock": UnresolvedPage{Action: policy.Unlock, Reference: "KTRW-49MP"},
		"not-me":          NotMePage{Token: "t", Reference: "KTRW-49MP", At: when},
		"not-me-changed":  NotMePage{Token: "t", Reference: "KTRW-49MP", At: when, Finished: true},
		"not-me-unlocked": NotMePage{Token: "t", Action: policy.Unlock, Reference: "KTRW-49MP", At: when, Finished: true},
		"not-me-stopped":  NotMeDonePage{Reference: "KTRW-49MP"},
		"not-me-disputed": NotMeDonePage{Reference: "KTRW-49MP", Finished: true},
		"not-me-over":     NotMeOverPage{Reference: "KTRW-49MP"},
		"not-me-late":     NotMeOverPage{Reference: "KTRW-49MP", Late: true},
		"other-browser":   OtherBrowserPage{},
		"help":            HelpPage{Help: testHelp, Reference: "KTRW-49MP"},
		"help-bare":       HelpPage{},

		"hostile-start":    StartPage{Login: hostile},
		"hostile-next":     NextPage{Running: running, Proved: []Way{{Kind: method.Email, Masked: hostile}}, Needed: 2, Ways: []Way{{Kind: method.TOTP, Value: hostile, Name: hostile}}},
		"hostile-password": NewPasswordPage{Running: third, Login: hostile, MinLength: 15, Rules: rules, Suggestion: hostile},
		"hostile-not-me":   NotMePage{Token: hostile, At: when},
		"hostile-help":     HelpPage{Help: web.Help{Text: web.Localised{"": hostile}, Phone: hostile}, Reference: hostile},
	}
	for _, a := range []policy.Action{policy.Reset, policy.Unlock, policy.Change} {
		all["start-"+string(a)] = StartPage{Action: a}
		all["start-empty-"+string(a)] = StartPage{Action: a, Problems: problem("login", "reset.login.empty")}
		for _, e := range []End{Refused, Expired, Cancelled, Stopped, NoTry} {
			all["end-"+string(e)+"-"+string(a)] = EndPage{End: e, Action: a, Reference: "KTRW-49MP"}
		}
	}
	for name, v := range accountSamples() {
		all[name] = signed{v}
	}
	for _, why := range []string{"not_in_scope", "action", "network", "protected"} {
		all["cannot-"+why] = CannotPage{Running: running, Why: []message.Message{{Key: "reset.cannot." + why}}}
	}
	return all
}

func everyKind() []Way {
	var out []Way
	for _, k := range method.Kinds {
		out = append(out, Way{Kind: k, Value: string(k)})
	}
	return out
}

// sender is an app that sent people here, with a name and a host as long as they may be; sentOn the same once there is
// something to take back.
var (
	sender = web.Sender{Name: "Reisekostenabrechnungsverwaltung & <b>Zeiterfassung</b>", Host: "reisekostenabrechnungsverwaltung-und-zeiterfassung.personal.contoso.example:8443",
		Origin: "https://payroll.contoso.example", Cancel: pathCancel}
	sentOn = web.Sender{Name: sender.Name, Host: sender.Host, Origin: sender.Origin, Return: pathReturn}
)

// sentBy makes the samples pages of people whom an app sent; nil: of people who came by themselves.
func sentBy(from *web.Sender) func(*web.Config) {
	return func(c *web.Config) {
		c.Sender = func(*web.Request) (*web.Sender, error) { return from, nil }
	}
}

var testHelp = web.Help{
	Text: web.Localised{"en": "Our help desk is on floor 2.", "de": "Unsere Hilfe ist im 2. Stock."}, Phone: "+1 (206) 555-0100",
	Hours: web.Localised{"en": "Monday to Friday, 8 to 17", "de": "Montag bis Freitag, 8 bis 17 Uhr"}, URL: web.Localised{"": "https://help.contoso.example/"},
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
		Help:         testHelp,
		Links:        web.Links{Privacy: web.Localised{"": "https://contoso.example/privacy"}, Accessibility: web.Localised{"de": "https://contoso.example/de/barrierefreiheit"}},
	}
	if change != nil {
		change(&c)
	}
	s, err := web.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range samples() {
		s.Handle("GET", "/sample/"+name, func(*web.Request) (web.Page, error) { return v.Page(), nil })
	}
	return s
}
