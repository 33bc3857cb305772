package app

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/reset"
	"github.com/regain-id/regain/internal/session"
)

func TestAFloodCannotKeepTheOwnerOfATrustedBrowserFromTheirCode(t *testing.T) {
	h := newHouse(t, estate{people: map[string][]method.Kind{"ada": {method.Email, method.SMS}, "ben": {method.Email}},
		scene: scene{change: func(s *Setup) { s.Rates = reset.Rates{SendsPerOrigin: 1, SendsPerPerson: 3} }}})
	ada := h.people["ada"]
	for i := range 5 {
		stranger := h.visitor()
		stranger.From = fmt.Sprintf("198.51.100.%d", i+1)
		stranger.asks(ada.Login, "email")
	}
	h.drained()
	if n := len(h.codes(ada.Email)); n != 3 {
		t.Fatalf("%d codes for the strangers, want the 3 there are", n)
	}
	owner := h.visitor()
	owner.From = "192.0.2.77"
	owner.asks(ada.Login, "email")
	h.drained()
	if n := len(h.codes(ada.Email)); n != 3 {
		t.Errorf("%d codes: any browser got one more", n)
	}
	trusted := func(uid string) *visitor {
		secret, hash := keyring.NewToken("rgn_browser")
		b := &session.Browser{Hash: hash, Person: h.people[uid].ID, Epoch: 1, Made: h.now(), Expires: h.now().Add(time.Hour)}
		if err := h.srv.Store.PutBrowser(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		v := h.visitor()
		base, err := url.Parse(h.base)
		if err != nil {
			t.Fatal(err)
		}
		v.client.Jar.SetCookies(base, []*http.Cookie{{Name: "regain-browser", Value: secret, Path: "/"}})
		v.From = "192.0.2.78"
		return v
	}
	trusted("ben").asks(ada.Login, "email") // a browser of somebody else's is any browser
	h.drained()
	if n := len(h.codes(ada.Email)); n != 3 {
		t.Errorf("%d codes: the trusted browser of somebody else got one", n)
	}
	trusted("ada").asks(ada.Login, "email")
	h.drained()
	if n := len(h.codes(ada.Email)); n != 4 {
		t.Errorf("%d codes, want one more for the owner's trusted browser", n)
	}
}
