package scimtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// client sends requests to the server under test.
type client struct {
	base, token, preset string
	variant             string        // of the preset, where it differs by single switches
	reader              func() string // not nil: a token to read strictly with, until restore is called
	restore             func()
	http                *http.Client
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
	json   any
}

// send makes one request; header pairs follow. Every answer with a body must be SCIM JSON.
func (c *client) send(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.base+path, in)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode, header: res.Header}
	if a.body, err = io.ReadAll(res.Body); err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if len(a.body) > 0 {
		if got := res.Header.Get("Content-Type"); got != "application/scim+json" {
			t.Errorf("%s %s: content type %q, want application/scim+json", method, path, got)
		}
		d := json.NewDecoder(bytes.NewReader(a.body))
		d.UseNumber()
		if err := d.Decode(&a.json); err != nil {
			t.Fatalf("%s %s: the body is not JSON: %v", method, path, err)
		}
	}
	return a
}

// want is send that ends the test unless the status is as wanted.
func (c *client) want(t *testing.T, status int, method, path, body string, header ...string) answer {
	t.Helper()
	a := c.send(t, method, path, body, header...)
	if a.status != status {
		t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, status, a.body)
	}
	return a
}

// refused is want that also checks the error body (RFC 7644 §3.12).
func (c *client) refused(t *testing.T, status int, code, method, path, body string, header ...string) answer {
	t.Helper()
	a := c.want(t, status, method, path, body, header...)
	if got := a.at("status"); got != fmt.Sprint(status) {
		t.Errorf("%s %s: status in the body is %v, want %q", method, path, got, fmt.Sprint(status))
	}
	if got, _ := a.at("scimType").(string); got != code {
		t.Errorf("%s %s: scimType %q, want %q: %s", method, path, got, code, a.body)
	}
	return a
}

// at walks the JSON body by object keys.
func (a answer) at(keys ...string) any {
	v := a.json
	for _, k := range keys {
		o, _ := v.(map[string]any)
		v = o[k]
	}
	return v
}

func (a answer) id(t *testing.T) string {
	t.Helper()
	id, ok := a.at("id").(string)
	if !ok || id == "" {
		t.Fatalf("the answer has no id: %s", a.body)
	}
	return id
}

// unique makes names that do not collide with those of earlier runs on the same server.
func unique() string { return fmt.Sprintf("t%x", time.Now().UnixNano()) }

// subset reports how got fails to contain want: objects may have more keys, null wants absence, lists must be as long.
func subset(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s: got %v, want an object", path, got)
		}
		for k, v := range w {
			if s := subset(path+"/"+k, v, g[k]); s != "" {
				return s
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s: got %v, want %v", path, got, want)
		}
		for i := range w {
			if s := subset(fmt.Sprintf("%s/%d", path, i), w[i], g[i]); s != "" {
				return s
			}
		}
	default:
		if want != got {
			return fmt.Sprintf("%s: got %v, want %v", path, got, want)
		}
	}
	return ""
}
