package adapter

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

// write makes a file of accounts that all have one password.
func write(path, password string, accounts ...Entry) error {
	for i := range accounts {
		e := &accounts[i]
		e.ID, e.Salt, e.Rounds = fmt.Sprintf("id-%d", i), []byte("salt"), 100
		e.Hash, _ = pbkdf2.Key(sha256.New, password, e.Salt, e.Rounds, 32)
	}
	text, err := json.Marshal(accounts)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// signIn tries a password as the programs that read the file do: not through the adapter, or it could lie.
func signIn(path, login, password string) bool {
	var all []Entry
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &all) != nil {
		panic("half a file")
	}
	i := slices.IndexFunc(all, func(e Entry) bool { return slices.Contains(e.Logins, login) })
	if i < 0 || all[i].Disabled {
		return false
	}
	hash, err := pbkdf2.Key(sha256.New, password, all[i].Salt, all[i].Rounds, 32)
	return err == nil && bytes.Equal(hash, all[i].Hash)
}

func TestTheFileKeepsThePromisesOfADirectory(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		const old = "an old password"
		path := filepath.Join(t.TempDir(), "people.json")
		if err := write(path, old, Entry{Logins: []string{"ada", "countess"}}, Entry{Logins: []string{"gone"}, Disabled: true},
			Entry{Logins: []string{"twin1", "twins"}}, Entry{Logins: []string{"twin2", "twins"}}); err != nil {
			t.Fatal(err)
		}
		ada := directorytest.Account{Login: "ada", Password: old}
		return directorytest.Fixture{
			Adapter: &File{Path: path, MinLength: 8, Rounds: 100}, // so few for tests only
			User:    ada, Disabled: directorytest.Account{Login: "gone"}, Ambiguous: "twins",
			SignIn:  func(login, password string) bool { return signIn(path, login, password) },
			Refused: []directorytest.Refusal{{Account: ada, New: "tiny-1", Code: directory.TooShort}},
			Exceptions: map[string]string{
				"case of a login does not matter": "the programs that read the file tell Ada from ada, and what is not theirs is not ours",
			},
		}
	})
}

// What regain does with an adapter, in short.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "people.json")
	if err := write(path, "an old password", Entry{Logins: []string{"ada"}}); err != nil {
		panic(err)
	}
	var a directory.Adapter = &File{Path: path, MinLength: 8, Rounds: 600_000}
	defer a.Close()
	ctx := context.Background()
	u, err := a.FindUser(ctx, directory.Query{Login: "ada"})
	fmt.Println(u.Login, err)
	before, err := a.Status(ctx, u.Ref)
	fmt.Println(before.Disabled, err)
	res, err := a.Reset(ctx, directory.ResetRequest{OpID: "op-1", User: u.Ref, New: directory.NewSecret("a heron lands"), IfMarker: before.Marker})
	fmt.Println(res.Outcome, err)
	fmt.Println(signIn(path, "ada", "a heron lands"), signIn(path, "ada", "an old password"))
	// Output:
	// ada <nil>
	// false <nil>
	// applied <nil>
	// true false
}
