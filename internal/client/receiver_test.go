package client

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

var madeAt = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func hook() Receiver {
	return Receiver{Key: "siem", Name: "SIEM", Kind: ReceiverWebhook, Events: []string{"password.reset"}, Format: FormatOpaque, URL: "https://siem.example/in",
		Sign: []SignSecret{{ID: "1", Secret: bytes.Repeat([]byte{1}, 32), Created: madeAt}}}
}

func ssf() Receiver {
	return Receiver{Key: "okta", Name: "Okta", Kind: ReceiverSSF, Format: FormatIssSub, IDP: "work", Audience: "https://okta.example/x", Hosts: []string{"okta.example", "127.0.0.1:8443"},
		Secrets: []Token{{ID: "1", Hash: []byte("h"), Created: madeAt}}}
}

func TestAReceiverIsChecked(t *testing.T) {
	for _, good := range []Receiver{hook(), ssf()} {
		if err := good.Check(); err != nil {
			t.Errorf("%s: %v", good.Key, err)
		}
	}
	for name, spoil := range map[string]func(*Receiver){
		"a key with a slash":            func(r *Receiver) { r.Key = "a/b" },
		"a name of two lines":           func(r *Receiver) { r.Name = "a\nb" },
		"no name":                       func(r *Receiver) { r.Name = "" },
		"a kind there is not":           func(r *Receiver) { r.Kind = "fax" },
		"an event of the other kind":    func(r *Receiver) { r.Events = []string{CredentialChange} },
		"an event that nobody is told":  func(r *Receiver) { r.Events = []string{"code.asked"} },
		"an event twice":                func(r *Receiver) { r.Events = []string{"password.reset", "password.reset"} },
		"no format":                     func(r *Receiver) { r.Format = "" },
		"a provider for opaque names":   func(r *Receiver) { r.IDP = "work" },
		"an address without encryption": func(r *Receiver) { r.URL = "http://siem.example/in" },
		"an address with a password":    func(r *Receiver) { r.URL = "https://a:b@siem.example/in" },
		"no address":                    func(r *Receiver) { r.URL = "" },
		"an audience":                   func(r *Receiver) { r.Audience = "x" },
		"client secrets":                func(r *Receiver) { r.Secrets = []Token{{}} },
		"three secrets":                 func(r *Receiver) { r.Sign = make([]SignSecret, 3) },
		"a secret that is short":        func(r *Receiver) { r.Sign[0].Secret = []byte("short") },
	} {
		r := hook()
		spoil(&r)
		if r.Check() == nil {
			t.Errorf("webhook with %s: taken", name)
		}
	}
	for name, spoil := range map[string]func(*Receiver){
		"an event of the other kind": func(r *Receiver) { r.Events = []string{"password.reset"} },
		"no audience":                func(r *Receiver) { r.Audience = "" },
		"an audience with a space":   func(r *Receiver) { r.Audience = "a b" },
		"an address":                 func(r *Receiver) { r.URL = "https://x.example/" },
		"a secret to sign with":      func(r *Receiver) { r.Sign = make([]SignSecret, 1) },
		"a host with a path":         func(r *Receiver) { r.Hosts = []string{"x.example/y"} },
		"a host with a user":         func(r *Receiver) { r.Hosts = []string{"u@x.example"} },
		"a host in capitals":         func(r *Receiver) { r.Hosts = []string{"X.example"} },
		"a host twice":               func(r *Receiver) { r.Hosts = []string{"x.example", "x.example"} },
		"no host":                    func(r *Receiver) { r.Hosts = []string{""} },
		"three secrets":              func(r *Receiver) { r.Secrets = make([]Token, 3) },
	} {
		r := ssf()
		spoil(&r)
		if r.Check() == nil {
			t.Errorf("ssf with %s: taken", name)
		}
	}
}

func TestAReceiverHearsWhatItIsNamedOrAllThereIs(t *testing.T) {
	r := hook()
	if !r.Hears("password.reset") || r.Hears("method.added") {
		t.Error("a receiver with a list hears what stands in it")
	}
	r.Events = nil
	if !r.Hears("method.added") || r.Hears("code.asked") || r.Hears(CredentialChange) {
		t.Error("a receiver without a list hears all there is for its kind, and nothing else")
	}
}

func TestEventsArePushedToRegisteredHostsOnly(t *testing.T) {
	r := ssf()
	for endpoint, want := range map[string]bool{
		"https://okta.example/events": true, "https://127.0.0.1:8443/": true, "http://127.0.0.1:8443/": true,
		"https://okta.example:444/": false, "https://okta.example.evil.example/": false, "https://evil.example/okta.example": false, "https://okta.example@evil.example/": false,
		"http://okta.example/": false, "https://127.0.0.1/": false, "//okta.example/": false, "https://okta.example\\@evil.example/": false, "": false, "file:///etc/passwd": false,
		"https://sub.okta.example/": false, "https://okta.example./": false, "https://okta.example/#x": false,
	} {
		if err := r.MayPush(endpoint); (err == nil) != want {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestANewSecretLetsTheOldOneEndAtATime(t *testing.T) {
	r := ssf()
	day := madeAt.Add(24 * time.Hour)
	if err := r.AddSecret(Token{ID: "2", Hash: []byte("two"), Created: madeAt}, day); err != nil {
		t.Fatal(err)
	}
	if len(r.Secrets) != 2 || !r.Secrets[0].Expires.Equal(day) || !r.Secrets[1].Expires.IsZero() {
		t.Fatalf("got %+v", r.Secrets)
	}
	if live := r.LiveSecrets(day.Add(-1)); len(live) != 2 {
		t.Errorf("before its end: %d live", len(live))
	}
	if live := r.LiveSecrets(day); len(live) != 1 || string(live[0]) != "two" {
		t.Errorf("at its end: %q live", live)
	}
	// A later rotation does not lengthen what was to end, and a third secret pushes the oldest out.
	if err := r.AddSecret(Token{ID: "3", Hash: []byte("three"), Created: madeAt}, day.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if len(r.Secrets) != 2 || r.Secrets[0].ID != "2" || r.Secrets[1].ID != "3" {
		t.Errorf("got %+v", r.Secrets)
	}
	if err := r.AddSecret(Token{ID: "4", Hash: []byte("four"), Created: madeAt}, time.Time{}); err != nil || len(r.Secrets) != 1 || r.Secrets[0].ID != "4" {
		t.Errorf("without time to change over: %+v, %v", r.Secrets, err)
	}
}

func TestDuringRotationBothSecretsSign(t *testing.T) {
	r := hook()
	hour := madeAt.Add(time.Hour)
	if err := r.AddSign(SignSecret{ID: "2", Secret: bytes.Repeat([]byte{2}, 32), Created: madeAt}, hour); err != nil {
		t.Fatal(err)
	}
	if live := r.LiveSign(madeAt); len(live) != 2 || live[0][0] != 2 || live[1][0] != 1 {
		t.Errorf("got %v", live)
	}
	if live := r.LiveSign(hour); len(live) != 1 || live[0][0] != 2 {
		t.Errorf("after: %v", live)
	}
	if !r.Disable(true) || r.Disable(true) || !r.Disabled {
		t.Error("disabling tells whether it changed anything")
	}
}

func TestAStreamIsChecked(t *testing.T) {
	r := ssf()
	good := Stream{Delivery: DeliverPush, Endpoint: "https://okta.example/events", Authorization: "Bearer x", Status: StreamEnabled}
	if err := good.Check(&r); err != nil {
		t.Error(err)
	}
	if poll := (Stream{Delivery: DeliverPoll, Status: StreamPaused}); poll.Check(&r) != nil {
		t.Error("poll:", poll.Check(&r))
	}
	for name, spoil := range map[string]func(*Stream){
		"another host":             func(s *Stream) { s.Endpoint = "https://evil.example/" },
		"no way of delivery":       func(s *Stream) { s.Delivery = "" },
		"poll with an address":     func(s *Stream) { s.Delivery = DeliverPoll },
		"a header of two lines":    func(s *Stream) { s.Authorization = "Bearer x\r\nHost: evil" },
		"a header without end":     func(s *Stream) { s.Authorization = strings.Repeat("x", 5000) },
		"too many types":           func(s *Stream) { s.Requested = make([]string, 65) },
		"a type with a space":      func(s *Stream) { s.Requested = []string{"a b"} },
		"a description over lines": func(s *Stream) { s.Description = "a\nb" },
		"a profile nobody knows":   func(s *Stream) { s.Profile = "x" },
		"no status":                func(s *Stream) { s.Status = "" },
	} {
		s := good
		spoil(&s)
		if s.Check(&r) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	h := hook()
	if good.Check(&h) == nil {
		t.Error("a webhook's receiver got a stream")
	}
}
