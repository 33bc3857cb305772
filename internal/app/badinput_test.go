package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/keyring"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/testserver"
)

func TestARepeatedListedOrForeignParameterIsRefusedAndStartsNothing(t *testing.T) {
	w := newWorld(t, scene{})
	ada, eve := w.add("ada", method.Email, method.SMS), w.add("eve", method.Email)
	const form = "application/x-www-form-urlencoded"
	for name, c := range map[string]struct {
		path, kind, body string
		want             int
	}{
		"a name twice":                     {"/reset", form, "login=" + ada.Login + "&login=" + eve.Login, 400},
		"a name twice, the same":           {"/reset", form, "login=" + ada.Login + "&login=" + ada.Login, 400},
		"a list":                           {"/reset", form, "login[]=" + ada.Login, 400},
		"a list beside a name":             {"/reset", form, "login=" + ada.Login + "&login[]=" + eve.Login, 400},
		"a numbered list":                  {"/reset", form, "login[0]=" + ada.Login + "&login[1]=" + eve.Login, 400},
		"an escaped list":                  {"/reset", form, "login%5B%5D=" + ada.Login, 400},
		"a field nobody asked for":         {"/reset", form, "login=" + ada.Login + "&email=" + eve.Email, 400},
		"a field in capitals":              {"/reset", form, "login=" + ada.Login + "&Login=" + eve.Login, 400},
		"a name in the query, too":         {"/reset?login=" + eve.Login, form, "login=" + ada.Login, 400},
		"a NUL in the name":                {"/reset", form, "login=" + ada.Login + "%00", 400},
		"a second line in the name":        {"/reset", form, "login=" + ada.Login + "%0d%0aBcc:" + eve.Email, 400},
		"a line feed in the name":          {"/reset", form, "login=" + ada.Login + "%0a" + eve.Login, 400},
		"a name that is no UTF-8":          {"/reset", form, "login=%ff%fe", 400},
		"a broken escape":                  {"/reset", form, "login=%zz", 400},
		"a name of 255 bytes":              {"/reset", form, "login=" + strings.Repeat("a", 255), 400},
		"a thousand fields":                {"/reset", form, strings.Repeat("login=a&", 1000), 400},
		"no name":                          {"/reset", form, "", 422},
		"spaces for a name":                {"/reset", form, "login=+++", 422},
		"JSON":                             {"/reset", "application/json", `{"login":"` + ada.Login + `"}`, 415},
		"JSON with a list":                 {"/reset", "application/json", `{"login":["` + ada.Login + `","` + eve.Login + `"]}`, 415},
		"a form that says it is plain":     {"/reset", "text/plain", "login=" + ada.Login, 415},
		"multipart":                        {"/reset", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"login\"\r\n\r\nada\r\n--x--", 415},
		"no content type":                  {"/reset", "", "login=" + ada.Login, 415},
		"a way twice":                      {"/choose", form, "way=email&way=sms", 400},
		"a list of ways":                   {"/choose", form, "way[]=email", 400},
		"an address where the way belongs": {"/choose", form, "way=email&to=" + eve.Email, 400},
		"a code twice":                     {"/code", form, "code=11111111&code=22222222", 400},
		"a list of codes":                  {"/code", form, "code[]=11111111&code[]=22222222", 400},
		"JSON codes":                       {"/code", "application/json", `{"code":["11111111","22222222"]}`, 415},
		"a token twice":                    {"/not-me", form, "token=a.b&token=c.d", 400},
	} {
		t.Run(name, func(t *testing.T) {
			v := w.visitor()
			if c.path != "/not-me" && !strings.HasPrefix(c.path, "/reset") {
				v.asks("nobody@alder.example", "email")
			}
			before := w.number(`SELECT count(*) FROM attempts`) + w.number(`SELECT count(*) FROM challenges`)
			v.Header["Content-Type"] = []string{c.kind}
			if got := v.send(http.MethodPost, c.path, strings.NewReader(c.body)); got.Status != c.want {
				t.Errorf("got status %d, want %d: %s", got.Status, c.want, got.Text)
			}
			if after := w.number(`SELECT count(*) FROM attempts`) + w.number(`SELECT count(*) FROM challenges`); after != before {
				t.Errorf("%d tries and codes after, %d before", after, before)
			}
			if n := w.number(`SELECT coalesce(max(tries), 0) FROM challenges`); n != 0 {
				t.Errorf("%d codes were judged", n)
			}
		})
	}
	w.drained()
	if n := len(w.mail.Letters("")); n != 0 {
		t.Errorf("%d mails were sent", n)
	}
}

func TestAListOfAddressesInOneNameReachesNobody(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email)
	for _, typed := range []string{
		ada.Login + ",eve@evil.example", ada.Login + ";eve@evil.example", ada.Login + " eve@evil.example", "eve@evil.example," + ada.Login,
		ada.Login + "|eve@evil.example", "\"" + ada.Login + "\" <eve@evil.example>", ada.Login + "&login=eve@evil.example", ada.Login + "%0aeve@evil.example",
	} {
		w.visitor().asks(typed, "email")
	}
	w.drained()
	for _, l := range w.mail.Letters("") {
		t.Errorf("a mail went to %v", l.To)
	}
}

func TestAPostFromAnotherSiteIsForbiddenAndDoesNothing(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.proveTwice(ada)
	w.drained()
	ticket := w.srv.Flow.NotMe(v.id())
	before, events := v.attempt(), len(w.events(ada.ID))
	for name, headers := range map[string]map[string]string{
		"cross-site":                      {"Sec-Fetch-Site": "cross-site"},
		"a sibling host":                  {"Sec-Fetch-Site": "same-site"},
		"an origin of another site":       {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
		"an origin of another port":       {"Sec-Fetch-Site": "", "Origin": "http://localhost:1"},
		"no origin at all":                {"Sec-Fetch-Site": "", "Origin": "null"},
		"cross-site and a claimed origin": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, x := range headers {
				v.Header[k] = []string{x}
				if x == "" {
					v.Header[k] = nil
				}
			}
			defer func() { v.Header = http.Header{} }()
			for path, form := range map[string][]string{
				"/reset": {"login", ada.Login}, "/unlock": {"login", ada.Login}, "/change": {"login", ada.Login}, "/choose": {"way", "email"}, "/code": {"code", "12345678"},
				"/app-code": {"code", "123456"}, "/recovery-code": {"code", "X"}, "/new-password": {"password", fresh}, "/old-password": {"current", ada.Password, "password", fresh},
				"/unlock-now": nil, "/try-again": nil, "/extend": nil, "/cancel": nil, "/not-me": {"token", ticket},
			} {
				if got := v.post(path, form...); got.Status != http.StatusForbidden || !strings.Contains(got.Text, "another website") {
					t.Errorf("%s: got status %d, want 403: %s", path, got.Status, got.Text)
				}
			}
		})
	}
	if after := v.attempt(); fmt.Sprint(after) != fmt.Sprint(before) || len(w.events(ada.ID)) != events || w.number(`SELECT count(*) FROM attempts`) != 1 {
		t.Errorf("the try changed from %v to %v", before, after)
	}
	if !w.signsIn(ada, ada.Password) {
		t.Error("the password was changed")
	}
}

func TestAPasswordThatIsNoLineOfTextIsRefused(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.proveTwice(ada)
	before := fmt.Sprint(v.attempt())
	escaped := func(s string) string { return "password=" + s }
	for name, c := range map[string]struct {
		body    string
		chunked bool
		want    int
	}{
		"a megabyte":                        {escaped(strings.Repeat("a heron ", 1<<17)), false, 413},
		"a megabyte that comes in pieces":   {escaped(strings.Repeat("a heron ", 1<<17)), true, 413},
		"65,537 bytes":                      {escaped(strings.Repeat("a", 64<<10)), false, 413},
		"4,096 bytes":                       {escaped(strings.Repeat("ab7 ", 1024)[:4095] + "x"), false, 422},
		"4,097 bytes":                       {escaped(strings.Repeat("a", 4097)), false, 400},
		"a NUL inside":                      {escaped("a+heron+lands%00on+cold+water"), false, 400},
		"a NUL at the end":                  {escaped("a+heron+lands+on+cold+water%00"), false, 400},
		"a line feed":                       {escaped("a+heron+lands%0aon+cold+water"), false, 400},
		"a line end at the end":             {escaped("a+heron+lands+on+cold+water%0d%0a"), false, 400},
		"an escape character":               {escaped("a+heron+lands%1b[0mon+cold+water"), false, 400},
		"a delete":                          {escaped("a+heron+lands%7fon+cold+water"), false, 400},
		"no UTF-8":                          {escaped("a+heron+lands+on+cold+water%ff"), false, 400},
		"an overlong NUL":                   {escaped("a+heron+lands%c0%80on+cold+water"), false, 400},
		"none":                              {"", false, 422},
		"spaces":                            {escaped(strings.Repeat("+", 20)), false, 422},
		"twice":                             {escaped("a+heron+lands+on+cold+water") + "&password=another+heron+somewhere", false, 400},
		"a list":                            {"password[]=a+heron+lands+on+cold+water", false, 400},
		"a next-line control inside":        {escaped("a+heron+lands%c2%85on+cold+water"), false, 422},
		"the person's own name, repeatedly": {escaped("ada+ada+ada+ada+ada+ada"), false, 422},
	} {
		t.Run(name, func(t *testing.T) {
			var in io.Reader = strings.NewReader(c.body)
			if c.chunked {
				in = struct{ io.Reader }{in} // no length anybody could know
			}
			got := v.send(http.MethodPost, "/new-password", in)
			if got.Status != c.want {
				t.Errorf("got status %d, want %d: %s", got.Status, c.want, got.Text)
			}
			if strings.Contains(got.HTML, "heron lands") {
				t.Error("the page shows what was sent")
			}
		})
	}
	if after := fmt.Sprint(v.attempt()); after != before {
		t.Errorf("the try changed from %v to %v", before, after)
	}
	if w.number(`SELECT count(*) FROM writes`) != 0 || !w.signsIn(ada, ada.Password) {
		t.Error("something was written")
	}
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
}

func TestACodePageOpenedInAnotherBrowserSaysSo(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	v.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 1)
	for _, path := range []string{"/choose", "/code", "/app-code", "/recovery-code", "/nothing-arrived", "/cannot-finish", "/new-password", "/old-password", "/unlock-now"} {
		w.visitor().get(path).want(t, 200, path, "This link belongs to another browser")
		stale := w.visitor()
		unknown, _ := keyring.NewToken("rgn_try")
		stale.cookie("regain-try", unknown)
		stale.get(path).want(t, 200, path, "This link belongs to another browser")
	}
	other := w.visitor()
	for _, c := range v.cookies() {
		if c.Name == "regain-code" { // which code was asked for is no secret; the browser's is
			other.cookie(c.Name, c.Value)
		}
	}
	other.post("/code", "code", code).want(t, 410, "/code", "There is nothing to continue here")
	if n := w.number(`SELECT max(tries) FROM challenges`); n != 0 || v.state() != "started" {
		t.Errorf("%d tries, state %s", n, v.state())
	}
	v.post("/code", "code", code).want(t, 200, "/choose", "Prove it one more way")
}

func TestAPostToALaterStepChangesNothing(t *testing.T) {
	w := newWorld(t, scene{})
	ada := w.add("ada", method.Email, method.SMS)
	v := w.visitor()
	early := func(at string) {
		t.Helper()
		before := v.attempt()
		for path, form := range map[string][]string{
			"/new-password": {"password", fresh}, "/old-password": {"current", ada.Password, "password", fresh}, "/unlock-now": nil, "/try-again": nil,
		} {
			if got := v.post(path, form...); got.Status != 200 || got.Path != at {
				t.Errorf("POST %s: got status %d at %s, want to be led to %s", path, got.Status, got.Path, at)
			}
		}
		for _, path := range []string{"/new-password", "/old-password", "/unlock-now", "/progress"} {
			v.get(path).want(t, 200, at)
		}
		if after := v.attempt(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("the try changed from %v to %v", before, after)
		}
	}
	v.post("/reset", "login", ada.Login).want(t, 200, "/choose")
	early("/choose")
	v.post("/code", "code", "12345678").want(t, 200, "/choose") // no code was asked for
	v.post("/choose", "way", "totp").want(t, 422, "/choose")    // never a first proof
	v.post("/choose", "way", "email").want(t, 200, "/code")
	early("/choose")
	v.post("/code", "code", w.mailCode(ada.Email, 1)).want(t, 200, "/choose")
	early("/choose")
	v.post("/choose", "way", newID()).want(t, 422, "/choose") // nobody's way
	v.chooseKind("sms")
	v.post("/code", "code", w.textCode(ada.Phone, 1)).want(t, 200, "/new-password")
	before := v.attempt()
	for path, form := range map[string][]string{
		"/choose": {"way", "email"}, "/code": {"code", "12345678"}, "/recovery-code": {"code", "X"}, "/unlock-now": nil, "/try-again": nil,
		"/old-password": {"current", ada.Password, "password", fresh},
	} {
		v.post(path, form...).want(t, 200, "/new-password")
	}
	if after := v.attempt(); fmt.Sprint(after) != fmt.Sprint(before) || !w.signsIn(ada, ada.Password) {
		t.Errorf("the try changed from %v to %v", before, after)
	}
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
	before = v.attempt()
	for path, form := range map[string][]string{
		"/choose": {"way", "email"}, "/code": {"code", "12345678"}, "/new-password": {"password", "another heron on another lake"}, "/unlock-now": nil,
		"/try-again": nil, "/extend": nil, "/cancel": nil, "/old-password": {"current", fresh, "password", "another heron on another lake"},
	} {
		v.post(path, form...).want(t, 200, "/progress", "Your password is changed")
	}
	if after := v.attempt(); fmt.Sprint(after) != fmt.Sprint(before) || !w.signsIn(ada, fresh) || w.number(`SELECT count(*) FROM writes`) != 1 {
		t.Errorf("the try changed from %v to %v", before, after)
	}
}

func TestWithoutItsDatabaseTheServerAnswers503AndNeverOpens(t *testing.T) {
	pg := testserver.NewPostgres(t, true)
	w := newWorld(t, scene{kind: store.PostgreSQL, change: func(s *Setup) { s.Database = pg.URL }})
	w.db = pg.URL
	ada := w.add("ada", method.Email, method.SMS)
	v, other := w.visitor(), w.visitor()
	v.proveTwice(ada)
	other.asks(ada.Login, "email")
	code := w.mailCode(ada.Email, 2)
	w.drained()
	ticket := w.srv.Flow.NotMe(v.id())
	pg.Crash(t)
	for path, form := range map[string][]string{
		"/reset": {"login", ada.Login}, "/choose": {"way", "email"}, "/code": {"code", code}, "/new-password": {"password", fresh}, "/unlock-now": nil,
		"/old-password": {"current", ada.Password, "password", fresh}, "/extend": nil, "/cancel": nil, "/try-again": nil, "/not-me": {"token", ticket},
	} {
		for _, who := range []*visitor{v, other} {
			got := who.post(path, form...)
			if got.Status != 503 || got.Header.Get("Retry-After") == "" || got.Path != path {
				t.Errorf("POST %s: got status %d at %s, want 503 with Retry-After: %s", path, got.Status, got.Path, got.Text)
			}
		}
	}
	for _, path := range []string{"/choose", "/code", "/new-password", "/progress", "/nothing-arrived", "/not-me?t=" + ticket, "/healthz/ready"} {
		if got := v.get(path); got.Status != 503 {
			t.Errorf("GET %s: got status %d, want 503", path, got.Status)
		}
	}
	if !w.signsIn(ada, ada.Password) || w.signsIn(ada, fresh) {
		t.Error("a password was written without a record of it")
	}
	pg.Start(t)
	if s := other.state(); s != "started" {
		t.Errorf("the other try is %s", s)
	}
	v.post("/new-password", "password", fresh).want(t, 200, "/progress", "Your password is changed")
}
