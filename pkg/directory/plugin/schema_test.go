package plugin

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write api/directory/v1 anew")

// contract is where the messages stand as JSON Schema.
const contract = "../../../api/directory/v1/messages.json"

// of are the parameters and the result of each method.
var of = []struct {
	method         string
	params, result any
}{
	{methodHello, hello{}, welcome{}},
	{methodCancel, cancelParams{}, nil},
	{methodDescribe, struct{}{}, wireDescription{}},
	{methodHealth, struct{}{}, struct{}{}},
	{methodFind, findParams{}, wireUser{}},
	{methodStatus, userParams{}, wireStatus{}},
	{methodReset, resetParams{}, wireResult{}},
	{methodChange, changeParams{}, wireResult{}},
	{methodUnlock, userParams{}, wireResult{}},
	{methodForce, forceParams{}, wireResult{}},
	{methodPolicy, userParams{}, wirePolicy{}},
	{methodList, listParams{}, listResult{}},
	{methodVerify, verifyParams{}, struct{}{}},
	{methodReconcile, reconcileParams{}, wireResult{}},
}

// words are the texts a member may be.
func words() map[string][]string {
	var named []string
	for _, k := range kinds {
		named = append(named, k.name)
	}
	return map[string][]string{"wireError.kind": named, "wireError.outcome": outcomes, "wireResult.outcome": outcomes, "resetParams.enforce_history": degrees, "wirePolicy.complexity": complexities[1:],
		"welcome.methods": {methodChange, methodUnlock, methodForce, methodPolicy, methodList, methodVerify, methodReconcile}}
}

func schemaOf(t reflect.Type) map[string]any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Pointer:
		return schemaOf(t.Elem())
	}
	members, required := map[string]any{}, []string{}
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		member := schemaOf(t.Field(i).Type)
		if w := words()[t.Name()+"."+name]; w != nil {
			if items, ok := member["items"].(map[string]any); ok {
				items["enum"] = w
			} else {
				member["enum"] = w
			}
		}
		members[name] = member
		if options == "" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": members, "required": required}
}

// The schema says what the types say: a member that is added to one and not to the other shows here.
func TestTheContractAsAFileIsTheOneThatIsSpoken(t *testing.T) {
	methods := map[string]any{}
	for _, m := range of {
		said := map[string]any{"params": schemaOf(reflect.TypeOf(m.params))}
		if m.result != nil {
			said["result"] = schemaOf(reflect.TypeOf(m.result))
		}
		methods[m.method] = map[string]any{"type": "object", "properties": said}
	}
	got, err := json.MarshalIndent(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "regain.directory.v1",
		"description": "Messages between a host and an adapter that is a process of its own: one JSON object on a line of at most 1 MiB. Members that are not named here are ignored by both sides. A result or an error is about the request with its id; an error of an unknown kind of a write means that nobody knows whether it was written.",
		"$defs":       map[string]any{"request": schemaOf(reflect.TypeFor[request]()), "response": schemaOf(reflect.TypeFor[response]()), "methods": methods},
		"oneOf":       []any{map[string]string{"$ref": "#/$defs/request"}, map[string]string{"$ref": "#/$defs/response"}},
	}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(contract, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("the messages changed; if that is meant: go test ./pkg/directory/plugin -run Contract -update, and another protocol number where a side would break")
	}
}
