package schema

// Path is a resolved place in a resource (RFC 7644 §3.10). Ext is nil for core and common attributes. Attr is nil only
// when the path names an extension as a whole. Sub is a sub-attribute of Attr, or nil.
type Path struct {
	Ext  *Schema
	Attr *Attribute
	Sub  *Attribute
}

// Key names the top-level attribute: "emails", or "urn:…:User:employeeNumber" in an extension. Selection, sqlfilter
// and AttrChange speak in keys.
func (p Path) Key() string {
	switch {
	case p.Ext == nil:
		return p.Attr.Name
	case p.Attr == nil:
		return p.Ext.ID
	}
	return p.Ext.ID + ":" + p.Attr.Name
}

// String returns the full path in the schema's spelling.
func (p Path) String() string {
	if p.Sub != nil {
		return p.Key() + "." + p.Sub.Name
	}
	return p.Key()
}

// Leaf returns the definition of the value the path names: Sub, or Attr, or nil for an extension.
func (p Path) Leaf() *Attribute {
	if p.Sub != nil {
		return p.Sub
	}
	return p.Attr
}

// Secret reports whether the attribute or the one it belongs to must never leave.
func (p Path) Secret() bool {
	return p.Attr != nil && (p.Attr.Secret() || p.Sub != nil && p.Sub.Secret())
}
