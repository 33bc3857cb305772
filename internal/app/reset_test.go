package app

import (
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
)

const fresh = "a heron lands on cold water"

func TestAForgottenPasswordIsReplacedAfterTwoProofs(t *testing.T) {
	for name, s := range map[string]scene{
		"sqlite and a directory in memory": {},
		"postgresql and openldap":          {kind: store.PostgreSQL, slapd: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			ada := w.add("ada", method.Email, method.SMS)
			v := w.visitor()
			v.proveTwice(ada)
			done := v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password")
			if !w.signsIn(ada, fresh) {
				t.Error("the new password does not sign in")
			}
			if w.signsIn(ada, ada.Password) {
				t.Error("the old password still signs in")
			}
			if strings.Contains(done.HTML, fresh) {
				t.Error("the page shows the password")
			}
			eventually(t, "a notice to every address", func() bool {
				return len(w.mail.Letters(ada.Login)) >= 1 && len(w.mail.Letters(ada.Email)) >= 2 && len(w.sms.Texts(ada.Phone)) >= 2
			})
			if n := w.count(ada.ID, event.PasswordReset); n != 1 {
				t.Errorf("%d events say the password was reset, want 1", n)
			}
			v.post("/code", "code", "12345678").want(t, 200, "/progress")
			if strings.Contains(w.log.String(), fresh) || strings.Contains(w.log.String(), ada.Email) {
				t.Error("a secret or an address stands in the log")
			}
		})
	}
}
