package patch

import (
	"slices"
	"strings"

	"github.com/regain-id/regain/pkg/scim/schema"
)

// URN is the schema of a PATCH body.
const URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

// Op is one operation as it was sent. Name is add, remove or replace. Path is empty when there is none. A null value is
// the same as none (RFC 7643 §2.5).
type Op struct {
	Name  string
	Path  string
	Value any
}

// ReadOps reads a PATCH body of at most most operations. Errors are 400 invalidSyntax, or 413 for too many operations.
func ReadOps(body schema.Object, c schema.Compat, most int) ([]Op, error) {
	var list []any
	found := false
	for key, v := range body {
		switch strings.ToLower(key) {
		case "operations":
			if list, found = v.([]any); !found {
				return nil, schema.Invalid(schema.InvalidSyntax, "Operations", "want a list")
			}
		case "schemas":
			if urns, ok := v.([]any); !c.LooseSchemas && (!ok || !slices.ContainsFunc(urns, isURN)) {
				return nil, schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", URN)
			}
		}
	}
	if _, ok := body["schemas"]; !ok && !c.LooseSchemas {
		return nil, schema.Invalid(schema.InvalidSyntax, "schemas", "want %s", URN)
	}
	if !found || len(list) == 0 {
		return nil, schema.Invalid(schema.InvalidSyntax, "Operations", "a PATCH needs at least one operation")
	}
	if len(list) > most {
		return nil, &schema.Error{Status: 413, Detail: "too many PATCH operations in one request"}
	}
	ops := make([]Op, len(list))
	for i, e := range list {
		o, ok := e.(schema.Object)
		if !ok {
			return nil, schema.Invalid(schema.InvalidSyntax, "Operations", "operation %d is not an object", i+1)
		}
		if err := ops[i].read(o, c); err != nil {
			return nil, inOp(i, err)
		}
	}
	return ops, nil
}

func isURN(v any) bool {
	s, _ := v.(string)
	return strings.EqualFold(s, URN)
}

func (op *Op) read(o schema.Object, c schema.Compat) error {
	for key, v := range o {
		switch strings.ToLower(key) {
		case "op":
			name, ok := v.(string)
			if c.AnyCaseOps {
				name = strings.ToLower(name)
			}
			if !ok || name != "add" && name != "remove" && name != "replace" {
				return schema.Invalid(schema.InvalidSyntax, "op", "want add, remove or replace")
			}
			op.Name = name
		case "path":
			path, ok := v.(string)
			if !ok && v != nil {
				return schema.Invalid(schema.InvalidPath, "path", "want a string")
			}
			op.Path = path
		case "value":
			op.Value = v
		default:
			if !c.IgnoreUnknown {
				return schema.Invalid(schema.InvalidSyntax, key, "not a member of a PATCH operation")
			}
		}
	}
	if op.Name == "" {
		return schema.Invalid(schema.InvalidSyntax, "op", "want add, remove or replace")
	}
	return nil
}
