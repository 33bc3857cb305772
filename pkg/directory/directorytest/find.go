package directorytest

import (
	"errors"
	"strings"

	"github.com/regain-id/regain/pkg/directory"
)

var findPromises = []Promise{
	{"a login is found, and always as the same account", func(t *trial) {
		a, b := t.find(t.User.Login), t.find(t.User.Login)
		if a.Ref != b.Ref || a.Ref.ID == "" || a.Ref.Adapter == "" {
			t.errorf("got refs %+v and %+v, want twice the same, with adapter and id", a.Ref, b.Ref)
		}
		if a.Login == "" {
			t.errorf("got an empty canonical login")
		}
		if a.Guarded || a.Status.Disabled || a.Status.AdminLocked || a.Status.Locked {
			t.errorf("got %+v for an account in good standing", a.Status)
		}
	}},
	{"case of a login does not matter", func(t *trial) {
		want := t.find(t.User.Login)
		for _, login := range []string{strings.ToUpper(t.User.Login), strings.ToLower(t.User.Login)} {
			if got := t.find(login); got.Ref != want.Ref {
				t.errorf("%q: got %v, want %v", login, got.Ref, want.Ref)
			}
		}
	}},
	{"an unknown login is ErrNotFound", func(t *trial) {
		t.findsNothing("nobody-by-this-name-9f2c")
		t.findsNothing("")
		t.findsNothing(strings.Repeat("x", 1024))
		if _, err := t.Adapter.Status(t.ctx, directory.Ref{Adapter: "no such adapter", ID: "1"}); !errors.Is(err, directory.ErrNotFound) {
			t.errorf("status of a foreign ref: got %v, want ErrNotFound", err)
		}
		own := t.find(t.User.Login).Ref
		for _, id := range []string{"", "0", "00000000-0000-4000-8000-000000000000", own.ID + "0", "*", ")(uid=*"} {
			if _, err := t.Adapter.Status(t.ctx, directory.Ref{Adapter: own.Adapter, ID: id}); !errors.Is(err, directory.ErrNotFound) {
				t.errorf("status of ref %q: got %v, want ErrNotFound", id, err)
			}
		}
	}},
	{"a login is text, never a filter or a query", func(t *trial) {
		l := t.User.Login
		for _, login := range []string{
			"*", l[:1] + "*", l + "*", "*" + l, l + ")(objectClass=*", "*)(uid=" + l, ")(|(uid=*", "(" + l + ")", l + "\\2a",
			"\\", l + "\\", l + "\x00", "\x00", l + "\x00*", l + "' OR '1'='1", "\" OR 1=1 --", "%", l[:1] + "%", "_", l + ";x",
			l + "\r\n", "\xff\xfe", l + "\xff", "DOMAIN\\*", "../" + l, "$(id)", "`id`",
		} {
			t.findsNothing(login)
		}
	}},
	{"a login that fits two accounts is ErrAmbiguous", func(t *trial) {
		if t.Ambiguous == "" {
			t.skipf("the fixture names no ambiguous login")
		}
		if u, err := t.Adapter.FindUser(t.ctx, t.query(t.Ambiguous)); !errors.Is(err, directory.ErrAmbiguous) {
			t.errorf("%q: got %v and %v, want ErrAmbiguous", t.Ambiguous, u.Ref, err)
		}
	}},
}

func (t *trial) findsNothing(login string) {
	u, err := t.Adapter.FindUser(t.ctx, t.query(login))
	if err == nil {
		t.errorf("%.60q found %s, want ErrNotFound", login, u.Login)
	} else if !errors.Is(err, directory.ErrNotFound) {
		t.errorf("%.60q: got %v, want ErrNotFound", login, err)
	}
}
