package signal

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/regain-id/regain/internal/client"
)

func TestABodyIsOneObjectWhoseMembersStandOnce(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "", `{"a":1,"A":2}`: "", ` {"a":{"b":[]}} `: "",
		``: "not a JSON object", `[]`: "not a JSON object", `"{}"`: "not a JSON object", `null`: "not a JSON object",
		`{"a":1`: "not a JSON object", `{"a" 1}`: "not a JSON object", `{"a":1,}`: "not a JSON object", `{a:1}`: "not a JSON object",
		`{"a":1,"a":1}`: "a member stands twice", `{"a":1,"\u0061":2}`: "a member stands twice",
		`{} {}`: "something follows the JSON object", `{}x`: "something follows the JSON object",
		"{\"a\":\"\xff\"}": "not UTF-8",
	} {
		_, err := parseObject([]byte(text))
		if got := textOf(err); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMembersAreReadByTheirNameToTheLetter(t *testing.T) {
	o := have[object](t)(parseObject([]byte(`{"Stream_ID":"x","stream_id":"y","none":null,"n":3,"long":"` + strings.Repeat("x", 20) + `","line":"a\nb","list":["a","b"],"odd":["a",null],"flag":true}`)))
	if s, err := o.text("stream_id", 10); s != "y" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
	if s, err := o.text("none", 10); s != "" || err != nil || o.has("none") {
		t.Errorf("null: got %q, %v", s, err)
	}
	for _, name := range []string{"n", "long", "line", "list"} {
		if s, err := o.text(name, 10); err == nil {
			t.Errorf("%s is taken as the text %q", name, s)
		}
	}
	if l, err := o.texts("list", 2, 1); !slices.Equal(l, []string{"a", "b"}) || err != nil {
		t.Errorf("list: %q, %v", l, err)
	}
	if _, err := o.texts("list", 1, 1); err == nil {
		t.Error("a list of two is taken where one may stand")
	}
	for _, name := range []string{"odd", "n", "flag"} {
		if l, err := o.texts(name, 9, 9); err == nil {
			t.Errorf("%s is taken as the list %q", name, l)
		}
	}
	if _, err := o.flag("n"); err == nil {
		t.Error("3 is taken as true or false")
	}
	if _, err := o.child("list"); err == nil {
		t.Error("a list is taken as an object")
	}
}

// crm is a receiver that may have events pushed to two hosts.
func crm() *client.Receiver {
	return &client.Receiver{ID: "r1", Key: "crm", Name: "CRM", Kind: client.ReceiverSSF, Format: client.FormatOpaque, Audience: "https://crm.example",
		Hosts: []string{"crm.example", "events.crm.example:8443"}}
}

const pollAddress = "https://account.example.org/ssf/poll/s1"

func TestAReceiverChoosesWhatIsItsOwnOfAStream(t *testing.T) {
	began := func() *client.Stream {
		return &client.Stream{ID: "s1", Receiver: "r1", Delivery: client.DeliverPush, Endpoint: "https://crm.example/a", Authorization: "Bearer one",
			Requested: []string{"x"}, Description: "first", Status: client.StreamEnabled}
	}
	type outcome struct{ delivery, endpoint, authorization, requested, description, profile string }
	same := outcome{"push", "https://crm.example/a", "Bearer one", "x", "first", ""}
	for _, test := range []struct {
		name, text string
		whole      bool
		want       outcome
	}{
		{"nothing said changes nothing", `{}`, false, same},
		{"nothing said replaces all by what there is without", `{}`, true, outcome{"poll", "", "", "", "", ""}},
		{"null is as good as nothing", `{"delivery":null,"events_requested":null,"description":null}`, false, same},
		{"a description alone", `{"description":"second"}`, false, outcome{"push", "https://crm.example/a", "Bearer one", "x", "second", ""}},
		{"events alone", `{"events_requested":["y","z"]}`, false, outcome{"push", "https://crm.example/a", "Bearer one", "y z", "first", ""}},
		{"a delivery is one thing: without a header there is none", `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/b"}}`, false,
			outcome{"push", "https://crm.example/b", "", "x", "first", ""}},
		{"a registered port", `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://events.crm.example:8443/b","authorization_header":"Basic eA=="}}`, false,
			outcome{"push", "https://events.crm.example:8443/b", "Basic eA==", "x", "first", ""}},
		{"poll", `{"delivery":{"method":"urn:ietf:rfc:8936"}}`, false, outcome{"poll", "", "", "x", "first", ""}},
		{"poll at our address", `{"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"` + pollAddress + `"}}`, false, outcome{"poll", "", "", "x", "first", ""}},
		{"the older name of push asks for the older shape", `{"delivery":{"method":"https://schemas.openid.net/secevent/risc/delivery-method/push","endpoint_url":"https://crm.example/b"}}`, true,
			outcome{"push", "https://crm.example/b", "", "", "", "sse-id1"}},
		{"members nobody knows", `{"colour":"red","delivery":{"method":"urn:ietf:rfc:8936","x":1}}`, false, outcome{"poll", "", "", "x", "first", ""}},
		{"a long description is cut", `{"description":"` + strings.Repeat("ä", 300) + `"}`, false, outcome{"push", "https://crm.example/a", "Bearer one", "x", strings.Repeat("ä", 150), ""}},
	} {
		s := began()
		d, err := parseDraft(have[object](t)(parseObject([]byte(test.text))))
		if err == nil {
			err = d.apply(s, crm(), test.whole, pollAddress)
		}
		got := outcome{s.Delivery, s.Endpoint, s.Authorization, strings.Join(s.Requested, " "), s.Description, s.Profile}
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v, want %+v", test.name, got, err, test.want)
		}
		if err := s.Check(crm()); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// C1 of the attack list begins here: events go to hosts that staff registered, and an address is read as it will be used.
func TestAHostileReceiverCannotHaveEventsPushedElsewhere(t *testing.T) {
	for _, address := range []string{
		"", "http://crm.example/a", "https://evil.example/", "https://crm.example.evil.example/", "https://evilcrm.example/", "https://crm.example@evil.example/", "https://user@crm.example/",
		"https://crm.example:8443/", "https://events.crm.example/", "https://crm.example/#x", "https://crm.example\\@evil.example/", "https://crm.example%2eevil.example/", "//crm.example/a",
		"https:crm.example", "https:///crm.example", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/latest", "file:///etc/passwd", "gopher://crm.example/", "https://crm.example/ x",
		"https://crm.example/\u0000", "https://crm.example./", strings.Repeat("https://crm.example/", 30),
	} {
		raw := have[[]byte](t)(json.Marshal(map[string]any{"delivery": map[string]string{"method": methodPush, "endpoint_url": address}}))
		s := &client.Stream{ID: "s1"}
		d, err := parseDraft(have[object](t)(parseObject(raw)))
		if err == nil {
			err = d.apply(s, crm(), true, pollAddress)
		}
		if err == nil || s.Endpoint != "" {
			t.Errorf("%q is taken: %+v", address, s)
		} else if strings.Contains(err.Error(), "evil") {
			t.Errorf("%q: the answer quotes it: %v", address, err)
		}
	}
}

func TestWhatAStreamIsIsCheckedBeforeItIsOne(t *testing.T) {
	for name, text := range map[string]string{
		"delivery is a text":                `{"delivery":"push"}`,
		"no method":                         `{"delivery":{"endpoint_url":"https://crm.example/"}}`,
		"an unknown method":                 `{"delivery":{"method":"urn:ietf:rfc:9999","endpoint_url":"https://crm.example/"}}`,
		"push to nowhere":                   `{"delivery":{"method":"urn:ietf:rfc:8935"}}`,
		"poll at an address of theirs":      `{"delivery":{"method":"urn:ietf:rfc:8936","endpoint_url":"https://crm.example/"}}`,
		"poll with a header":                `{"delivery":{"method":"urn:ietf:rfc:8936","authorization_header":"Bearer x"}}`,
		"a header of two lines":             `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/","authorization_header":"x\r\nHost: y"}}`,
		"a header that is no ASCII":         `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/","authorization_header":"Bearer ä"}}`,
		"a header of a megabyte":            `{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/","authorization_header":"` + strings.Repeat("x", 3000) + `"}}`,
		"a method twice":                    `{"delivery":{"method":"urn:ietf:rfc:8936","method":"urn:ietf:rfc:8935"}}`,
		"no events":                         `{"events_requested":[]}`,
		"more events than anybody knows":    `{"events_requested":[` + strings.Repeat(`"x",`, client.MaxIgnored) + `"x"]}`,
		"events that are no texts":          `{"events_requested":[1]}`,
		"an event of a thousand characters": `{"events_requested":["` + strings.Repeat("x", 1000) + `"]}`,
		"a description of two lines":        `{"description":"a\nb"}`,
		"a description that is a list":      `{"description":[]}`,
	} {
		d, err := parseDraft(have[object](t)(parseObject([]byte(text))))
		if err == nil {
			err = d.apply(&client.Stream{ID: "s1"}, crm(), true, pollAddress)
		}
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestOnlyWeSayWhatIsOurs(t *testing.T) {
	d := document{ID: "s1", Issuer: "https://account.example.org", Audience: "https://crm.example", Supported: []string{"a", "b"}, Delivered: []string{"a"}, MinVerification: 30}
	for text, want := range map[string][]string{
		`{}`: nil, `{"description":"x"}`: nil,
		`{"stream_id":"s1","iss":"https://account.example.org","aud":"https://crm.example","events_supported":["b","a"],"events_delivered":["a"],"min_verification_interval":30}`: nil,
		`{"aud":["https://crm.example"]}`: nil,
		`{"stream_id":"s2"}`:              {"stream_id"}, `{"iss":"https://account.example.org/"}`: {"iss"}, `{"aud":"https://other.example"}`: {"aud"},
		`{"aud":["https://crm.example","https://other.example"]}`: {"aud"}, `{"events_delivered":["a","b"]}`: {"events_delivered"}, `{"events_delivered":"a"}`: {"events_delivered"},
		`{"events_supported":[]}`: {"events_supported"}, `{"min_verification_interval":1}`: {"min_verification_interval"}, `{"inactivity_timeout":60}`: {"inactivity_timeout"},
		`{"iss":1,"aud":{}}`: {"iss", "aud"},
	} {
		if got := d.differs(have[object](t)(parseObject([]byte(text)))); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	if got := foreign(have[object](t)(parseObject([]byte(`{"iss":"x","description":"y","stream_id":null,"events_delivered":[]}`)))); !slices.Equal(got, []string{"iss", "events_delivered"}) {
		t.Errorf("of a new stream: %q", got)
	}
}

func TestARequestForEventsIsBounded(t *testing.T) {
	long := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for text, want := range map[string]pollRequest{
		`{}`:              {max: maxPolled},
		`{"maxEvents":0}`: {},
		`{"maxEvents":7}`: {max: 7},
		`{"maxEvents":1000000,"returnImmediately":true,"ack":["a","b"],"x":1}`:                     {max: maxPolled, now: true, acked: []string{"a", "b"}},
		`{"setErrs":{"j":{"err":"invalid_key","description":"a\nb"}},"maxEvents":null,"ack":null}`: {max: maxPolled, failed: map[string]string{"j": "invalid_key"}},
	} {
		got, err := parsePoll(have[object](t)(parseObject([]byte(text))))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		`{"maxEvents":-1}`, `{"maxEvents":"7"}`, `{"maxEvents":1.5}`, `{"maxEvents":1e2}`, `{"returnImmediately":"yes"}`, `{"ack":"a"}`, `{"ack":[1]}`, `{"ack":["` + strings.Repeat("x", 101) + `"]}`,
		`{"ack":[` + long(maxAcks+1, `"x"`) + `]}`, `{"setErrs":[]}`, `{"setErrs":{"j":"invalid_key"}}`, `{"setErrs":{"j":{"err":1}}}`, `{"setErrs":{"` + strings.Repeat("x", 101) + `":{}}}`,
	} {
		if p, err := parsePoll(have[object](t)(parseObject([]byte(text)))); err == nil {
			t.Errorf("%.60s: taken as %+v", text, p)
		}
	}
}

func FuzzStreamDocuments(f *testing.F) {
	f.Add([]byte(`{"delivery":{"method":"urn:ietf:rfc:8935","endpoint_url":"https://crm.example/a","authorization_header":"Bearer x"},"events_requested":["x"],"description":"y"}`), true)
	f.Add([]byte(`{"stream_id":"s1","aud":["https://crm.example"],"delivery":{"method":"urn:ietf:rfc:8936"}}`), false)
	f.Add([]byte(`{"delivery":{"method":"https://schemas.openid.net/secevent/risc/delivery-method/poll"}}`), true)
	f.Fuzz(func(t *testing.T, raw []byte, whole bool) {
		o, err := parseObject(raw)
		if err != nil {
			return
		}
		s := &client.Stream{ID: "s1", Receiver: "r1", Delivery: client.DeliverPoll, Status: client.StreamEnabled}
		before := *s
		document{ID: "s1", Issuer: "i", Audience: "a"}.differs(o)
		d, err := parseDraft(o)
		if err != nil {
			return
		}
		if err := d.apply(s, crm(), whole, pollAddress); err != nil {
			return
		}
		if err := s.Check(crm()); err != nil {
			t.Errorf("%q became %+v: %v", raw, s, err)
		}
		if s.ID != before.ID || s.Receiver != before.Receiver || s.Status != before.Status {
			t.Errorf("%q changed what is ours: %+v", raw, s)
		}
	})
}

func FuzzPollRequests(f *testing.F) {
	f.Add([]byte(`{"maxEvents":5,"returnImmediately":true,"ack":["a"],"setErrs":{"b":{"err":"x","description":"y"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := parseObject(raw)
		if err != nil {
			return
		}
		p, err := parsePoll(o)
		if err == nil && (p.max < 0 || p.max > maxPolled || len(p.acked) > maxAcks || len(p.failed) > maxAcks) {
			t.Errorf("%q: %+v", raw, p)
		}
	})
}
