package app

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"unicode"

	example "github.com/regain-id/regain/examples/app"
	"github.com/regain-id/regain/internal/client"
)

//go:embed snippets/*.txt
var snippetFiles embed.FS

var snippetParts = template.Must(template.ParseFS(snippetFiles, "snippets/*.txt"))

// snippets is what an integrator needs of an app that has just been registered: programs in Go, TypeScript and curl with
// the addresses of this deployment in them, ready to run. The programs are the examples, changed only where the app or the
// deployment is another. secret is the one shown now, "" for an app with a key; it stands in the environment and in no
// program.
func snippets(base string, a *client.App, secret string) (string, error) {
	if !a.Asks() || len(a.Actions) == 0 {
		return "", errors.New("the app does not ask by OpenID Connect: it has no redirect URI")
	}
	s := snippet{Base: base, App: a, Action: a.Actions[0]}
	credential, modules := "export CLIENT_SECRET="+s.Shell(secret), "github.com/coreos/go-oidc/v3 golang.org/x/oauth2"
	if a.Auth == client.AuthKey {
		if len(a.Keys) == 0 {
			return "", errors.New("the app has no key")
		}
		var err error
		if s.Key, err = keyKindOf(a.Keys[0]); err != nil {
			return "", err
		}
		credential, modules = "export CLIENT_KEY=\"$PWD/client.pem\" # the file of its private key, PKCS #8 in PEM", modules+" github.com/go-jose/go-jose/v4"
	}
	inGo, err := s.change(example.Go, s.goChanges())
	if err != nil {
		return "", fmt.Errorf("the example in Go: %w", err)
	}
	inTypeScript, err := s.change(example.TypeScript, s.typeScriptChanges())
	if err != nil {
		return "", fmt.Errorf("the example in TypeScript: %w", err)
	}
	return strings.Join([]string{
		"==== sh: what the programs below read", credential + "\n",
		"==== go: main.go, after go mod init shop && go get " + modules, inGo,
		"==== ts: app.ts, after npm install openid-client; node 22.18 or newer runs it", inTypeScript,
		"==== curl: try.sh, the same by hand; bash try.sh", s.part("curl.sh.txt"),
	}, "\n"), nil
}

// snippet is what the programs are made of.
type snippet struct {
	Base   string
	App    *client.App
	Action client.Action // the first of the app's
	Key    *keyKind      // nil for a secret
}

// keyKind is a kind of key, in the words of JOSE and of crypto.subtle.importKey.
type keyKind struct{ ID, Alg, Subtle string }

// keyKindOf tells what a registered key signs with.
func keyKindOf(k client.PublicKey) (*keyKind, error) {
	var jwk struct{ Kty, Crv, Alg string }
	if err := json.Unmarshal([]byte(k.JWK), &jwk); err != nil {
		return nil, fmt.Errorf("key %s: %w", k.ID, err)
	}
	switch {
	case jwk.Kty == "EC" && jwk.Crv == "P-256":
		return &keyKind{k.ID, "ES256", `{ name: "ECDSA", namedCurve: "P-256" }`}, nil
	case jwk.Kty == "OKP" && jwk.Crv == "Ed25519":
		return &keyKind{k.ID, "EdDSA", `{ name: "Ed25519" }`}, nil
	case jwk.Kty == "RSA" && jwk.Alg == "PS256":
		return &keyKind{k.ID, "PS256", `{ name: "RSA-PSS", hash: "SHA-256" }`}, nil
	case jwk.Kty == "RSA":
		return &keyKind{k.ID, "RS256", `{ name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }`}, nil
	}
	return nil, fmt.Errorf("key %s: a kind nobody signs with here", k.ID)
}

// Redirect is where the programs take the answer.
func (s snippet) Redirect() string { return s.App.Redirects[0] }

// Quote is a text as Go and TypeScript write it.
func (s snippet) Quote(text string) string { return strconv.Quote(text) }

// Shell is a text as a shell writes it.
func (s snippet) Shell(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// home is where the app itself lets people sign in, as far as we know: its front page.
func (s snippet) home() string {
	u, err := url.Parse(s.Redirect())
	if err != nil {
		return s.Redirect() // it was checked when it was registered
	}
	return u.Scheme + "://" + u.Host + "/"
}

// part is a piece that the examples do not have.
func (s snippet) part(name string) string {
	var b strings.Builder
	if err := snippetParts.ExecuteTemplate(&b, name, s); err != nil {
		panic(err) // the templates are ours: a bug
	}
	return b.String()
}

// change is one difference from an example: what stands in it, and what stands there instead.
type change struct{ from, to string }

// change makes the differences. One that finds nothing means that the example has moved on without this file.
func (s snippet) change(text string, changes []change) (string, error) {
	for _, c := range append(changes, s.wording()...) {
		if !strings.Contains(text, c.from) {
			return "", fmt.Errorf("%q is not in it any more", c.from)
		}
		text = strings.ReplaceAll(text, c.from, c.to)
	}
	return text, nil
}

// wording are the differences of what people read, which is for a reset unless the app asks for something else.
func (s snippet) wording() []change {
	out := []change{{"Example shop", markup(s.App.Name)}}
	if s.Action == client.ActionReset {
		return out
	}
	words := map[client.Action][2]string{
		client.ActionChange: {"Change your password", "Your password is changed."}, client.ActionUnlock: {"Is your account locked?", "Your account is unlocked."},
		client.ActionRegister: {"Set up how you get back in", "What you set up is saved."},
	}[s.Action]
	return append(out, change{" to reset a password. That", ". That"}, change{"regain.reset", "regain." + string(s.Action)}, change{`"reset"`, s.Quote(string(s.Action))},
		change{"the statement of a reset", "the statement of what was"}, change{"Forgot your password?", words[0]}, change{"Your password is changed.", words[1]},
		change{"Try the new password first, then the old one.", "Try to sign in."}, change{"Try the new password first.", "Try to sign in."})
}

// markup is a text in HTML that also stands in a literal of Go or TypeScript.
func markup(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" .,-", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

func (s snippet) goChanges() []change {
	out := []change{
		{"// Command go is", "// Command shop is"}, {`os.Getenv("ISSUER")`, s.Quote(s.Base)}, {`os.Getenv("CLIENT_ID")`, s.Quote(s.App.Key)},
		{`os.Getenv("REDIRECT_URI")`, s.Quote(s.Redirect())}, {`os.Getenv("SIGN_IN")`, s.Quote(s.home())},
	}
	if s.Key == nil && !s.App.PushOnly {
		return out
	}
	// What shows the app's key is pushed, and so is what may only be pushed.
	const redirect = "\t\thttp.Redirect(w, r, flow.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusSeeOther)\n"
	imports := "\t\"crypto/rand\"\n"
	out = append(out, change{redirect, s.part("pushed.go.txt")}, change{imports, imports + "\t\"encoding/json\"\n"}, change{"// outcome swaps", s.part("push.go.txt") + "// outcome swaps"})
	if s.Key == nil {
		return out
	}
	return append(out, change{`os.Getenv("CLIENT_SECRET")`, `os.Getenv("CLIENT_KEY")`}, change{"clientID, clientSecret,", "clientID, clientKey,"}, change{"ClientSecret: clientSecret, ", ""},
		change{"oauth2.AuthStyleInHeader", "oauth2.AuthStyleInParams"}, change{"code, oauth2.VerifierOption(verifier))", "code, append(proof(), oauth2.VerifierOption(verifier))...)"},
		change{imports, imports + "\t\"crypto/x509\"\n"}, change{"\t\"encoding/json\"\n", "\t\"encoding/json\"\n\t\"encoding/pem\"\n"}, change{"\t\"strings\"\n", "\t\"strings\"\n\t\"time\"\n"},
		change{"\t\"golang.org/x/oauth2\"\n", "\t\"github.com/go-jose/go-jose/v4\"\n\t\"github.com/go-jose/go-jose/v4/jwt\"\n\t\"golang.org/x/oauth2\"\n"},
		change{"// outcome swaps", s.part("proof.go.txt") + "// outcome swaps"})
}

func (s snippet) typeScriptChanges() []change {
	const environment = `const { ISSUER = "", CLIENT_ID = "", CLIENT_SECRET = "", REDIRECT_URI = "", SIGN_IN = "", LISTEN } = process.env;`
	known := fmt.Sprintf("const ISSUER = %q, CLIENT_ID = %q;\nconst REDIRECT_URI: string = %q, SIGN_IN = %q;\n", s.Base, s.App.Key, s.Redirect(), s.home())
	if s.Key == nil {
		return []change{{environment, known + `const { CLIENT_SECRET = "", LISTEN } = process.env;`}}
	}
	return []change{{environment, known + s.part("key.ts.txt")}, {`import { createServer,`, "import { readFileSync } from \"node:fs\";\nimport { createServer,"},
		{"client.ClientSecretBasic(CLIENT_SECRET)", "client.PrivateKeyJwt({ key, kid: " + s.Quote(s.Key.ID) + " })"}}
}
