package schema

import (
	"slices"
	"strings"
)

// AttrChange is one top-level attribute that differs between two resources. Key is as Path.Key. Old and New are nil
// when absent.
type AttrChange struct {
	Key      string
	Old, New any
}

// MemberDelta changes the elements of one Large attribute, which are identified by their "value". After it the
// attribute holds Add alone if ReplaceAll, else what it held without Remove and with Add. No value is twice in Add or
// Remove, none is in both. Adding what is there and removing what is not moves no row.
type MemberDelta struct {
	Attr       string // key of the attribute
	Add        []Object
	Remove     []string
	ReplaceAll bool
}

// Diff returns the attributes in which next differs from cur, externalId included, ordered by key.
func Diff(cur, next *Resource) []AttrChange {
	var out []AttrChange
	if cur.ExternalID != next.ExternalID {
		out = append(out, AttrChange{"externalId", text(cur.ExternalID), text(next.ExternalID)})
	}
	out = diff(out, "", cur.Attrs, next.Attrs)
	for urn, o := range cur.Ext {
		out = diff(out, urn+":", o, next.Ext[urn])
	}
	for urn, o := range next.Ext {
		if _, ok := cur.Ext[urn]; !ok {
			out = diff(out, urn+":", nil, o)
		}
	}
	slices.SortFunc(out, func(a, b AttrChange) int { return strings.Compare(a.Key, b.Key) })
	return out
}

func diff(out []AttrChange, prefix string, cur, next Object) []AttrChange {
	for k, v := range cur {
		if w := next[k]; !Same(v, w) {
			out = append(out, AttrChange{prefix + k, v, w})
		}
	}
	for k, w := range next {
		if _, ok := cur[k]; !ok {
			out = append(out, AttrChange{prefix + k, nil, w})
		}
	}
	return out
}
