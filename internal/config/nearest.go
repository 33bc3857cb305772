package config

import (
	"reflect"
	"slices"
	"strings"
)

// nearest returns ", did you mean X?" for an unknown name: a key beside it that is spelled almost so, else a key of the
// same or nearly the same name somewhere else; "" when nothing is near.
func nearest(section, name string, beside []string) string {
	best, at := "", len(name)/3+2
	consider := func(candidate, shown string) {
		if d := distance(strings.ToLower(name), candidate); d < at {
			best, at = shown, d
		}
	}
	for _, candidate := range beside {
		consider(candidate, join(section, candidate))
	}
	if best == "" {
		at = 2
		for _, key := range Keys() {
			consider(key[strings.LastIndexByte(key, '.')+1:], key)
			consider(strings.ReplaceAll(key, ".", "_"), key) // mail_host, as other programs write it
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

// distance is how many letters must be put in, left out, changed or swapped with their neighbour to turn a into b
// (optimal string alignment). Names longer than 64 bytes are far from everything.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 65
	}
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

// Keys returns every key there is, in the order of Config, with "N" for the number of a list's entry; secrets also with
// their _file twin.
func Keys() []string {
	var keys []string
	var walk func(string, reflect.Type)
	walk = func(prefix string, t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			key := join(prefix, f.Tag.Get("key"))
			switch {
			case f.Type == reflect.TypeFor[Secret](), f.Type == reflect.TypeFor[DSN]():
				keys = append(keys, key, key+"_file")
			case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct && f.Type.Elem().PkgPath() == t.PkgPath():
				walk(key+".N", f.Type.Elem())
			case f.Type.Kind() == reflect.Struct:
				walk(key, f.Type)
			default:
				keys = append(keys, key)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
	return slices.Clip(keys)
}
