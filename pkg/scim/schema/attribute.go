package schema

// DataType is the type of an attribute's value (RFC 7643 §2.3).
type DataType string

// The data types. In a Resource a string, dateTime, binary or reference is a Go string, kept as it was sent; a
// boolean is bool, an integer int64, a decimal json.Number, a complex value Object, a multi-valued attribute []any.
const (
	String    DataType = "string"
	Boolean   DataType = "boolean"
	Decimal   DataType = "decimal"
	Integer   DataType = "integer"
	DateTime  DataType = "dateTime"
	Binary    DataType = "binary"
	Reference DataType = "reference"
	Complex   DataType = "complex"
)

// Values of Attribute.Mutability (RFC 7643 §7). Empty means ReadWrite.
const (
	ReadWrite = "readWrite"
	ReadOnly  = "readOnly"
	Immutable = "immutable"
	WriteOnly = "writeOnly"
)

// Values of Attribute.Returned (RFC 7643 §7). Empty means Default.
const (
	Always  = "always"
	Never   = "never"
	Default = "default"
	Request = "request"
)

// Values of Attribute.Uniqueness (RFC 7643 §7). Empty means None.
const (
	None   = "none"
	Server = "server"
	Global = "global"
)

// Attribute defines one attribute as RFC 7643 §7 does; marshalled it is the answer of /Schemas. The two fields without
// a JSON name are ours. Large marks a multi-valued complex attribute with a "value" sub-attribute (members of a
// group) that is never loaded to be changed: changes reach the store as a MemberDelta. Closed refuses values outside
// CanonicalValues, which RFC 7643 otherwise treats as suggestions.
type Attribute struct {
	Name            string       `json:"name"`
	Type            DataType     `json:"type"`
	SubAttributes   []*Attribute `json:"subAttributes,omitempty"`
	MultiValued     bool         `json:"multiValued"`
	Description     string       `json:"description"`
	Required        bool         `json:"required"`
	CanonicalValues []string     `json:"canonicalValues,omitempty"`
	CaseExact       bool         `json:"caseExact"`
	Mutability      string       `json:"mutability"`
	Returned        string       `json:"returned"`
	Uniqueness      string       `json:"uniqueness"`
	ReferenceTypes  []string     `json:"referenceTypes,omitempty"`

	Large  bool `json:"-"`
	Closed bool `json:"-"`
}

// Sub returns the sub-attribute of that name in any letter case, or nil.
func (a *Attribute) Sub(name string) *Attribute {
	for _, s := range a.SubAttributes { // nearly always as the schema writes it, and nothing has to be made to compare
		if s.Name == name {
			return s
		}
	}
	name = lower(name)
	for _, s := range a.SubAttributes {
		if lower(s.Name) == name {
			return s
		}
	}
	return nil
}

// lower folds ASCII letters only: attribute names and URNs are ASCII (RFC 7643 §2.1), and Unicode folding would take the
// Kelvin sign for a k and the long s for an s.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if 'A' <= b[i] && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}

// Secret reports whether the value must never leave: writeOnly or returned never. A secret cannot be filtered on,
// sorted by or shown (RFC 7643 §7).
func (a *Attribute) Secret() bool { return a.Mutability == WriteOnly || a.Returned == Never }

// Schema is a set of attributes under one URN (RFC 7643 §7).
type Schema struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Attributes  []*Attribute `json:"attributes"`
}

// Extension adds a schema to a resource type (RFC 7643 §6). A resource without a required extension is refused.
type Extension struct {
	Schema   *Schema
	Required bool
}
