package provision

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/regain-id/regain/internal/client"
)

var update = flag.Bool("update", false, "write the contract files in api/scim anew")

func TestTheContractIsWhatIsServed(t *testing.T) {
	b := newBench(t, "sqlite")
	c := b.connector("idp", client.TrustOne, client.PresetStandard)
	for file, path := range map[string]string{
		"service-provider-config.json": "/ServiceProviderConfig",
		"resource-types.json":          "/ResourceTypes",
		"regain-user.json":             "/Schemas/" + userURN,
		"authentication-method.json":   "/Schemas/" + methodURN,
	} {
		var text bytes.Buffer
		if err := json.Indent(&text, []byte(c.want(200, "GET", path, "").body), "", "  "); err != nil {
			t.Fatal(err)
		}
		text.WriteByte('\n')
		name := filepath.Join("..", "..", "api", "scim", file)
		if *update {
			if err := os.WriteFile(name, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(name); err != nil || !bytes.Equal(want, text.Bytes()) {
			t.Errorf("api/scim/%s (%v) is not what %s answers; after a change that is meant: go test ./internal/provision -run Contract -update\n%s", file, err, path, text.Bytes())
		}
	}
}

func TestNewSaysEverythingThatIsMissing(t *testing.T) {
	if _, err := New(Config{Base: "https://id.example.org"}); err == nil || bytes.Count([]byte(err.Error()), []byte("is missing")) != 5 {
		t.Errorf("got %v", err)
	}
	b := newBench(t, "sqlite")
	b.conf.Base = "not a url"
	if _, err := New(b.conf); err == nil {
		t.Error("a base that is no URL was taken")
	}
}
