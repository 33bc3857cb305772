package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/adapter/ldap"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/testserver"
	"github.com/regain-id/regain/pkg/directory"
)

func TestAUserNameFullOfLDAPFindsNobodyElse(t *testing.T) {
	w := newWorld(t, scene{slapd: true})
	ada, bob := w.add("ada", method.Email, method.SMS), w.add("bob")
	names := []string{
		"*", "ada*", "a*@alder.example", "*@*", "ada@alder.example)(uid=*", "*)(uid=*))(|(uid=*", "ada@alder.example)(|(objectClass=*)", "(mail=ada@alder.example)",
		`ada\40alder.example`, `\61da@alder.example`, `\2a`, "ada@alder.example,ou=people", "uid=ada", "ada@alder.example#", "ada@alder.example;binary",
		"ada@alder.example\nuid: bob", "ada@alder.examp\u0142e", "ada@alder.example\ufeff", "ada@alder.example\\", "ada@alder.example\\00", "&(mail=*)",
	}
	for i, name := range names {
		t.Run(strings.ReplaceAll(name, "\n", " "), func(t *testing.T) {
			uid := "x" + string(rune('a'+i))
			p := &somebody{uid: uid, ID: newID(), Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: "+4917139300" + string(rune('0'+i/10)) + string(rune('0'+i%10))}
			got := w.arrives(p, name)
			if got.Status != 403 || !strings.Contains(got.Text, "We found nobody in the directory") {
				t.Errorf("got status %d: %s", got.Status, got.Text)
			}
		})
	}
	for _, p := range []*somebody{ada, bob} {
		if !w.signsIn(p, p.Password) || w.signsIn(p, fresh) {
			t.Errorf("the password of %s was changed", p.uid)
		}
	}
	if n := w.number(`SELECT count(*) FROM writes`) + w.number(`SELECT count(*) FROM links`); n != 0 {
		t.Errorf("%d writes and links", n)
	}
}

// arrives adds a person of that user name, who says who they are by their address, proves it twice, and tries to write.
func (w *world) arrives(p *somebody, name string) sight {
	w.t.Helper()
	w.addPerson(p, method.Email, method.SMS)
	w.change(p, func(q *account.Person, _ *[]method.Method) []event.Event { q.UserName = name; return nil })
	v := w.visitor()
	v.firstProof("/reset", p).want(w.t, 200, "/choose", "Prove it one more way")
	v.chooseKind("sms")
	v.post("/code", "code", w.textCode(p.Phone, 1))
	return v.post("/new-password", "password", fresh)
}

func TestNamesThatADirectoryTakesForOneAnotherAreNotOnePerson(t *testing.T) {
	// Directories prepare strings before they compare them (RFC 4518): full width is narrow and the invisible is nothing.
	w := newWorld(t, scene{slapd: true, change: func(s *Setup) { s.Directories[0].Attribute = "uid" }})
	w.slapd.AddUser(t, testserver.SlapdUser{Login: "ada", Password: "the first password of ada", Mail: "ada@alder.example"})
	ada := &somebody{uid: "ada", Password: "the first password of ada"}
	for i, name := range []string{"\uff41da", "a\u00adda", "a\u200bda", "ada\ufeff", "\u00aada", "аda", "a\u0307da"} {
		t.Run(fmt.Sprintf("%+q", name), func(t *testing.T) {
			uid := "y" + string(rune('a'+i))
			p := &somebody{uid: uid, ID: newID(), Login: uid + "@alder.example", Email: uid + "@mail.example", Phone: "+49171394000" + string(rune('0'+i))}
			if got := w.arrives(p, name); got.Status != 403 {
				t.Errorf("got status %d: %s", got.Status, got.Text)
			}
		})
	}
	if !w.signsIn(ada, ada.Password) {
		t.Error("the password of ada was changed")
	}
}

func TestANULInANameReachesNeitherDatabaseNorDirectory(t *testing.T) {
	w := newWorld(t, scene{slapd: true})
	w.add("ada", method.Email)
	v := w.visitor()
	for _, typed := range []string{"ada@alder.example\x00", "\x00ada@alder.example", "ada\x00@alder.example", "*\x00)(uid=ada"} {
		v.post("/reset", "login", typed).want(t, 400, "/reset")
	}
	adapter, ok := w.setup.Directories[0].Adapter.(*ldap.Adapter)
	if !ok {
		t.Fatalf("the directory is a %T", w.setup.Directories[0].Adapter)
	}
	for _, login := range []string{"ada@alder.example\x00", "\x00", "ada\x00*", "*", "ada@alder.example)(uid=*", ""} { // asked without us
		u, err := adapter.FindUser(t.Context(), directory.Query{Login: login, Attrs: []string{"mail"}})
		if err == nil {
			t.Errorf("%q found %s", login, u.Login)
		}
	}
}

func TestALoginFullOfTricksIsNobodysAndAsksTheDirectoryNothing(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email)
	for _, typed := range []string{
		"*", "ada*", "%", "_da@alder.example", "ada@alder.example' OR '1'='1", "ada@alder.example';--", "ada@alder.example)(uid=*", `\ada@alder.example\`, "$1", "{hit}",
		"{{.Login}}", "=1+1", "<script>", "../../etc/passwd", "ada@alder.example/../bob", "null", "undefined", "true", "0", "-1", "\u202eelpmaxe.redla@ada",
	} {
		v := w.visitor()
		v.asks(typed, "email")
		v.post("/code", "code", "12345678").want(t, 422, "/code", wrongCode)
		if a := v.attempt(); a["person"] != "" || a["resolved"] != true {
			t.Errorf("%q is taken for somebody: %v", typed, a)
		}
	}
	w.drained()
	if n := len(w.mail.Letters("")); n != 0 || w.count(ada.ID, event.AttemptResolved) != 0 {
		t.Errorf("%d mails were sent", n)
	}
	// DOMAIN\ in front is how people type it, and means the name behind it.
	v := w.visitor()
	v.asks(`EVIL\OTHER\ada@alder.example`, "email")
	w.mailCode(ada.Email, 1)
}
