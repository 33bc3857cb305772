package signal

import (
	"context"
	"strings"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/passkey"
)

// meanings are the security events an event of ours is, by name.
//
//	password.reset                 credential-change, session-revoked     every session here ended: the epoch moved
//	password.changed               credential-change
//	method.added changed removed   credential-change, where CAEP has a word for the kind; recovery-information-changed
//	attempt.proved                 recovery-activated                     somebody who forgot a password proved who they are
//	attempt.disputed               session-revoked; account-credential-change-required, after a reset or a change
//	person.deactivated             session-revoked
//
// What did not succeed is no news to anybody.
func meanings(e event.Event) []string {
	if e.Outcome != event.Success {
		return nil
	}
	action, _ := e.Data["action"].(string)
	switch e.Type {
	case event.PasswordReset:
		return []string{client.CredentialChange, client.SessionRevoked}
	case event.PasswordChanged:
		return []string{client.CredentialChange}
	case event.MethodAdded, event.MethodChanged, event.MethodRemoved:
		switch {
		case e.Data["why"] == "renamed": // what somebody calls a way is nobody's news
			return nil
		case credentialType(kindOf(e), nil) == "":
			return []string{client.RecoveryInformationChanged}
		}
		return []string{client.CredentialChange, client.RecoveryInformationChanged}
	case event.AttemptProved:
		if action == "reset" || action == "unlock" {
			return []string{client.RecoveryActivated}
		}
	case event.AttemptDisputed:
		if action == "reset" || action == "change" {
			return []string{client.SessionRevoked, client.CredentialChangeRequired}
		}
		return []string{client.SessionRevoked}
	case event.PersonDeactivated:
		return []string{client.SessionRevoked}
	}
	return nil
}

func kindOf(e event.Event) method.Kind {
	kind, _ := e.Data["kind"].(string)
	return method.Kind(kind)
}

// credentialType is CAEP's word for a kind of way (CAEP 1.0 §3.3.1); "" where it has none, as for printed codes.
func credentialType(k method.Kind, transport []string) string {
	switch k {
	case method.TOTP, method.HOTP:
		return "app"
	case method.SMS:
		return "phone-sms"
	case method.Voice:
		return "phone-voice"
	case method.Passkey:
		for _, t := range transport {
			if t == "internal" {
				return "fido2-platform"
			}
		}
		return "fido2-roaming"
	}
	return ""
}

// changeType is what became of a way, in CAEP's words.
func changeType(e event.Event) string {
	status, _ := e.Data["status"].(string)
	switch {
	case e.Type == event.MethodAdded:
		return "create"
	case e.Type == event.MethodRemoved, status == string(method.Removed):
		return "delete"
	case status == string(method.Disabled):
		return "revoke"
	}
	return "update"
}

// initiator says who did it, in CAEP's words (CAEP 1.0 §2).
func initiator(e event.Event) string {
	kind, id, _ := strings.Cut(e.Actor, ":")
	switch {
	case kind == "person" && id == e.Subject, kind == "stranger":
		return "user"
	case kind == "person", kind == "cli", kind == "connector":
		return "admin"
	}
	return "system"
}

// reasons are read by staff of other systems, who see them in English (CAEP 1.0 §2: a text for each language).
var reasons = map[event.Type]string{
	event.PasswordReset:     "Self-service password reset",
	event.PasswordChanged:   "The person changed the password",
	event.MethodAdded:       "A way to prove who they are was added",
	event.MethodChanged:     "A way to prove who they are was changed",
	event.MethodRemoved:     "A way to prove who they are was removed",
	event.AttemptProved:     "The person proved who they are to get back into the account",
	event.AttemptDisputed:   "The person said that a change of the account was not theirs",
	event.PersonDeactivated: "The account was disabled",
}

// reason is why, for staff of other systems.
func reason(e event.Event) string {
	if e.Type == event.PasswordChanged && strings.HasPrefix(e.Actor, "connector:") {
		return "The organisation set the password"
	}
	return reasons[e.Type]
}

// facts is what a security event of a name tells of an event of ours. Neither a secret nor a name of the person is in it.
func (s *Service) facts(ctx context.Context, e event.Event, name string) (map[string]any, error) {
	by := initiator(e)
	if name == client.SessionRevoked && e.Type == event.PasswordReset {
		by = "policy" // it ends sessions whoever does it
	}
	all := map[string]any{"event_timestamp": e.At.Unix(), "initiating_entity": by, "reason_admin": map[string]string{"en": reason(e)}}
	if name != client.CredentialChange {
		return all, nil
	}
	all["credential_type"], all["change_type"] = "password", "update"
	if k := kindOf(e); k != "" {
		transport, err := s.transport(ctx, e, k)
		if err != nil {
			return nil, err
		}
		all["credential_type"], all["change_type"] = credentialType(k, transport), changeType(e)
	}
	return all, nil
}

// transport is how a passkey is reached; nothing for another kind, or one that is gone.
func (s *Service) transport(ctx context.Context, e event.Event, k method.Kind) ([]string, error) {
	if k != method.Passkey {
		return nil, nil
	}
	all, err := s.Store.Methods(ctx, e.Subject)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.ID == e.Data["method"] {
			if c, err := passkey.Parse(m.Secret); err == nil {
				return c.Transport, nil
			}
		}
	}
	return nil, nil
}
