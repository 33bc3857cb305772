package schema_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/regain-id/regain/pkg/scim/schema"
)

func TestEveryRuleOfAPresetIsASwitchOfItsOwn(t *testing.T) {
	fields := reflect.TypeFor[schema.Compat]()
	all := schema.Switches()
	if len(all) != fields.NumField() {
		t.Fatalf("%d switches for %d fields", len(all), fields.NumField())
	}
	for i, s := range all {
		field := fields.Field(i)
		var name strings.Builder
		for j, r := range field.Name {
			if j > 0 && unicode.IsUpper(r) {
				name.WriteByte('-')
			}
			name.WriteRune(unicode.ToLower(r))
		}
		if s.Name != name.String() || s.About == "" {
			t.Errorf("switch %d is called %q, the field %s", i, s.Name, field.Name)
		}
		if found, ok := schema.SwitchNamed(s.Name); !ok || found.Name != s.Name {
			t.Errorf("%s is not found by name", s.Name)
		}
		on := s.Set(schema.Strict(), true)
		if !reflect.ValueOf(on).Field(i).Bool() || !s.On(on) || s.On(schema.Strict()) {
			t.Errorf("%s does not switch %s on", s.Name, field.Name)
		}
		if s.Set(on, false) != schema.Strict() {
			t.Errorf("%s on and off again is not what was", s.Name)
		}
		for _, other := range all {
			if other.Name != s.Name && other.On(on) {
				t.Errorf("%s switches %s on, too", s.Name, other.Name)
			}
		}
	}
	if _, ok := schema.SwitchNamed("anything"); ok {
		t.Error("a switch nobody knows is found")
	}
}
