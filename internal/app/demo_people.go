package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/password"
	"github.com/regain-id/regain/internal/reset"
)

// person is somebody of the demo, and a person of its JSON line.
type person struct {
	Login         string   `json:"login"`
	Password      string   `json:"password"`
	Role          string   `json:"role"`
	Email         string   `json:"email"`
	Phone         string   `json:"phone"`
	Methods       []string `json:"methods"`
	SecondFactor  string   `json:"second_factor"`
	Story         string   `json:"story"`
	RecoveryCodes []string `json:"recovery_codes,omitempty"`

	given, family, uid string
}

func (p *person) name() string { return p.given + " " + p.family }

// cast are the people of the demo. Addresses end in names that belong to nobody, numbers are kept for films.
func cast() []*person {
	return []*person{
		{uid: "ada", given: "Ada", family: "Brandt", Role: "user", Email: "ada@mail.example", Phone: "+491713920001", Methods: []string{"email", "sms", "recovery-code"}, Story: "forgot"},
		{uid: "ben", given: "Ben", family: "Okafor", Role: "user", Email: "ben@mail.example", Phone: "+491713920002", Methods: []string{"email", "sms"}, Story: "under attack"},
		{uid: "cleo", given: "Cleo", family: "Marchetti", Role: "user", Methods: []string{}, Story: "never registered"},
		{uid: "dana", given: "Dana", family: "Lindqvist", Role: "helpdesk", Email: "dana@mail.example", Phone: "+491713920004", Methods: []string{"email", "sms"}, Story: "helpdesk"},
		{uid: "emil", given: "Emil", family: "Sato", Role: "administrator", Email: "emil@mail.example", Phone: "+491713920005", Methods: []string{"email", "sms"}, Story: "administrator changes the policy"},
	}
}

// demoDomain is the demo organisation's own mail domain.
const demoDomain = "works.example"

// demoState is what a data folder remembers beside the database: everything the JSON line must say again.
type demoState struct {
	Token  string    `json:"token"`
	App    *demoApp  `json:"app,omitempty"`
	People []*person `json:"people"`
}

func readDemoState(dir string) (*demoState, error) {
	b, err := os.ReadFile(filepath.Join(dir, "demo.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &demoState{}
	return s, json.Unmarshal(b, s)
}

// complete fills what a folder does not remember: the names, which are the cast's, and a code for whoever has none.
func (s *demoState) complete() {
	for _, p := range s.People {
		for _, c := range cast() {
			if strings.HasPrefix(p.Login, c.uid+"@") {
				p.uid, p.given, p.family = c.uid, c.given, c.family
			}
		}
		if p.SecondFactor == "" {
			p.SecondFactor = newSecondFactor()
		}
	}
}

// newSecondFactor draws six digits.
func newSecondFactor() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return fmt.Sprintf("%06d", n)
}

func (s *demoState) write(dir string) error {
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "demo.json"), b, 0o600)
}

// seed makes the people: their accounts in the directory, themselves through SCIM as an identity provider would, and
// their confirmed ways. It runs once for a data folder.
func (d *demo) seed(ctx context.Context, srv *Server) (*demoState, error) {
	now := srv.setup.Now()
	token, hash := connectorToken()
	c := client.Connector{ID: newID(), Version: 1, Name: "demo", Trust: client.TrustAll, Preset: client.PresetStandard, Groups: true, Created: now, Updated: now,
		Tokens: []client.Token{{ID: newID(), Hash: hash, Created: now}}}
	if err := srv.Store.CreateConnector(ctx, &c, c.Made("system", now)); err != nil {
		return nil, err
	}
	state := &demoState{Token: token, People: cast()}
	for _, p := range state.People {
		p.Login, p.Password, p.SecondFactor = p.uid+"@"+demoDomain, password.Suggest("en"), newSecondFactor()
		if err := d.directory.Put(memory.Account{Login: p.uid, Name: p.name(), Password: p.Password,
			Attrs: map[string][]string{"mail": {p.Login}}, PasswordChangedAt: now.Add(-40 * 24 * time.Hour)}); err != nil {
			return nil, err
		}
		id, err := provisionOne(srv.Handler, srv.setup.Base, token, p)
		if err != nil {
			return nil, err
		}
		if err := confirm(ctx, srv, id, p, now); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// provisionOne creates one person by SCIM, through the handler that serves identity providers.
func provisionOne(h http.Handler, base, token string, p *person) (string, error) {
	body, err := json.Marshal(map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": p.Login, "externalId": "demo-" + p.uid, "active": true,
		"displayName": p.name(), "name": map[string]any{"givenName": p.given, "familyName": p.family},
		"emails": []any{map[string]any{"value": p.Login, "type": "work", "primary": true}},
	})
	if err != nil {
		return "", err
	}
	r := httptest.NewRequest(http.MethodPost, base+"/scim/v2/Users", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/scim+json")
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var made struct{ ID, Detail string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated {
		return "", fmt.Errorf("provision %s: status %d %s", p.Login, w.Code, made.Detail)
	}
	return made.ID, nil
}

// confirm gives a person the ways they have confirmed, as if they had registered long ago.
func confirm(ctx context.Context, srv *Server, id string, p *person, now time.Time) error {
	own := method.Root{Kind: method.ByPerson, ID: id}
	var methods []method.Method
	var codes []method.Code
	for _, k := range p.Methods {
		m := method.Method{ID: newID(), Version: 1, Person: id, Kind: method.Kind(k), Status: method.Active, Root: own, Created: now, Confirmed: now, Primary: true}
		switch m.Kind {
		case method.Email:
			m.Destination = p.Email
		case method.SMS:
			m.Destination = p.Phone
		case method.RecoveryCode:
			for range 10 {
				code, stored, err := newRecoveryCode(srv, m.ID)
				if err != nil {
					return err
				}
				p.RecoveryCodes, codes = append(p.RecoveryCodes, code), append(codes, stored)
			}
		}
		if m.Destination != "" {
			m.DestinationHash = srv.Store.DestinationHash(m.Kind, m.Destination)
		}
		methods = append(methods, m)
	}
	if len(methods) == 0 {
		return nil
	}
	return srv.Store.CreateMethods(ctx, id, methods, codes)
}

// newRecoveryCode draws one recovery code of 80 bits, and what is kept of it.
func newRecoveryCode(srv *Server, methodID string) (string, method.Code, error) {
	var b [reset.RecoveryLength]byte
	rand.Read(b[:])
	for i := range b {
		b[i] = reset.RecoveryAlphabet[int(b[i])%len(reset.RecoveryAlphabet)] // 32 letters divide 256
	}
	code := string(b[:])
	hash, err := srv.setup.Ring.HashSecret(code)
	shown := code[:4] + "-" + code[4:8] + "-" + code[8:12] + "-" + code[12:]
	return shown, method.Code{ID: newID(), Method: methodID, Selector: code[:reset.SelectorLength], Hash: hash}, err
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
