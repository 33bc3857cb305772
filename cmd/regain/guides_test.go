package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var realCommands = regexp.MustCompile("(?ms)^```sh real\n(.*?)^```$")

// The commands of the guides to identity providers are run as they are printed, one guide after the other in a deployment of
// its own.
func TestTheCommandsOfTheGuidesToIdentityProvidersRunAsPrinted(t *testing.T) {
	texts := map[string]string{}
	for _, page := range []string{"scim-entra.md", "scim-okta.md", "scim-authentik.md", "scim-keycloak.md"} {
		b, err := os.ReadFile(filepath.Join("../../docs/guides", page))
		if err != nil {
			t.Fatal(err)
		}
		texts[page] = string(b)
	}
	// Of the guide to provisioning the parts about keys and rules; its other commands are in no order.
	b, err := os.ReadFile("../../docs/guides/provisioning.md")
	if err != nil {
		t.Fatal(err)
	}
	_, keys, found := strings.Cut(string(b), "\n### A key instead of a token\n")
	keys, _, ended := strings.Cut(keys, "\n### What it may use")
	if !found || !ended {
		t.Fatal("provisioning.md has no part about keys")
	}
	texts["provisioning.md"] = "```sh real\nregain connector create --config regain.yaml hr\n```\n" + keys
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			d := deployment(t)
			file := strings.TrimPrefix(d[0], "REGAIN_CONFIG=")
			one, two := ownKey(t, "idp.pem"), ownKey(t, "next.pem")
			blocks := realCommands.FindAllStringSubmatch(text, -1)
			if len(blocks) < 2 {
				t.Fatalf("%d blocks", len(blocks))
			}
			for _, b := range blocks {
				for line := range strings.Lines(b[1]) {
					words := strings.Fields(line)
					for i, w := range words {
						switch w {
						case "regain.yaml":
							words[i] = file
						case "idp.pem":
							words[i] = one
						case "next.pem":
							words[i] = two
						}
					}
					if got := run(t, nil, words[1:]...); words[0] != "regain" || strings.Contains(got, "error: ") {
						t.Errorf("%s: %s", strings.TrimSpace(line), got)
					}
				}
			}
		})
	}
}
