package console

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

// Entry is one event in plain words.
type Entry struct {
	At        time.Time
	Text      message.Message
	Who       message.Message
	Details   []message.Message
	Tone      string // ok, warn, bad, or none
	Result    message.Message
	Reference string // of the try it is part of
}

// Path is where the try is shown.
func (e Entry) Path() string { return PathAttempts + e.Reference }

// good are the types whose success is what somebody came for.
var good = []event.Type{event.PasswordReset, event.PasswordChanged, event.AccountUnlocked, event.AttemptProved, event.ProofRight}

// story puts events into words. about is the person they are about, "" for nobody.
func (c *rooms) story(ctx context.Context, about string, events []event.Event, connectors map[string]string) ([]Entry, error) {
	var others []string
	for _, e := range events {
		if id, is := strings.CutPrefix(e.Actor, "person:"); is && id != about && !slices.Contains(others, id) {
			others = append(others, id)
		}
	}
	names, err := c.Store.NamesOf(ctx, others)
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(events))
	for i, e := range events {
		out[i] = entryOf(e, about, names, connectors)
	}
	return out, nil
}

func entryOf(e event.Event, about string, names, connectors map[string]string) Entry {
	n := Entry{At: e.At, Text: message.Message{Key: "console.event." + string(e.Type)}, Who: whoWords(e.Actor, about, names, connectors), Details: details(e), Reference: text(e, "reference")}
	switch {
	case e.Outcome == event.Failure:
		n.Tone, n.Result = "bad", message.Key("console.outcome.failure")
	case e.Outcome == event.Unknown:
		n.Tone, n.Result = "warn", message.Key("console.outcome.unknown")
	case slices.Contains(good, e.Type):
		n.Tone, n.Result = "ok", message.Key("console.outcome.success")
	}
	return n
}

// whoWords names who did it, as far as that is known.
func whoWords(actor, about string, names, connectors map[string]string) message.Message {
	kind, id, _ := strings.Cut(actor, ":")
	switch kind {
	case "person":
		switch {
		case id == "" && about == "": // ended by whoever was trying, before anything was proved
			return message.Key("console.who.stranger")
		case id == about || id == "":
			return message.Key("console.who.person")
		case names[id] != "":
			return message.Key("console.who.staff", "Name", names[id])
		}
		return message.Key("console.who.somebody")
	case "idp":
		return message.Key("console.who.idp", "Provider", id)
	case "connector":
		if name := connectors[id]; name != "" {
			return message.Key("console.who.connector", "Name", name)
		}
		return message.Key("console.who.connector_gone")
	case "cli":
		return message.Key("console.who.cli", "Name", id)
	case "app":
		return message.Key("console.who.app", "Key", id)
	case "receiver":
		return message.Key("console.who.receiver")
	case "stranger":
		return message.Key("console.who.stranger")
	}
	return message.Key("console.who.system")
}

// whyKnown are the words events give as a reason that have a sentence of their own; others are shown as they are.
var whyKnown = []string{
	"nobody", "held", "never_registered", "kind", "budget", "disabled", "not_in_scope", "action", "network", "protected", "alerted",
	"time", "not_me", "refusals", "none", "ambiguous", "several", "moved", "taken",
	"signed_out", "replaced", "idp", "elsewhere", "other", "renamed",
}

// whyNobody are the words for why an account of a provider is nobody's here.
var whyNobody = []string{"provider", "unknown", "several", "inactive", "tied", "issuer", "other"}

// signals are what identity providers say.
var signals = []string{string(session.SessionsRevoked), string(session.CredentialCompromise), string(session.AccountDisabled), string(session.AccountEnabled)}

// details are what else an event tells that helps somebody on the telephone. What stands in an event and not here is for
// whoever reads the audit log.
func details(e event.Event) (out []message.Message) {
	add := func(key string, pairs ...any) { out = append(out, message.Key(key, pairs...)) }
	if k := text(e, "kind"); method.Kind(k).Known() {
		out = append(out, kindWords(method.Kind(k)))
	}
	if all := texts(e, "kinds"); len(all) > 0 {
		var kinds []message.Message
		for _, k := range all {
			kinds = append(kinds, kindWords(method.Kind(k)))
		}
		add("console.detail.kinds", "Kinds", kinds)
	}
	if to := e.Private["to"]; to != "" {
		add("console.detail.to", "To", to)
	}
	if why := text(e, "why"); e.Type == event.IdentityRefused && slices.Contains(whyNobody, why) {
		out = append(out, message.Message{Key: "console.why.identity." + why})
	} else if slices.Contains(whyKnown, why) {
		out = append(out, message.Message{Key: "console.why." + why})
	} else if why != "" {
		add("console.why.word", "Word", why)
	}
	if s := text(e, "signal"); slices.Contains(signals, s) {
		out = append(out, message.Message{Key: "console.signal." + s}, message.Message{Key: "console.signal.effect." + text(e, "effect")})
	}
	switch account.AlertKind(text(e, "alert")) {
	case account.Compromised:
		add("console.signal.credential_compromise")
	case account.Disabled:
		add("console.signal.account_disabled")
	}
	if n, is := number(e, "tries"); is && e.Type == event.ProofWrong {
		add("console.detail.tries", "Tries", n)
	}
	if until, err := time.Parse(time.RFC3339, text(e, "until")); err == nil {
		add("console.detail.until", "At", until)
	}
	for _, d := range []struct{ data, key, arg string }{
		{"rule", "console.detail.rule", "Rule"}, {"directory", "console.detail.directory", "Directory"}, {"idp", "console.detail.idp", "Provider"},
	} {
		if v := text(e, d.data); v != "" {
			add(d.key, d.arg, v)
		}
	}
	if names := texts(e, "attributes"); len(names) > 0 {
		add("console.detail.attributes", "Names", names)
	}
	if words := texts(e, "violations"); len(words) > 0 {
		add("console.detail.violations", "Words", words)
	}
	if names := texts(e, "claims"); len(names) > 0 {
		add("console.detail.claims", "Names", names)
	}
	from := slices.DeleteFunc([]string{e.Private["network"], e.Private["agent"]}, func(s string) bool { return s == "" })
	if n := text(e, "network"); len(from) == 0 && n != "" && e.Type == event.AttemptStarted {
		from = []string{n}
	}
	if len(from) > 0 {
		add("console.detail.from", "Where", from)
	}
	return out
}

func text(e event.Event, name string) string {
	s, _ := e.Data[name].(string)
	return s
}

// maxNamed is how many words of one list are shown.
const maxNamed = 20

func texts(e event.Event, name string) (out []string) {
	all, _ := e.Data[name].([]any) // as JSON reads
	for _, v := range all[:min(len(all), maxNamed)] {
		if s, is := v.(string); is {
			out = append(out, s)
		}
	}
	return out
}

func number(e event.Event, name string) (int, bool) {
	f, is := e.Data[name].(float64) // as JSON reads
	return int(f), is
}

// kindWords names a kind of way.
func kindWords(k method.Kind) message.Message {
	switch k {
	case method.Email:
		return message.Key("console.kind.email")
	case method.SMS:
		return message.Key("console.kind.sms")
	case method.Voice:
		return message.Key("console.kind.voice")
	case method.TOTP, method.HOTP:
		return message.Key("console.kind.app")
	case method.Passkey:
		return message.Key("console.kind.passkey")
	case method.RecoveryCode:
		return message.Key("console.kind.recovery_code")
	case method.Pass:
		return message.Key("console.kind.pass")
	case method.Question:
		return message.Key("console.kind.question")
	case method.IDP:
		return message.Key("console.kind.idp")
	case method.Vouch:
		return message.Key("console.kind.vouch")
	}
	return message.Key("console.kind.external")
}

// whyWords says why a way does not count.
func whyWords(why string) message.Message { return message.Message{Key: "console.way.why." + why} }

// actionWords says what somebody wanted done.
func actionWords(a policy.Action) message.Message {
	switch a {
	case policy.Unlock:
		return message.Key("console.action.unlock")
	case policy.Change:
		return message.Key("console.action.change")
	}
	return message.Key("console.action.reset")
}

// stateOf is where an attempt stands, also when its time is up and nobody has come back to close it.
func stateOf(a *reset.Attempt, now time.Time) reset.State {
	if !a.Settled() && a.State != reset.Writing && a.State != reset.Unknown && !now.Before(a.Expires) {
		return reset.Expired
	}
	return a.State
}

func stateWords(s reset.State) message.Message {
	return message.Message{Key: "console.state." + string(s)}
}

func stateTone(s reset.State) string {
	switch s {
	case reset.Done:
		return "ok"
	case reset.Unknown, reset.Unresolved:
		return "warn"
	case reset.Blocked:
		return "bad"
	}
	return ""
}
