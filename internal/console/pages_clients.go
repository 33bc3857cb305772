package console

import (
	"net/url"
	"slices"
	"time"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/message"
	"github.com/regain-id/regain/internal/web"
)

// AppsPage lists the apps.
type AppsPage struct{ Apps []client.App }

// Page renders the view.
func (v AppsPage) Page() web.Page {
	return web.Page{Template: "console-apps", Title: message.Key("console.apps.heading"), Data: v}
}

// Path is where an app is shown.
func (v AppsPage) Path(key string) string { return PathApps + "/" + key }

// May says what an app may ask for.
func (v AppsPage) May(a client.App) []message.Message { return may(a) }

// How says how an app proves who it is.
func (v AppsPage) How(a client.App) message.Message { return authWords(a) }

// AppPage shows one app.
type AppPage struct {
	App client.App
	Now time.Time
}

// Path is where the app is shown.
func (v AppPage) Path() string { return PathApps + "/" + v.App.Key }

// Version is what a change has to name.
func (v AppPage) Version() int64 { return v.App.Version }

// May says what the app may ask for.
func (v AppPage) May() []message.Message { return may(v.App) }

// Asks reports whether the app asks by OpenID Connect, and not only links here.
func (v AppPage) Asks() bool { return v.App.Asks() }

// How says how the app proves who it is.
func (v AppPage) How() message.Message { return authWords(v.App) }

// Known says by what the app gets to know people.
func (v AppPage) Known() message.Message {
	if v.App.Subject == client.Public {
		return message.Key("console.subject.public")
	}
	return message.Key("console.subject.pairwise")
}

// Rotates reports whether the app has a secret that can be made anew here.
func (v AppPage) Rotates() bool { return v.App.Asks() && v.App.Auth == client.AuthSecret }

// Secrets are the app's secrets or keys, by what can be told of them.
func (v AppPage) Secrets() []Secret {
	var all []Secret
	for _, s := range v.App.Secrets {
		all = append(all, Secret{Made: s.Created, Ends: s.Expires, Now: v.Now})
	}
	for _, k := range v.App.Keys {
		all = append(all, Secret{Name: k.ID, Made: k.Created, Ends: k.Expires, Now: v.Now})
	}
	return all
}

// Page renders the view.
func (v AppPage) Page() web.Page {
	return web.Page{Template: "console-app", Title: message.Key("console.app.title", "Name", v.App.Name), Data: v}
}

// may says what an app may ask for; nothing when it does not ask.
func may(a client.App) []message.Message {
	if !a.Asks() {
		return nil
	}
	var all []message.Message
	for _, x := range a.Actions {
		all = append(all, message.Message{Key: "console.may." + string(x)})
	}
	return all
}

func authWords(a client.App) message.Message {
	switch {
	case !a.Asks():
		return message.Key("console.auth.none")
	case a.Auth == client.AuthKey:
		return message.Key("console.auth.key")
	}
	return message.Key("console.auth.secret")
}

// Secret is what can be told of a secret or a key: never itself.
type Secret struct {
	Name string // of a key
	Made time.Time
	Ends time.Time // zero: no end
	Now  time.Time
}

// State says whether it works, and until when.
func (s Secret) State() Note {
	switch {
	case s.Ends.IsZero():
		return Note{"ok", message.Key("console.secret.works")}
	case s.Ends.After(s.Now):
		return Note{"warn", message.Key("console.secret.until", "At", s.Ends)}
	}
	return Note{"", message.Key("console.secret.ended", "At", s.Ends)}
}

// SecretPage shows a new secret, this once.
type SecretPage struct {
	Name   string    // of the app or receiver
	Secret string    // gone once the page is left
	Until  time.Time // when those before it end; zero: they have ended
	Back   string
}

// Page renders the view.
func (v SecretPage) Page() web.Page {
	return web.Page{Template: "console-secret", Title: message.Key("console.new_secret.heading"), Data: v}
}

// HeardBy is one line of the list of receivers.
type HeardBy struct {
	client.Receiver
	Streams int
	Health  client.Health
	Failing bool // the last delivery by one of its ways failed
}

// Path is where the receiver is shown.
func (h HeardBy) Path() string { return PathReceivers + "/" + h.Key }

// KindWords says by what protocol it hears.
func (h HeardBy) KindWords() message.Message { return receiverKindWords(h.Receiver.Kind) }

// Goes says in a word how deliveries go.
func (h HeardBy) Goes() Note { return goes(h.Health, h.Failing, h.Disabled) }

// ReceiversPage lists the receivers.
type ReceiversPage struct{ Receivers []HeardBy }

// Page renders the view.
func (v ReceiversPage) Page() web.Page {
	return web.Page{Template: "console-receivers", Title: message.Key("console.receivers.heading"), Data: v}
}

// StreamOf is one stream of a receiver, and how it goes.
type StreamOf struct {
	client.Stream
	Health client.Health
}

// How says how what happened gets there: by host only, for an address may hold what is nobody else's.
func (s StreamOf) How() message.Message {
	if s.Delivery == "poll" {
		return message.Key("console.stream.poll")
	}
	return message.Key("console.stream.push", "Host", host(s.Endpoint))
}

// State says whether events go out.
func (s StreamOf) State() Note {
	switch s.Status {
	case client.StreamEnabled:
		return Note{"ok", message.Key("console.stream.enabled")}
	case client.StreamPaused:
		return Note{"warn", message.Key("console.stream.paused")}
	}
	return Note{"bad", message.Key("console.stream.disabled")}
}

// ReceiverPage shows one receiver, and how what it hears arrives. It shows no bodies: neither what was sent nor what came
// back.
type ReceiverPage struct {
	Receiver client.Receiver
	Streams  []StreamOf
	Health   client.Health
	Failing  bool            // the last delivery by one of its ways failed
	Note     message.Message // what was just done
	Tests    bool            // there is somebody who sends tests
	Now      time.Time
}

// Path is where the receiver is shown.
func (v ReceiverPage) Path() string { return PathReceivers + "/" + v.Receiver.Key }

// Version is what a change has to name.
func (v ReceiverPage) Version() int64 { return v.Receiver.Version }

// Kind says by what protocol it hears.
func (v ReceiverPage) Kind() message.Message { return receiverKindWords(v.Receiver.Kind) }

// Webhook reports whether the receiver hears by webhooks.
func (v ReceiverPage) Webhook() bool { return v.Receiver.Kind == client.ReceiverWebhook }

// Host is where webhooks go.
func (v ReceiverPage) Host() string { return host(v.Receiver.URL) }

// Goes says in a word how deliveries go.
func (v ReceiverPage) Goes() Note { return goes(v.Health, v.Failing, v.Receiver.Disabled) }

// NoTest says why no test can be sent; the zero value when one can.
func (v ReceiverPage) NoTest() message.Message {
	switch {
	case v.Receiver.Disabled:
		return message.Key("console.receiver.test.disabled")
	case !v.Webhook() && !slices.ContainsFunc(v.Streams, func(s StreamOf) bool { return s.Status == client.StreamEnabled }):
		return message.Key("console.receiver.test.no_stream")
	}
	return message.Message{}
}

// About says how the receiver is told whom something is about.
func (v ReceiverPage) About() message.Message {
	switch v.Receiver.Format {
	case client.FormatIssSub:
		return message.Key("console.format.iss_sub")
	case client.FormatEmail:
		return message.Key("console.format.email")
	}
	return message.Key("console.format.opaque")
}

// Secrets are the receiver's secrets, by what can be told of them.
func (v ReceiverPage) Secrets() []Secret {
	var all []Secret
	for _, s := range v.Receiver.Secrets {
		all = append(all, Secret{Made: s.Created, Ends: s.Expires, Now: v.Now})
	}
	for _, s := range v.Receiver.Sign {
		all = append(all, Secret{Made: s.Created, Ends: s.Expires, Now: v.Now})
	}
	return all
}

// Page renders the view.
func (v ReceiverPage) Page() web.Page {
	return web.Page{Template: "console-receiver", Title: message.Key("console.receiver.title", "Name", v.Receiver.Name), Data: v}
}

func receiverKindWords(k client.ReceiverKind) message.Message {
	if k == client.ReceiverWebhook {
		return message.Key("console.receiver.webhook")
	}
	return message.Key("console.receiver.ssf")
}

// goes says in a word how deliveries go.
func goes(h client.Health, failing, disabled bool) Note {
	switch {
	case disabled:
		return Note{"bad", message.Key("console.disabled")}
	case h.Good.IsZero() && h.Bad.IsZero():
		return Note{"", message.Key("console.health.nothing")}
	case failing:
		return Note{"bad", message.Key("console.health.failing")}
	}
	return Note{"ok", message.Key("console.health.arriving")}
}

// host is the host of an address; its path and query may hold what is nobody else's.
func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// The notes that the next page says.
const (
	cookieNote = "console-note"
	noteTested = "tested"
	noteAge    = time.Minute
)

// noted returns what is to be said first, and forgets it.
func noted(r *web.Request) (message.Message, []web.Cookie) {
	if r.Cookie(cookieNote) != noteTested {
		return message.Message{}, nil
	}
	return message.Key("console.receiver.tested"), []web.Cookie{{Name: cookieNote, MaxAge: -time.Second}}
}
