// Package schema holds what SCIM resources are made of: attribute definitions (RFC 7643 §2.2, §7), the schemas User,
// Group and EnterpriseUser (RFC 7643 §4, §8.7), resource types joined from a core schema and extensions, the paths
// that name a place in them (RFC 7644 §3.10), the resources themselves, and the error every part of the engine
// speaks (RFC 7644 §3.12).
//
//	attribute ─ Schema ─┐
//	            Schema ─┴─ Type ── Resolve("emails.value") ─→ Path ── Resource.Lookup(Path) ─→ value
//
// Everything here is data and pure functions. A Type does not change after NewType and may be shared by goroutines;
// a Resource belongs to one goroutine at a time.
package schema
