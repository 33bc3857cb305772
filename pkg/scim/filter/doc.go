// Package filter reads SCIM filters and PATCH paths (RFC 7644 §3.4.2.2, §3.5.2), resolves them against a resource type
// into a small typed tree, and evaluates the tree on resources.
//
//	text ── Parse(type) ──→ Expr ── Match(Expr, Resource) ──→ bool
//	                          └──── sqlfilter: a WHERE clause and what is left
//
// A filter is at most 16 KiB long, 32 brackets deep and 256 comparisons wide; the length is checked before anything is
// read, the depth before every step down. Every refusal is a *schema.Error and names the attribute, never the value.
package filter
