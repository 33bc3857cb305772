package directory_test

import (
	"testing"

	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

// The example is held to what it shows.
func TestTheExampleKeepsThePromises(t *testing.T) {
	directorytest.Run(t, func(t *testing.T) directorytest.Fixture {
		c := &Cards{box: map[string]string{"ada": "an old password"}}
		ada := directorytest.Account{Login: "ada", Password: "an old password"}
		return directorytest.Fixture{
			Adapter: c, User: ada,
			SignIn: func(login, password string) bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.box[login] == password
			},
			Refused: []directorytest.Refusal{{Account: ada, New: "tiny-1", Code: directory.TooShort}},
		}
	})
}
