package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAFormTakesEachNamedFieldOnce(t *testing.T) {
	fields := []Field{{Name: "login", Max: 20}, {Name: "way"}}
	for _, c := range []struct {
		name, body string
		want       Values // nil: refused
	}{
		{"all", "login=ada&way=sms", Values{"login": "ada", "way": "sms"}},
		{"one", "login=ada", Values{"login": "ada"}},
		{"none", "", Values{}},
		{"empty value", "login=", Values{"login": ""}},
		{"no value", "login", Values{"login": ""}},
		{"escaped", "login=a%2Bb%40c+d", Values{"login": "a+b@c d"}},
		{"escaped name", "%6Cogin=ada", Values{"login": "ada"}},
		{"not ascii", "login=%C3%A4", Values{"login": "ä"}},
		{"tab", "login=a%09b", Values{"login": "a\tb"}},
		{"semicolon inside", "login=a%3Bb;c", Values{"login": "a;b;c"}},
		{"repeated", "login=ada&login=eve", nil},
		{"repeated, escaped", "login=ada&l%6Fgin=eve", nil},
		{"repeated, empty", "login=ada&login", nil},
		{"array", "login[]=ada", nil},
		{"array, escaped", "login%5B%5D=ada&login%5B%5D=eve", nil},
		{"nested", "user[login]=ada", nil},
		{"unknown", "login=ada&admin=1", nil},
		{"no name", "=ada", nil},
		{"empty pair", "login=ada&&way=sms", nil},
		{"trailing ampersand", "login=ada&", nil},
		{"other case", "Login=ada", nil},
		{"too long", "login=" + strings.Repeat("a", 21), nil},
		{"too long decoded only", "login=" + strings.Repeat("%61", 20), Values{"login": strings.Repeat("a", 20)}},
		{"default limit", "way=" + strings.Repeat("a", 257), nil},
		{"not UTF-8", "login=%ff%fe", nil},
		{"overlong UTF-8", "login=%c0%af", nil},
		{"surrogate", "login=%ed%a0%80", nil},
		{"broken escape", "login=%zz", nil},
		{"cut escape", "login=%4", nil},
		{"NUL", "login=ada%00", nil},
		{"CRLF", "login=ada%0d%0aBcc:eve", nil},
		{"DEL", "login=%7f", nil},
		{"many pairs", strings.Repeat("a&", 40), nil},
	} {
		got, err := decode(c.body, fields, true)
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: accepted as %v", c.name, got)
			} else if p, _ := describe(err, ""); p.Status != http.StatusBadRequest {
				t.Errorf("%s: status %d, want 400", c.name, p.Status)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: refused: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestAQueryIgnoresWhatNobodyAskedForButNothingElse(t *testing.T) {
	for query, want := range map[string]Values{
		"token=a&utm_source=mail&utm_source=x&%zz=1": {"token": "a"}, "": {}, "token=a&token=b": nil, "token=%00": nil,
	} {
		got, err := decode(query, []Field{{Name: "token"}}, false)
		if (err == nil) != (want != nil) {
			t.Errorf("%s: got %v", query, err)
		}
		if want != nil && !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}

// Whatever a stranger sends, a value that comes through is one the standard parser sees exactly once and the same.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{"a=1&b=2", "a=1&a=2", "a%5B%5D=1", "a=%ff", "a=%0a", "a;b=1", "&&", "a=1&b", "+=1", "a==", "%61=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := decode(body, []Field{{Name: "a", Max: 8}, {Name: "b"}}, true)
		if err != nil {
			return
		}
		std, stdErr := url.ParseQuery(body)
		for name, value := range got {
			if (name != "a" && name != "b") || strings.ContainsFunc(value, control) || (name == "a" && len(value) > 8) {
				t.Fatalf("%q gave %q=%q", body, name, value)
			}
			if stdErr == nil && (len(std[name]) != 1 || std[name][0] != value) {
				t.Fatalf("%q: %s is %q here and %q there", body, name, value, std[name])
			}
		}
	})
}

func TestTheClientIsTheFirstAddressFromTheRightThatIsNoProxyOfOurs(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48")}
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.7:1", nil, "203.0.113.7"},
		{"forged without a proxy", "203.0.113.7:1", []string{"198.51.100.1"}, "203.0.113.7"},
		{"one proxy", "10.0.0.1:1", []string{"203.0.113.7"}, "203.0.113.7"},
		{"forged through a proxy", "10.0.0.1:1", []string{"198.51.100.1, 203.0.113.7"}, "203.0.113.7"},
		{"forged as one of ours", "10.0.0.1:1", []string{"198.51.100.1, 10.9.9.9, 203.0.113.7, 10.0.0.2"}, "203.0.113.7"},
		{"several header lines", "10.0.0.1:1", []string{"198.51.100.1", "203.0.113.7"}, "203.0.113.7"},
		{"with a port", "10.0.0.1:1", []string{"203.0.113.7:4711"}, "203.0.113.7"},
		{"IPv6 with a port", "[2001:db8:1::5]:1", []string{"[2001:db8:2::7]:4711"}, "2001:db8:2::7"},
		{"IPv6 in brackets", "10.0.0.1:1", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		{"IPv4 inside IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"nothing forwarded", "10.0.0.1:1", nil, "10.0.0.1"},
		{"rubbish on the right", "10.0.0.1:1", []string{"203.0.113.7, unknown"}, "10.0.0.1"},
		{"rubbish behind a proxy", "10.0.0.1:1", []string{"203.0.113.7, _hidden, 10.0.0.2"}, "10.0.0.2"},
		{"empty entries", "10.0.0.1:1", []string{",,"}, "10.0.0.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := clientAddr(r, proxies).String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add("203.0.113.7, 10.0.0.1", "10.0.0.1:1")
	f.Add("[::1]:80,,x", "[::1]:1")
	f.Fuzz(func(t *testing.T, forwarded, peer string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = peer
		r.Header["X-Forwarded-For"] = []string{forwarded}
		direct := clientAddr(r, nil)
		if via := clientAddr(r, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); via != direct && !netip.MustParsePrefix("10.0.0.0/8").Contains(direct) {
			t.Fatalf("a header from %s, which is no proxy, changed the client to %s", direct, via)
		}
	})
}
