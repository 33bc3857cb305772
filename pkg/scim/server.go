package scim

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// Config is what NewServer needs. BaseURL, Auth and Types have no default.
type Config struct {
	// BaseURL is the absolute URL of the service without a trailing slash, such as https://id.example.org/scim/v2. Every
	// location and $ref is made from it, never from a request's Host. Requests may arrive with or without its path.
	BaseURL string
	// Auth finds out who makes a request. ErrUnauthenticated is answered with 401, an *Error as it is (429, 503), any
	// other error with a bare 500; it never lets a request pass. It is called concurrently, before anything else is looked
	// at, and has to compare secrets in constant time.
	Auth   func(*http.Request) (*Principal, error)
	Types  []ResourceType
	Limits Limits
	Log    *slog.Logger // nil: slog.Default

	// Done, when set, is told of every request as soon as its answer is ready: who made it, nil when Auth let nobody in, and the
	// status. The answer is written after it returns, so that it must not wait.
	Done func(r *http.Request, p *Principal, status int)

	// Me says which resource /Me stands for (RFC 7644 §3.11): the name of its type and its id, which is empty for a principal
	// that is no resource (403). An error is answered like one of a store's. Nil: /Me is answered with 501.
	Me func(context.Context, *Principal) (typ, id string, err error)
	// Cursor is for paging by cursor (RFC 9865).
	Cursor CursorConfig
	// Async keeps requests whose client wants to be answered later (RFC 9967 §2.5.1). Nil: every request is answered at once.
	Async Async
	// Events are the URIs of the security events that changes here are told by (RFC 9967 §2), as ServiceProviderConfig shows
	// them. Delivering them is the application's.
	Events []string
	// Now gives the time for what expires; nil means time.Now.
	Now func() time.Time

	// DocumentationURI, when set, is shown in ServiceProviderConfig.
	DocumentationURI string
	// ChangePassword is shown in ServiceProviderConfig: whether "password" has an effect.
	ChangePassword bool
}

// CursorConfig is how cursors are sealed. A cursor holds where a page ended and nothing is kept for it on the server: all
// replicas of a service must have the same key.
type CursorConfig struct {
	Key []byte        // 32 secret bytes or more; none: a random key, so that cursors end with the process
	TTL time.Duration // how long a cursor is good for [10 minutes]
}

// ErrUnauthenticated says that a request carries no valid credential. Answered with 401.
var ErrUnauthenticated = errors.New("no valid credential")

// Limits bounds what one request may cost. Zero values mean the defaults in brackets.
type Limits struct {
	MaxBody        int64 // bytes of a request body [1 MiB]
	MaxGroupBody   int64 // bytes for types with a Large attribute [8 MiB]
	MaxResults     int   // resources in one page [200]
	DefaultResults int   // resources in a page when the client names no count [100]
	MaxPatchOps    int   // operations in one PATCH [1000]
	BulkMaxOps     int   // operations in one bulk request [1000]
	BulkMaxBytes   int64 // bytes of a bulk request [1 MiB]
	MaxScan        int   // resources looked at when a store leaves a filter or an order to the engine [1000]
}

func (l Limits) complete() Limits {
	def := func(n *int, d int) {
		if *n <= 0 {
			*n = d
		}
	}
	if l.MaxBody <= 0 {
		l.MaxBody = 1 << 20
	}
	if l.MaxGroupBody <= 0 {
		l.MaxGroupBody = 8 << 20
	}
	def(&l.MaxResults, 200)
	def(&l.DefaultResults, 100)
	if l.BulkMaxBytes <= 0 {
		l.BulkMaxBytes = 1 << 20
	}
	def(&l.MaxPatchOps, 1000)
	def(&l.BulkMaxOps, 1000)
	def(&l.MaxScan, 1000)
	l.DefaultResults = min(l.DefaultResults, l.MaxResults)
	return l
}

// ReplyMode says how a PATCH is answered (RFC 7644 §3.5.2 allows both).
type ReplyMode int

// The reply modes. Whatever the mode, a request with attributes= is answered with 200.
const (
	ReplyResource  ReplyMode = iota // 200 and the resource; 204 for a client with Compat.BriefPatch if the type has a Large attribute
	ReplyNoContent                  // 204
)

// ResourceType is one type of resource the server offers (RFC 7643 §6).
type ResourceType struct {
	Name        string // "User"
	Endpoint    string // "/Users"
	Description string
	Schema      *schema.Schema
	Extensions  []schema.Extension
	Store       Store
	PatchReply  ReplyMode
}

// Server is the http.Handler. It is safe for concurrent use.
type Server struct {
	cfg   Config
	base  string // BaseURL
	path  string // its path
	types []*resourceType
	at    map[string]*resourceType // by endpoint without slash
	named map[string]*resourceType
	disc  discovery

	now    func() time.Time
	seal   cipher.AEAD
	counts counts
}

type resourceType struct {
	ResourceType
	*schema.Type
}

// NewServer checks cfg and returns a server. It reports every fault of the configuration at once.
func NewServer(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, at: map[string]*resourceType{}, named: map[string]*resourceType{}}
	s.cfg.Limits = cfg.Limits.complete()
	if s.cfg.Log == nil {
		s.cfg.Log = slog.Default()
	}
	if s.now = cfg.Now; s.now == nil {
		s.now = time.Now
	}
	if s.cfg.Cursor.TTL <= 0 {
		s.cfg.Cursor.TTL = 10 * time.Minute
	}
	var bad []error
	fault := func(format string, args ...any) { bad = append(bad, fmt.Errorf(format, args...)) }
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		fault("base URL %q: want an absolute http(s) URL without query", cfg.BaseURL)
	} else {
		s.base = strings.TrimRight(cfg.BaseURL, "/")
		s.path = strings.TrimRight(u.Path, "/")
	}
	if n := len(cfg.Cursor.Key); n > 0 && n < 32 {
		fault("cursor key: want 32 bytes or more, have %d", n)
	}
	if cfg.Auth == nil {
		fault("no Auth: a server without authentication must say so by an Auth that always succeeds")
	}
	for _, rt := range cfg.Types {
		name := strings.Trim(rt.Endpoint, "/")
		if name == "" || strings.ContainsAny(name, "/?#% ") || reserved[name] || s.at[name] != nil || s.named[rt.Name] != nil {
			fault("resource type %s: endpoint %q or the name is empty, reserved or there twice", rt.Name, rt.Endpoint)
			continue
		}
		t, err := schema.NewType(rt.Name, rt.Schema, rt.Extensions...)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		if rt.Store == nil {
			fault("resource type %s: no store", rt.Name)
		}
		rt.Endpoint = "/" + name
		r := &resourceType{rt, t}
		s.types = append(s.types, r)
		s.at[name], s.named[rt.Name] = r, r
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	if s.seal, err = sealer(cfg.Cursor.Key); err != nil {
		return nil, err
	}
	s.disc = s.describe(s.types, false, s.cfg.ChangePassword)
	return s, nil
}

var reserved = map[string]bool{"ServiceProviderConfig": true, "ResourceTypes": true, "Schemas": true, "Me": true, "Bulk": true, ".search": true}

// ServeHTTP answers one request. How long one may take is for the http.Server to say (ReadTimeout, WriteTimeout) and for the
// stores, whose context ends with the request's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	p, err := s.cfg.Auth(r)
	if err == nil && p == nil {
		err = errors.New("neither a principal nor an error from Config.Auth")
	}
	var res *response
	if err == nil {
		res, err = s.answer(w, r, p)
	}
	if s.cfg.Done != nil {
		status := 0
		if err != nil {
			status = asError(err).Status
		} else {
			status = res.status
		}
		s.cfg.Done(r, p, status)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	res.write(w)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, p *Principal) (*response, error) {
	seg, err := s.segments(r)
	if err != nil {
		return nil, err
	}
	q := request{s: s, w: w, r: r, p: p, act: Act{Method: r.Method}}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	if res, err := q.postpone(method, seg); res != nil || err != nil {
		return res, err
	}
	switch {
	case len(seg) > 0 && s.at[seg[0]] != nil:
		return q.resource(s.at[seg[0]], method, seg[1:])
	case len(seg) > 0 && s.disc.has(seg[0]):
		return q.discover(method, seg)
	case len(seg) == 1 && seg[0] == "Bulk":
		return q.bulk(method)
	case len(seg) == 0:
		return q.everything(method, "GET", q.list)
	case len(seg) == 1 && seg[0] == ".search":
		return q.everything(method, "POST", q.search)
	case len(seg) == 1 && seg[0] == "Me":
		return q.self(method)
	}
	return nil, &Error{Status: http.StatusNotFound, Detail: "no such endpoint"}
}

// segments returns the unescaped parts of the path below the base URL. A trailing slash is no part.
func (s *Server) segments(r *http.Request) ([]string, error) {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, s.path); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	return split(path)
}

// split returns the unescaped parts of a path.
func split(path string) ([]string, error) {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil, nil
	}
	seg := strings.Split(path, "/")
	for i, e := range seg {
		var err error
		if seg[i], err = url.PathUnescape(e); err != nil || seg[i] == "" || strings.IndexByte(seg[i], 0) >= 0 {
			return nil, &Error{Status: http.StatusNotFound, Detail: "no such endpoint"}
		}
	}
	return seg, nil
}

// request is one request on its way.
type request struct {
	s *Server
	w http.ResponseWriter
	r *http.Request
	p *Principal
	// act is what a Binder is told of the change that is made.
	act Act
}

func (q request) ctx() context.Context { return q.r.Context() }

// store returns the store of a type as this principal uses it.
func (q request) store(t *resourceType) Store {
	if b, ok := t.Store.(Binder); ok {
		p := *q.p
		p.Act = q.act
		return b.As(&p)
	}
	return t.Store
}

// resource routes a request below the endpoint of a type.
func (q request) resource(t *resourceType, method string, rest []string) (*response, error) {
	var allow map[string]func() (*response, error)
	switch {
	case len(rest) == 0:
		allow = map[string]func() (*response, error){
			"GET":  func() (*response, error) { return q.list([]*resourceType{t}, false) },
			"POST": func() (*response, error) { return q.create(t) },
		}
	case len(rest) == 1 && rest[0] == ".search":
		allow = map[string]func() (*response, error){"POST": func() (*response, error) { return q.search([]*resourceType{t}, false) }}
	case len(rest) == 1:
		allow = q.verbs(t, rest[0])
	default:
		return nil, &Error{Status: http.StatusNotFound, Detail: "no such endpoint"}
	}
	handle, ok := allow[method]
	if !ok {
		return nil, q.notAllowed(allow)
	}
	if err := q.may(t, method == "GET" || len(rest) == 1 && rest[0] == ".search"); err != nil {
		return nil, err
	}
	return handle()
}

// verbs are what can be done with one resource.
func (q request) verbs(t *resourceType, id string) map[string]func() (*response, error) {
	return map[string]func() (*response, error){
		"GET":    func() (*response, error) { return q.get(t, id) },
		"PUT":    func() (*response, error) { return q.put(t, id) },
		"PATCH":  func() (*response, error) { return q.patch(t, id) },
		"DELETE": func() (*response, error) { return q.delete(t, id) },
	}
}

// self answers /Me: what is answered is the resource under its own location.
func (q request) self(method string) (*response, error) {
	if q.s.cfg.Me == nil {
		return nil, &Error{Status: http.StatusNotImplemented, Detail: "this server does not know who /Me is"}
	}
	if verbs := q.verbs(nil, ""); verbs[method] == nil {
		return nil, q.notAllowed(verbs)
	}
	t, id, err := q.me()
	if err != nil {
		return nil, err
	}
	if err := q.may(t, method == http.MethodGet); err != nil {
		return nil, err
	}
	return q.verbs(t, id)[method]()
}

// me finds the resource the principal is.
func (q request) me() (*resourceType, string, error) {
	typ, id, err := q.s.cfg.Me(q.ctx(), q.p)
	if err != nil {
		return nil, "", err
	}
	if id == "" {
		return nil, "", &Error{Status: http.StatusForbidden, Detail: "this token is bound to no resource"}
	}
	t := q.s.named[typ]
	if t == nil {
		return nil, "", fmt.Errorf("no resource type %q, which Config.Me named", typ)
	}
	return t, id, nil
}

// everything searches all types the principal may use (RFC 7644 §3.4.2.1).
func (q request) everything(method, only string, run func([]*resourceType, bool) (*response, error)) (*response, error) {
	if method != only {
		return nil, q.notAllowed(map[string]func() (*response, error){only: nil})
	}
	var types []*resourceType
	for _, t := range q.s.types {
		if q.may(t, true) == nil {
			types = append(types, t)
		}
	}
	return run(types, true)
}

// may asks whether the principal may use the type.
func (q request) may(t *resourceType, reading bool) error {
	if q.p.ReadOnly && !reading {
		return &Error{Status: http.StatusForbidden, Detail: "this token may only read"}
	}
	if q.p.Types != nil && !contains(q.p.Types, t.ResourceType.Name) {
		return &Error{Status: http.StatusForbidden, Detail: "this token may not use " + t.Endpoint}
	}
	return nil
}
