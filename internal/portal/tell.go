package portal

import (
	"strings"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
)

// untold are the types of events a person does not read on their own pages: what is no news to them, what is about a
// program or a group, and what belongs to others. A type that is neither here nor in tell fails a test, so that a new one
// is thought about; on a page it is left out.
var untold = []event.Type{
	event.AttemptStarted, event.AttemptExtended, event.CodeAsked, event.WriteStarted, event.LinkMade, event.LinkRefused,
	event.PersonDeleted, event.GroupCreated, event.GroupUpdated, event.GroupDeleted, event.IdentityRefused,
	event.AppCreated, event.AppChanged, event.AppDeleted, event.RoleGranted, event.RoleRevoked, event.StaffInvited, event.StaffRefused,
	event.ConnectorCreated, event.ConnectorChanged, event.ConnectorDeleted, event.ConnectorRefused,
	event.ConnectorBraked, event.ConnectorExpects, event.ConnectorUndone, event.PolicyApplied, event.KeyRotated, event.ServeStarted,
	event.HandoffOpened, event.HandoffEnded, event.HandoffRedeemed, event.HandoffRefused, event.ReceiverCreated, event.ReceiverChanged,
	event.ReceiverDeleted, event.SignalFlooded, event.StreamCreated, event.StreamChanged, event.StreamDeleted, event.SigningRotated, event.SigningWithdrawn, event.RequestAnswered,
}

// tell says in words for people what an event is; told is false for one that is not for them.
func tell(e event.Event) (h Happened, told bool) {
	say := func(icon, tone string, text message.Message) (Happened, bool) {
		return Happened{Icon: icon, Tone: tone, Text: text}, true
	}
	act, way := acted(e), wayOf(e)
	switch e.Type {
	case event.AttemptResolved:
		return say("key-round", "", message.Key("activity.attempt.begun", "Act", act))
	case event.AttemptCancelled:
		return say("x", "", message.Key("activity.attempt.cancelled", "Act", act))
	case event.AttemptExpired:
		return say("clock", "", message.Key("activity.attempt.expired", "Act", act))
	case event.AttemptBlocked:
		return say("ban", "warn", message.Key("activity.attempt.blocked", "Act", act))
	case event.AttemptProved:
		return say("shield-check", "", message.Key("activity.attempt.proved", "Act", act))
	case event.AttemptDisputed:
		return say("shield-alert", "bad", message.Key("activity.attempt.disputed"))
	case event.DisputeEnded:
		return say("shield-check", "ok", message.Key("activity.dispute.ended"))
	case event.AttemptCannot:
		return say("circle-alert", "warn", message.Key("activity.attempt.cannot", "Act", act))
	case event.AttemptFlooded:
		return say("circle-alert", "warn", message.Key("activity.attempt.flooded"))
	case event.CodeSent:
		if e.Outcome == event.Failure {
			return say("circle-alert", "warn", message.Key("activity.code.unsent", "Way", way))
		}
		return say("mail", "", message.Key("activity.code.sent", "Way", way))
	case event.CodeUnsent:
		return say("circle-alert", "", message.Key("activity.code.unsent", "Way", way))
	case event.ProofRight:
		return say("circle-check", "", message.Key("activity.proof.right", "Way", way))
	case event.ProofWrong:
		return say("circle-alert", "warn", message.Key("activity.proof.wrong", "Way", way))
	case event.MethodSpent:
		return say("ban", "bad", message.Key("activity.method.shut", "Way", way))
	case event.WriteRefused:
		return say("circle-alert", "", message.Key("activity.write.refused"))
	case event.WriteUnknown:
		return say("circle-question-mark", "warn", message.Key("activity.write.unknown", "Act", act))
	case event.WriteReconciled:
		return say("circle-check", "", message.Key("activity.write.found", "Act", act))
	case event.WriteUnresolved:
		return say("circle-question-mark", "warn", message.Key("activity.write.unresolved", "Act", act))
	case event.PasswordReset:
		return say("key-round", "ok", message.Key("activity.password.reset"))
	case event.PasswordChanged:
		if strings.HasPrefix(e.Actor, "connector:") {
			return say("key-round", "ok", message.Key("activity.password.handed"))
		}
		return say("key-round", "ok", message.Key("activity.password.changed"))
	case event.AccountUnlocked:
		return say("lock-open", "ok", message.Key("activity.unlocked"))
	}
	if h, told := tellOfPerson(e); told {
		return h, true
	}
	return tellOfWays(e, way)
}

// tellOfPerson tells of the account, of sign-ins and of staff.
func tellOfPerson(e event.Event) (h Happened, told bool) {
	say := func(icon, tone string, text message.Message) (Happened, bool) {
		return Happened{Icon: icon, Tone: tone, Text: text}, true
	}
	switch e.Type {
	case event.PersonCreated:
		return say("user", "", message.Key("activity.person.created"))
	case event.PersonUpdated:
		return say("user", "", message.Key("activity.person.updated"))
	case event.PersonDeactivated:
		return say("ban", "warn", message.Key("activity.person.disabled"))
	case event.PersonReactivated, event.PersonRestored:
		return say("user", "ok", message.Key("activity.person.enabled"))
	case event.IdentityMade:
		return say("log-in", "", message.Key("activity.identity.made"))
	case event.SignInRefused:
		return say("circle-alert", "warn", message.Key("activity.sign_in.refused"))
	case event.SessionStarted:
		return say("log-in", "", message.Key("activity.session.started"))
	case event.SessionSteppedUp:
		return say("log-in", "", message.Key("activity.session.again"))
	case event.SessionEnded:
		switch word(e, "why") {
		case "signed_out":
			return say("log-out", "", message.Key("activity.session.out"))
		case "idp":
			return say("log-out", "", message.Key("activity.session.idp"))
		case "elsewhere":
			return say("log-out", "", message.Key("activity.session.elsewhere"))
		case "replaced": // the sign-in that took its place is told already
			return Happened{}, false
		}
		return say("log-out", "", message.Key("activity.session.ended"))
	case event.SignalReceived:
		return tellOfSignal(e)
	case event.AlertConfirmed:
		return say("shield-alert", "warn", message.Key("activity.alert.confirmed"))
	case event.AlertLifted:
		return say("shield-check", "ok", message.Key("activity.alert.lifted"))
	case event.BrowserTrusted:
		return say("monitor", "warn", message.Key("activity.browser.trusted"))
	case event.BrowserForgotten:
		return say("monitor", "", message.Key("activity.browser.forgotten"))
	case event.PersonViewed:
		return say("eye", "", message.Key("activity.person.viewed"))
	case event.HandoffAnswered:
		return say("arrow-right", "", message.Key("activity.handoff.answered"))
	case event.AttemptViewed:
		return say("eye", "", message.Key("activity.attempt.viewed"))
	}
	return Happened{}, false
}

// tellOfSignal tells of what an identity provider said, by what it did here.
func tellOfSignal(e event.Event) (h Happened, told bool) {
	say := func(icon, tone string, text message.Message) (Happened, bool) {
		return Happened{Icon: icon, Tone: tone, Text: text}, true
	}
	switch word(e, "effect") {
	case "compromised":
		return say("shield-alert", "warn", message.Key("activity.signal.compromised"))
	case "disabled":
		return say("ban", "warn", message.Key("activity.signal.disabled"))
	case "cleared":
		return say("shield-check", "ok", message.Key("activity.signal.cleared"))
	case "none", "sessions", "braked": // sessions that ended are told one by one
		return Happened{}, false
	}
	return say("log-out", "warn", message.Key("activity.signal.ended"))
}

// tellOfWays tells of the ways somebody has.
func tellOfWays(e event.Event, way message.Message) (h Happened, told bool) {
	say := func(icon, tone string, text message.Message) (Happened, bool) {
		return Happened{Icon: icon, Tone: tone, Text: text}, true
	}
	icon := Way{Kind: method.Kind(word(e, "kind"))}.Icon()
	organisation := strings.HasPrefix(e.Actor, "connector:")
	switch e.Type {
	case event.MethodAdded:
		if organisation {
			return say(icon, "", message.Key("activity.method.provisioned", "Way", way))
		}
		return say(icon, "ok", message.Key("activity.method.added", "Way", way))
	case event.MethodProvisioned:
		return say(icon, "", message.Key("activity.method.provisioned", "Way", way))
	case event.MethodChanged:
		return say(icon, "", message.Key("activity.method.changed", "Way", way))
	case event.MethodRemoved:
		if organisation {
			return say("trash-2", "warn", message.Key("activity.method.withdrawn", "Way", way))
		}
		return say("trash-2", "warn", message.Key("activity.method.removed", "Way", way))
	case event.MethodLeaving:
		return say("hourglass", "warn", message.Key("activity.method.leaving", "Way", way))
	case event.MethodKept:
		return say(icon, "", message.Key("activity.method.kept", "Way", way))
	case event.MethodConfirmAsked:
		return say(icon, "", message.Key("activity.confirm.asked", "Way", way))
	case event.MethodConfirmSent:
		if e.Outcome == event.Failure {
			return say("circle-alert", "warn", message.Key("activity.code.unsent", "Way", way))
		}
		return say("mail", "", message.Key("activity.code.sent", "Way", way))
	case event.MethodConfirmWrong:
		return say("circle-alert", "warn", message.Key("activity.confirm.wrong", "Way", way))
	case event.RegistrationSnoozed:
		return say("clock", "", message.Key("activity.register.later"))
	case event.RegistrationReviewed:
		return say("check", "", message.Key("activity.register.right"))
	case event.RegistrationRefused:
		return say("ban", "warn", message.Key("activity.register.refused"))
	}
	return Happened{}, false
}

// word returns a fact of an event as a string; "" for anything else.
func word(e event.Event, name string) string {
	s, _ := e.Data[name].(string)
	return s
}

// acted says what a try was for, as the end of a sentence.
func acted(e event.Event) message.Message {
	switch policy.Action(word(e, "action")) {
	case policy.Unlock:
		return message.Key("activity.act.unlock")
	case policy.Change:
		return message.Key("activity.act.change")
	}
	return message.Key("activity.act.reset")
}

// wayOf names the way an event is about, with its masked address or its name where that is kept.
func wayOf(e event.Event) message.Message {
	way := nameOf(method.Kind(word(e, "kind")))
	if to := e.Private["to"]; to != "" {
		return message.Key("activity.way", "Way", way, "To", to)
	}
	return way
}
