package portal

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/register"
	"github.com/regain-id/regain/internal/signin"
	"github.com/regain-id/regain/internal/web"
)

const sampleURI = "otpauth://totp/Contoso:sam@contoso.example?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Contoso&algorithm=SHA1&digits=6&period=30"

// sampleQR draws the address of the sample as the pages get it.
func sampleQR() register.QR {
	code, err := qr.Encode(sampleURI, qr.M, qr.Unicode)
	if err != nil {
		panic(err)
	}
	size := code.Bounds().Dx()
	var path strings.Builder
	for y := range size {
		for x := range size {
			if r, _, _, _ := code.At(x, y).RGBA(); r == 0 {
				path.WriteString("M" + itoa(x+4) + " " + itoa(y+4) + "h1v1h-1z")
			}
		}
	}
	return register.QR{Path: path.String(), Size: size + 8}
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func ago(d time.Duration) time.Time { return when.Add(-d) }

const day = 24 * time.Hour

// sampleOwn is one way of every state.
var sampleOwn = []register.Own{
	{ID: "w1", Kind: method.Passkey, Display: "Chrome, macOS", Root: method.Root{Kind: method.ByPerson, ID: "p"}, Added: ago(170 * day), Used: ago(day), Mine: true},
	{ID: "w2", Kind: method.TOTP, Display: "Pixel 9", Root: method.Root{Kind: method.BySession, ID: "s"}, Added: ago(time.Hour), Matures: when.Add(23 * time.Hour), Mine: true},
	{ID: "w3", Kind: method.RecoveryCode, Root: method.Root{Kind: method.ByPerson, ID: "p"}, Added: ago(90 * day), CodesLeft: 2, Mine: true},
	{ID: "w4", Kind: method.Email, Masked: "s•••@e•••.net", Root: method.Root{Kind: method.BySession, ID: "s"}, Added: ago(time.Hour), Rests: when.Add(23 * time.Hour), Mine: true},
	{ID: "w5", Kind: method.SMS, Masked: "•• 42", Root: method.Root{Kind: method.ByConnector, ID: "c"}, Source: "HR", Added: ago(400 * day), Used: ago(30 * day)},
	{ID: "w6", Kind: method.SMS, Masked: "•• 17", Root: method.Root{Kind: method.ByPerson, ID: "p"}, Added: ago(200 * day), Leaves: when.Add(20 * time.Hour), Mine: true},
	{ID: "w7", Kind: method.TOTP, Display: "Old phone", Root: method.Root{Kind: method.ByPerson, ID: "p"}, Added: ago(300 * day), Disabled: true, Mine: true},
}

func shown(own []register.Own) (out []OwnWay) {
	for _, o := range own {
		out = append(out, ownWay(o, when))
	}
	return out
}

func happenings() (out []Happened) {
	i := 0
	for _, t := range slices.Sorted(maps.Keys(event.Catalogue)) {
		for _, kind := range []method.Kind{method.Email, method.Passkey} {
			e := event.New(when, t, "person:p", "p", "", event.Success).With("kind", string(kind)).With("action", string(policy.Reset)).
				Sealed("to", "s•••@e•••.net").Sealed("agent", "Firefox, Linux").Sealed("network", "203.0.113.0/24")
			if h, told := tell(e); told && (kind == method.Email || strings.HasPrefix(string(t), "method")) {
				h.At, h.From = ago(time.Duration(i)*time.Hour), from(e)
				out = append(out, h)
				i++
			}
		}
	}
	return out
}

// accountSamples is every state of every page of somebody who is signed in, and of the ways proved elsewhere.
func accountSamples() map[string]view {
	second := Adding{Have: 1, Of: 2}
	half := SignInHalf{Label: "Contoso ID", Today: amr([]string{"pwd", "otp", "mfa", "nobody-knows"}), Account: "https://login.contoso.example/account",
		Known: shown([]register.Own{{ID: "x", Kind: method.External, Display: "Authenticator app", Source: "Entra", Added: ago(10 * day)}})}
	ready := Standing{Ready: true, Needed: 2, Have: 3, Wanted: 3}
	full := SecurityPage{Standing: ready, Own: shown(sampleOwn), SignIn: half, Reviewed: ago(200 * day)}
	begun, held, back := full, full, full
	begun.Begun = &Begun{ID: "e", Kind: method.SMS, Until: when.Add(9 * time.Minute)}
	held.HoldUntil = when.Add(20 * time.Hour)
	back.Onward, back.Note, back.Full = "Payroll", message.Key("security.note.added"), true
	waiting := SecurityPage{Standing: Standing{Waiting: true, Needed: 2, Have: 2, Wanted: 2}, Own: shown(sampleOwn[1:4]), SignIn: SignInHalf{Label: "Contoso ID"}}
	more := SecurityPage{Standing: Standing{Ready: true, Needed: 1, Have: 1, Wanted: 2, More: 1}, Own: shown(sampleOwn[:1]), SignIn: half}
	own := shown(sampleOwn)
	app := AddAppPage{Adding: second, ID: "e", URI: sampleURI, Secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP", QR: sampleQR(), Digits: 6}
	appWrong := app
	appWrong.Problems = problem("code", "reset.code.wrong")
	codes := []string{"2F7K-9QXM-4TRD-8HWP", "B3NV-6YCJ-1ZKS-5GAE", "7WQH-M2XD-9RTF-3KPN", "C8JA-4VGS-6EYB-1QZM", "5TDK-R7NX-2HWF-9PCV",
		"J6YS-8BGM-3QAE-4ZTR", "9XKP-1WCN-7VHD-6FSJ", "E2RM-5QTY-8GBA-3NKW", "4HZC-X9PD-1JVS-7MTQ", "G8FN-6EKY-2RAW-5BXH"}
	mail := ConfirmPage{Adding: second, ID: "e", Kind: method.Email, Destination: "sam@example.net", Digits: 8, Minutes: 10, Sends: 1, MayAgain: true}
	again, lost, wrong := mail, mail, mail
	again.Sends, again.MayAgain = 3, false
	lost.Lost = true
	wrong.Problems = problem("code", "reset.code.wrong")
	phone := mail
	phone.Kind, phone.Destination = method.SMS, "+12065550142"
	invited := register.Due{Mode: policy.Invited, Why: "missing", Missing: 1, Snooze: day, Snoozes: 3}
	next := register.Due{Mode: policy.Invited, Why: "missing", Missing: 2, Snoozes: 2}
	last := register.Due{Mode: policy.Invited, Why: "missing", Missing: 2, Snooze: 14 * day, Snoozes: 1}
	required := register.Due{Mode: policy.Required, Why: "missing", Missing: 1}
	reconfirm := register.Due{Mode: policy.Invited, Why: "reconfirm", Snooze: 7 * day, Snoozes: 2}
	options := `{"challenge":"AAAA","rpId":"localhost","userVerification":"required","allowCredentials":[]}`
	creating := `{"rp":{"id":"localhost","name":"Contoso"},"user":{"id":"AAAA","name":"sam","displayName":"Sam"},"challenge":"AAAA","pubKeyCredParams":[{"type":"public-key","alg":-7}]}`
	sessions := []SignedIn{
		{ID: "s1", Here: true, Agent: "Chrome, macOS", Network: "203.0.113.0/24", Started: ago(time.Hour), Seen: ago(time.Minute)},
		{ID: "s2", Agent: "Safari, iPhone", Network: "2001:db8:1::/48", Started: ago(6 * time.Hour), Seen: ago(40 * time.Minute)},
		{ID: "s3", Started: ago(6 * time.Hour), Seen: ago(50 * time.Minute)},
	}
	browsers := []Trusted{{ID: "b1", Agent: "Chrome, macOS", Network: "203.0.113.0/24", Made: ago(20 * day), Expires: when.Add(70 * day)}, {ID: "b2", Made: ago(day), Expires: when.Add(day)}}
	providers := []signin.Provider{{Name: "contoso", Label: "Contoso ID", MayProve: true}, {Name: "plant", Label: "Plant sign-in", MayProve: true}}
	choices := func(kinds ...method.Kind) (out []Choice) {
		for _, k := range kinds {
			out = append(out, Choice{k})
		}
		return out
	}
	all := map[string]view{
		"home-account":      HomePage{Account: true, SignIn: "https://login.contoso.example/"},
		"choose-note":       ChoosePage{Running: running, Ways: everyKind(), Needed: 2, Note: message.Key("work_sign_in.failed")},
		"next-note":         NextPage{Running: running, Proved: []Way{emailWay}, Needed: 2, Ways: []Way{{Kind: method.Passkey, Value: "p", Name: "Blue key"}, {Kind: method.IDP, Value: "idp"}}, Note: message.Key("work_sign_in.failed")},
		"done-back":         DonePage{Reference: "KTRW-49MP", SignIn: "https://login.contoso.example/", Back: Back{App: "Payroll", URL: "https://payroll.contoso.example/in"}},
		"passkey":           PasskeyPage{Running: running, Options: options},
		"passkey-wrong":     PasskeyPage{Running: running, Options: options, Problems: problem("passkey", "passkey.wrong")},
		"work-sign-in":      WorkSignInPage{Running: running, Providers: providers[:1]},
		"work-sign-in-many": WorkSignInPage{Running: running, Providers: providers},

		"security":         full,
		"security-begun":   begun,
		"security-held":    held,
		"security-back":    back,
		"security-waiting": waiting,
		"security-more":    more,
		"security-none":    SecurityPage{Standing: Standing{Needed: 2, Missing: 2, Wanted: 2}},
		"security-missing": SecurityPage{Standing: Standing{Needed: 2, Missing: 1, Have: 1, Wanted: 3}, Own: own[:1], SignIn: half},
		"remove":           RemovePage{Way: own[0]},
		"remove-drops":     RemovePage{Way: own[3], Drops: true},
		"remove-held":      RemovePage{Way: own[2], Held: when},
		"rename":           RenamePage{Way: own[0], Name: "Chrome, macOS"},
		"rename-wrong":     RenamePage{Way: own[0], Name: "\x01", Problems: problem("name", "reset.login.form")},
		"over":             OverPage{Why: message.Key("error.over")},

		"add":            AddPage{Choices: choices(method.Passkey, method.TOTP, method.RecoveryCode, method.Email, method.SMS), Chosen: method.Passkey},
		"add-second":     AddPage{Adding: second, Note: message.Key("security.note.added"), Choices: choices(method.TOTP, method.Email), Chosen: method.TOTP},
		"add-wrong":      AddPage{Choices: choices(method.TOTP, method.Email), Chosen: method.TOTP, Problems: problem("kind", "add.choose")},
		"add-full":       AddPage{},
		"add-passkey":    AddPasskeyPage{Adding: Adding{Of: 3}, ID: "e", Options: creating},
		"add-passkey-no": AddPasskeyPage{ID: "e", Options: creating, Problems: problem("passkey", "add_passkey.wrong")},
		"add-app":        app,
		"add-app-wrong":  appWrong,
		"add-email":      DestinationPage{Adding: second, Kind: method.Email},
		"add-email-no":   DestinationPage{Kind: method.Email, Value: "sam", Problems: problem("destination", "reset.login.form")},
		"add-phone":      DestinationPage{Kind: method.SMS, Value: "+1 206 555 0142"},
		"confirm-email":  mail,
		"confirm-phone":  phone,
		"confirm-again":  again,
		"confirm-lost":   lost,
		"confirm-wrong":  wrong,
		"add-codes":      AddCodesPage{Adding: second, ID: "e", Codes: codes},

		"setup":           SetupPage{App: "Payroll", Due: invited},
		"setup-last":      SetupPage{Due: last, Own: own[:1]},
		"setup-next":      SetupPage{Due: next, Own: own[:1]},
		"setup-required":  SetupPage{App: "Payroll", Due: required, Own: own[:1]},
		"setup-reconfirm": SetupPage{App: "Payroll", Due: reconfirm, Own: own[:5]},
		"setup-asked":     SetupPage{Asked: true, Due: next, Own: own[:1]},
		"setup-asked-all": SetupPage{Asked: true, Due: register.Due{Mode: policy.Off}, Own: own[:5]},
		"setup-asked-on":  SetupOnPage{Asked: true, Note: message.Key("security.note.added")},
		"setup-on":        SetupOnPage{App: "Payroll", Note: message.Key("security.note.added")},
		"setup-on-path":   SetupOnPage{Note: message.Key("setup_on.later")},

		"activity":       ActivityPage{Note: message.Key("activity.note.ended"), Sessions: sessions, Browsers: browsers, Events: happenings(), Older: "0193", MayTrust: true},
		"activity-few":   ActivityPage{Sessions: sessions[:1]},
		"activity-older": ActivityPage{Events: happenings()[:3], Older: "0193", Further: true},

		"hostile-security": SecurityPage{Standing: ready, Own: []OwnWay{{ID: hostile, Kind: method.TOTP, Name: hostile, Change: true}}, SignIn: SignInHalf{Label: hostile}, Onward: hostile},
		"hostile-app":      AddAppPage{ID: hostile, URI: "javascript:alert(1)", Secret: hostile, Digits: 6},
		"hostile-passkey":  AddPasskeyPage{ID: hostile, Options: hostile},
		"hostile-confirm":  ConfirmPage{ID: hostile, Kind: method.Email, Destination: hostile, Digits: 8, Minutes: 10},
		"hostile-setup":    SetupPage{App: hostile, Due: invited},
		"hostile-activity": ActivityPage{Sessions: []SignedIn{{ID: hostile, Agent: hostile, Network: hostile}}, Older: hostile, Events: []Happened{{Text: message.Key("activity.way", "Way", hostile, "To", hostile), From: hostile, Icon: "x"}}},
		"hostile-work":     WorkSignInPage{Running: running, Providers: []signin.Provider{{Name: hostile, Label: hostile}}},
	}
	for _, why := range []string{"network", "protected", "paused", "not_in_scope"} {
		all["refused-"+why] = RefusedPage{Why: whyNot(why)}
	}
	return all
}

// signed puts a name into the frame of a sample, as the pages of somebody who is signed in have it.
type signed struct{ view }

func (s signed) Page() web.Page {
	p := s.view.Page()
	if p.Frame != nil {
		p.Frame.Name = "Sam Okafor"
	}
	return p
}
