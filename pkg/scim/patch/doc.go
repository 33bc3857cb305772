// Package patch applies SCIM PATCH operations to a resource (RFC 7644 §3.5.2) as a pure function.
//
//	body ── ReadOps ──→ []Op ── NewPlan(type, ops) ──→ Plan ── Apply(resource) ──→ Result
//	                                                   └ Needs: what must be loaded first
//
// A Plan is made before anything is loaded, so that a faulty request costs no transaction and a change of a Large
// attribute, such as the members of a group, never loads it: the change comes out as a MemberDelta. Only operations that
// look at or into members (a filter by display, a path into one member) ask for them by Plan.Needs.
//
// All operations apply or none. How far the client may leave the RFC is said by schema.Compat.
package patch
