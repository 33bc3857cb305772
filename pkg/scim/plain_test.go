package scim

import (
	"encoding/json"
	"testing"
)

func TestWhatIsWrittenPlainlyIsWhatEncodingJSONWrites(t *testing.T) {
	var list []any
	values := []any{"", "Ada", `say "hello"`, `C:\`, "a<b>&c", "Zoë", "\u2028", "line\nbreak", "\x7f", "\x00", "bad \xff", true, false,
		int64(0), int64(-1 << 63), int64(1<<63 - 1), json.Number("1.50"), list, []any{}, []any{"a", int64(1), false}, []any{"a", "Zoë"},
		[]any{"a", nil}, []any{[]any{"b"}, "c"}, nil, Object{"b": "1", "a": []any{"x"}}}
	for c := range 256 {
		values = append(values, string(rune(c)), string([]byte{'a', byte(c)}))
	}
	for _, v := range values {
		var e encoder
		e.b.WriteString("before")
		e.value(v)
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.b.String(); got != "before"+string(want) {
			t.Errorf("%#v: got %s, want %s", v, got, want)
		}
	}
}
