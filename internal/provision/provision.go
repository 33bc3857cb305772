// Package provision lets identity providers bring people, groups and authentication methods by SCIM 2.0 (RFC 7643, RFC
// 7644). The protocol is package scim's; here is what a resource means to regain.
//
//	bearer token → connector          auth.go      no data is looked at before (RFC 7644 §2)
//	/Users                            people.go    one person and their ways, in one commit with the events
//	/Groups                           groups.go    members move as deltas and are never loaded to be changed
//	/AuthenticationMethods            methods.go   one way of one person
//	recoveryEmail … → method          contacts.go  what a connector may write, normalised
//	three layers, one table           layers.go    attribute, list and resource are views of the same ways
//	method → held, shared, told       holds.go     when a new way counts, and who hears of it
//	password → the directory          passwords.go  for connectors that may, and kept nowhere
//	users, groups, methods, reading   uses.go      what a connector may do at all
//	the light in the console          heard.go     what was last heard of a connector
//	groups that make people staff     staff.go     only from connectors that are trusted for it
//	Prefer: respond-async             later.go     kept, carried out by a worker, answered by an event
//
// A connector sees what it brought and nothing else: another's resource is not there, in any verb, reference or list.
//
// An update nests closures, not transactions: the engine's change runs inside the store's update of the person, so the row,
// the methods and the events commit together. A closure asks the store nothing. What it needs to know of a destination
// (was it known yesterday, how many people have it) is asked before, and when it meets one that was not asked about it
// gives up, the question is put, and it runs again.
//
// Where people's ways are kept: attributes that are destinations (recoveryEmail, recoveryPhone, alternatePhone,
// authenticationMethods) stand in sealed methods and nowhere else; all other attributes stand as they were sent in
// account.Person.Attrs. A password stands nowhere: it is handed to the directory for connectors that may set some, and else
// dropped when it arrives.
package provision

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Config is what New needs. Corporate and Region may be empty; everything else must be there.
type Config struct {
	Store     Store
	Policies  Policies
	Passwords Passwords // nil: whatever passwords come are dropped
	Base      string    // public base URL without path; SCIM is served below Base + "/scim/v2"
	Corporate []string  // mail domains opened with the password a reset is for; their addresses never prove anything
	Region    string    // ISO 3166 country of phone numbers written without one; empty: they must be international
	Now       func() time.Time
	Log       *slog.Logger
	// Hash is the keyed hash by which destinations are compared.
	Hash func(kind method.Kind, destination string) []byte
	// CursorKey seals the cursors of paged lists: 32 bytes, the same for every replica. Empty: cursors end with the process.
	CursorKey []byte
	// Crash, when set, is called at points where the process may die, for tests that make it.
	Crash func(point string)
}

// Policies says which policy is in force.
type Policies interface {
	Policy(ctx context.Context) (policy.Policy, error)
}

// service is what the three stores share.
type service struct {
	Config
	base string // of SCIM
	user *schema.Type
	way  *schema.Type
	// refused is what was written down lately of what nobody may do.
	refused refusals
}

// Server is the handler of Base + "/scim/v2", and does the work it puts off. It is safe for concurrent use.
type Server struct {
	s     *service
	scim  *scim.Server
	heard *recorder
}

// ServeHTTP answers one request, with or without the path of Base + "/scim/v2" taken off.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.scim.ServeHTTP(w, r) }

// Settle waits until what was heard of connectors is written down, before their store is closed.
func (s *Server) Settle() { s.heard.busy.Wait() }

// New returns a server, or says what is missing.
func New(c Config) (*Server, error) {
	var missing []error
	for name, there := range map[string]bool{"store": c.Store != nil, "policies": c.Policies != nil, "now": c.Now != nil, "log": c.Log != nil, "hash": c.Hash != nil} {
		if !there {
			missing = append(missing, fmt.Errorf("provision: %s is missing", name))
		}
	}
	if len(missing) > 0 {
		return nil, errors.Join(missing...)
	}
	s, err := newService(c)
	if err != nil {
		return nil, err
	}
	heard := &recorder{store: c.Store, now: c.Now, log: c.Log}
	engine, err := scim.NewServer(scim.Config{
		BaseURL: s.base, Auth: (&guard{store: c.Store, now: c.Now, log: c.Log, passwords: c.Passwords != nil}).authenticate, Done: heard.done, Log: c.Log, Types: s.types(),
		Cursor: scim.CursorConfig{Key: c.CursorKey}, Now: c.Now, Async: s, Events: feeds(),
	})
	if err != nil {
		return nil, err
	}
	return &Server{s, engine, heard}, nil
}

func newService(c Config) (*service, error) {
	if c.Crash == nil {
		c.Crash = func(string) {}
	}
	s := &service{Config: c, base: strings.TrimRight(c.Base, "/") + "/scim/v2"}
	var err error
	if s.user, err = userSchemas(); err != nil {
		return nil, err
	}
	s.way, err = schema.NewType("AuthenticationMethod", methodSchema())
	return s, err
}

func (s *service) types() []scim.ResourceType {
	return []scim.ResourceType{
		{Name: "User", Endpoint: "/Users", Description: "People", Schema: s.user.Core, Extensions: s.user.Extensions, Store: &people{service: s}},
		{Name: "Group", Endpoint: "/Groups", Description: "Groups of people", Schema: schema.Group(), Store: &groups{service: s}},
		{Name: "AuthenticationMethod", Endpoint: "/AuthenticationMethods", Description: "Ways in which people can prove who they are",
			Schema: s.way.Core, Store: &methods{service: s}},
	}
}
