package demoidp

import (
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

// maxTries is how many wrong passwords and codes one request takes.
const maxTries = 10

// request finds the request of a sign-in page, if it is this browser's.
func (p *Provider) request(r *http.Request) (id string, a *request) {
	id = r.PathValue("id")
	p.mu.Lock()
	defer p.mu.Unlock()
	a = p.requests.get(id, p.cfg.Now())
	if a == nil || !same(a.browser, hash(cookie(r, browserCookie))) {
		return id, nil
	}
	return id, a
}

// close ends a request and says whether this was the call that did.
func (p *Provider) close(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, open := p.requests.kept[id]
	p.requests.drop(id)
	return open
}

// known returns who has shown the password for a request, or in the session if that still counts.
func (p *Provider) known(r *http.Request, a *request) *Person {
	p.mu.Lock()
	half, again := a.half, a.again
	p.mu.Unlock()
	if half != nil {
		return half
	}
	if s := p.session(r); s != nil && !again && s.class == Password {
		return s.person
	}
	return nil
}

func (p *Provider) signInPage(w http.ResponseWriter, r *http.Request) {
	id, a := p.request(r)
	if a == nil {
		p.fault(w, r, http.StatusNotFound, "fault.over")
		return
	}
	if who := p.known(r, a); who != nil && a.second() {
		p.codePage(w, r, id, a, who, "")
		return
	}
	login := a.hint
	if s := p.session(r); login == "" && s != nil {
		login = s.person.Login
	}
	p.firstPage(w, r, id, a, login, "")
}

// firstView is the page that asks who somebody is. DeviceFirst where a password would not do.
type firstView struct {
	ID, Login, Wrong, Guide string
	DeviceFirst             bool
}

func (p *Provider) firstPage(w http.ResponseWriter, r *http.Request, id string, a *request, login, wrong string) {
	only := slices.Contains(a.classes, Passwordless) && !slices.Contains(a.classes, SecondFactor) && !slices.Contains(a.classes, Password)
	p.show(w, r, status(wrong), "first", "first.title", a.locale, firstView{ID: id, Login: login, Wrong: wrong, Guide: p.cfg.Guide, DeviceFirst: only})
}

// codeView is the page that asks for the second factor.
type codeView struct{ ID, Login, Wrong, Guide string }

func (p *Provider) codePage(w http.ResponseWriter, r *http.Request, id string, a *request, who *Person, wrong string) {
	p.show(w, r, status(wrong), "code", "code.title", a.locale, codeView{ID: id, Login: who.Login, Wrong: wrong, Guide: p.cfg.Guide})
}

func status(wrong string) int {
	if wrong != "" {
		return http.StatusUnprocessableEntity
	}
	return http.StatusOK
}

// signIn takes one step of signing in.
func (p *Provider) signIn(w http.ResponseWriter, r *http.Request) {
	id, a := p.request(r)
	if a == nil {
		p.fault(w, r, http.StatusNotFound, "fault.over")
		return
	}
	if err := r.ParseForm(); err != nil {
		p.fault(w, r, http.StatusBadRequest, "fault.request")
		return
	}
	login := r.PostForm.Get("login")
	switch r.PostForm.Get("step") {
	case "password":
		who := p.people[fold(login)]
		switch {
		case !p.mayTry(id, a):
			p.leave(w, r, id, a)
		case who == nil || !p.cfg.AcceptPassword(who.Login, r.PostForm.Get("password")):
			p.firstPage(w, r, id, a, login, "first.wrong")
		case a.second():
			p.mu.Lock()
			a.half = who
			p.mu.Unlock()
			http.Redirect(w, r, "/sign-in/"+id, http.StatusSeeOther)
		default:
			p.signedIn(w, r, id, a, who, Password, "pwd")
		}
	case "device":
		who := p.people[fold(login)]
		if who == nil || !who.Device {
			p.firstPage(w, r, id, a, login, "first.no_device")
			return
		}
		p.signedIn(w, r, id, a, who, Passwordless, "hwk", "user")
	case "code", "less":
		who := p.known(r, a)
		switch {
		case who == nil:
			p.firstPage(w, r, id, a, a.hint, "")
		case r.PostForm.Get("step") == "less":
			p.less(w, r, id, a, who)
		case !p.mayTry(id, a):
			p.leave(w, r, id, a)
		case who.Code == "" || !same(who.Code, r.PostForm.Get("code")):
			p.codePage(w, r, id, a, who, "code.wrong")
		default:
			p.signedIn(w, r, id, a, who, SecondFactor, "pwd", "otp", "mfa")
		}
	case "other":
		p.mu.Lock()
		a.half, a.again = nil, true
		p.mu.Unlock()
		http.Redirect(w, r, "/sign-in/"+id, http.StatusSeeOther)
	case "cancel":
		p.leave(w, r, id, a)
	default:
		p.fault(w, r, http.StatusBadRequest, "fault.request")
	}
}

// less goes on without the second factor: with the password given for this request, or with the session as old as it is.
func (p *Provider) less(w http.ResponseWriter, r *http.Request, id string, a *request, who *Person) {
	p.mu.Lock()
	given := a.half != nil
	p.mu.Unlock()
	s := p.session(r)
	switch {
	case given || s == nil:
		p.signedIn(w, r, id, a, who, Password, "pwd")
	case !p.close(id):
		p.fault(w, r, http.StatusNotFound, "fault.over")
	default:
		p.answer(w, r, a, s)
	}
}

// mayTry counts a try before it is judged.
func (p *Provider) mayTry(id string, a *request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	a.tries++
	return a.tries <= maxTries && p.requests.kept[id] == a
}

// leave ends a request without anybody signed in by it.
func (p *Provider) leave(w http.ResponseWriter, r *http.Request, id string, a *request) {
	if !p.close(id) {
		p.fault(w, r, http.StatusNotFound, "fault.over")
		return
	}
	p.refuse(w, r, a, "access_denied")
}

// signedIn ends a request with somebody signed in. The session's cookie is a new one; its sid stays for the same person.
func (p *Provider) signedIn(w http.ResponseWriter, r *http.Request, id string, a *request, who *Person, class string, means ...string) {
	if !p.close(id) {
		p.fault(w, r, http.StatusNotFound, "fault.over")
		return
	}
	s := &session{id: rand.Text(), person: who, class: class, means: means, signedIn: p.cfg.Now()}
	if old := p.session(r); old != nil && old.person == who {
		s.id = old.id
	}
	token := rand.Text()
	p.mu.Lock()
	p.sessions.drop(hash(cookie(r, sessionCookie)))
	p.sessions.put(hash(token), s, p.cfg.Now())
	p.mu.Unlock()
	p.setCookie(w, sessionCookie, token)
	p.answer(w, r, a, s)
}

// homeView is the provider's own page. Person is nil when nobody is signed in.
type homeView struct {
	Person *Person
	Class  string // key of its name
	Since  time.Time
	Guide  string
}

func (p *Provider) home(w http.ResponseWriter, r *http.Request) {
	v := homeView{Guide: p.cfg.Guide}
	if s := p.session(r); s != nil {
		v.Person, v.Since = s.person, s.signedIn
		v.Class = map[string]string{Password: "class.password", SecondFactor: "class.second", Passwordless: "class.device"}[s.class]
	}
	p.show(w, r, http.StatusOK, "home", "home.title", "", v)
}

// signInHere begins a sign-in that no application asked for.
func (p *Provider) signInHere(w http.ResponseWriter, r *http.Request) {
	p.open(w, r, &request{again: true})
}
