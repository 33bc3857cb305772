// Package scim is a SCIM 2.0 server engine (RFC 7643, RFC 7644, RFC 9865): an http.Handler in front of a Store you write.
// Identity providers such as Microsoft Entra ID and Okta provision users, groups, or resources of your own into it.
//
//	request ─→ Auth ─→ media type, size ─→ strict JSON ─→ names and values by schema ─→ mutability, references
//	                                                                                         │
//	answer  ←─ ETag ←─ returned, attributes ←────────────────────────── Store: Get List Create Update Delete
//
// # The shortest server
//
// A type of resource, a store, and a function that knows the clients:
//
//	users, err := schema.NewType("User", schema.User())
//	…
//	srv, err := scim.NewServer(scim.Config{
//		BaseURL: "https://id.example.org/scim/v2",
//		Types:   []scim.ResourceType{{Name: "User", Endpoint: "/Users", Schema: users.Core, Store: memstore.New().Type(users)}},
//		Auth: func(r *http.Request) (*scim.Principal, error) {
//			if !known(r.Header.Get("Authorization")) {
//				return nil, scim.ErrUnauthenticated
//			}
//			return &scim.Principal{Subject: "hr", Compat: schema.Standard()}, nil
//		},
//	})
//	…
//	http.ListenAndServe("localhost:8081", srv)
//
// The folder examples/scimserver of this module is a whole command in a page, with users, groups, a type of its own and an
// extension that is required.
//
// # What it answers
//
//	GET    /{Type}            filter, sortBy, startIndex or cursor, count             RFC 7644 §3.4.2, RFC 9865
//	POST   /{Type}/.search    the same in a body                                      RFC 7644 §3.4.3
//	GET    / and POST /.search    the same over all types                             RFC 7644 §3.4.2.1
//	POST   /{Type}            create                                                  RFC 7644 §3.3
//	POST   /Bulk              many of those, with references among them               RFC 7644 §3.7
//	GET PUT PATCH DELETE /{Type}/{id}   with If-Match and If-None-Match               RFC 7644 §3.4.1, §3.5, §3.6, §3.14
//	GET PUT PATCH DELETE /Me            whoever the token is bound to, see Config.Me   RFC 7644 §3.11
//	GET    /ServiceProviderConfig /ResourceTypes /Schemas                             RFC 7644 §4
//
// # Stores
//
// The engine knows the schemas and the protocol, so a Store need not: it sees canonical resources, a filter as a typed tree
// of six node kinds, and changes computed by a pure function inside its transaction. Five methods are all it must have; what
// else it can do is found by type assertion (Binder: it acts for a principal; Resolver: it knows which ids exist; Batcher: it
// does many writes of a bulk request in one commit).
//
//   - Package memstore is the one to read first, and enough for tests and small tools.
//   - Package sqlfilter turns a filter, an order and a place in it into SQL for PostgreSQL and SQLite; what it has no columns
//     for is left to the engine, which looks at Limits.MaxScan resources at most and else answers tooMany. Its example is a
//     whole store in SQL.
//   - scimtest.StoreSuite judges a store, scimtest.Run a server.
//
// What a schema says about mutability and return is enforced here, last thing before the wire: a store cannot leak a
// password. Members of groups are never loaded to be changed. They travel as Change.Members, so adding one to a group of
// 50,000 costs as much as to a group of ten.
//
// # Types of your own
//
// A resource type is a schema and any number of extensions, some of which may be required (schema.Attribute says all that an
// attribute can be). Discovery, filters, PATCH and the checks follow from it.
//
// # Clients that differ
//
// How far a client may leave the RFCs is a property of its Principal (schema.Compat): the presets are schema.Strict,
// schema.Standard for every tolerance that breaks no SHALL, and schema.Entra; each is a struct of switches that can be set one
// by one. Where a switch leaves a rule, it says which.
//
// # Later, and events
//
// With Config.Async a request with "Prefer: respond-async" is kept by the application, answered 202, and carried out by
// Server.Perform when it says so, each operation once; Config.Events names the events of RFC 9967 that the application sends.
//
// # Filters and PATCH without HTTP
//
// Package filter reads filters and paths and matches resources; package patch applies operations as a pure function; package
// schema decodes and checks bodies. None of them needs a server.
//
// # Limits
//
// Every body, list and loop is bounded: Limits has those that can be set (a body 1 MiB, one with members 8 MiB, a page 200
// resources, a PATCH or bulk request 1000 operations). Fixed are a filter (16 KiB, 32 brackets deep, 256 comparisons: see
// package filter), JSON (16 levels, no key twice: schema.ParseJSON) and a list that is not Large (1000 elements). Numbers are
// kept exactly. A fault is an Error with the status, the scimType and the name of the attribute, never a secret; what is not
// an Error is logged and answered with a bare 500.
//
// # Stability
//
// Server and all functions are safe for concurrent use; a Resource belongs to one goroutine at a time. The package needs the
// standard library and golang.org/x/text. Until the module's version 1 names may still change, which the change log then
// says; what goes over the wire follows the RFCs, and where it does not, docs/divergences.md of this module says so.
package scim
