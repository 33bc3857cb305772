package provision

import (
	"slices"

	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/filter"
)

// What a connector may use is refused by the engine for whole types. Some attributes of users tell of other types, and follow
// them here: without leave for methods nobody reads, finds or brings any by the attributes of a user; without leave for
// groups nobody learns who is in which; without leave for users nobody learns names by a member or a method.

// errBeyond says that a client may not use an attribute.
func errBeyond(attr string) error {
	return &scim.Error{Status: 403, Detail: "this token may not use " + attr, Attr: attr}
}

// beyond returns the first attribute that says something of methods and is there, when the connector may not use methods.
func (s *people) beyond(there func(name string) bool) string {
	if s.c.May(client.UseMethods) {
		return ""
	}
	if i := slices.IndexFunc(inMethods, there); i >= 0 {
		return inMethods[i]
	}
	return ""
}

// mayAsk refuses a query that asks for what the connector may not see. An empty answer would have it create people anew.
func (s *people) mayAsk(q *scim.Query) error {
	keys := filter.Keys(q.Filter)
	for _, k := range q.Sort {
		keys = append(keys, k.Path.Key())
	}
	if name := s.beyond(func(name string) bool { return slices.Contains(keys, extPrefix+name) }); name != "" {
		return errBeyond(userURN + ":" + name)
	}
	if !s.c.May(client.UseGroups) && slices.Contains(keys, groupsKey) {
		return errBeyond(groupsKey)
	}
	return nil
}
