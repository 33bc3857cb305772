// Package scim is a SCIM 2.0 server engine (RFC 7643, RFC 7644): an http.Handler in front of a Store you write.
//
//	request ─→ Auth ─→ media type, size ─→ strict JSON ─→ names and values by schema ─→ mutability, references
//	                                                                                         │
//	answer  ←─ ETag ←─ returned, attributes ←────────────────────────── Store: Get List Create Update Delete
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
// The engine knows the schemas and the protocol, so a store need not: it sees canonical resources, a filter as a typed
// tree of six node kinds (package filter; package sqlfilter turns it into SQL, and evaluates what it cannot in memory
// under a bound), and changes computed by a pure function inside its transaction. What a schema says about mutability and
// return is enforced here, last thing before the wire: a store cannot leak a password.
//
// Members of groups are never loaded to be changed. They travel as Change.Members, so adding one to a group of 50,000
// costs as much as to a group of ten.
//
// How far a client may leave the RFCs is a property of the Principal (schema.Compat): presets Strict, Standard and Entra.
// Where a preset leaves a rule, the field says which.
//
// To begin, see the example of NewServer; package memstore is a Store to read, package scimtest judges yours
// (StoreSuite) and your server (Run).
package scim
