package directory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/regain-id/regain/pkg/directory"
)

// Cards keeps passwords on cards in a box: the smallest adapter that keeps the promises. It implements nothing optional.
type Cards struct {
	mu     sync.Mutex
	box    map[string]string // login to password; a real one keeps hashes
	closed bool
}

func (c *Cards) refuse(op string, kind error) error {
	return &directory.Error{Op: op, Kind: kind, Outcome: directory.NotApplied, Native: directory.Native{Server: "box"}}
}

// ready locks the box, or says why not. Nothing is sent anywhere, so every failure here is NotApplied.
func (c *Cards) ready(ctx context.Context, op string) error {
	if ctx.Err() != nil {
		return c.refuse(op, directory.ErrUnavailable)
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.refuse(op, directory.ErrUnavailable)
	}
	return nil
}

func (c *Cards) Describe(context.Context) (directory.Description, error) {
	return directory.Description{Name: "cards", Version: "1.0", API: directory.API, Server: "box", Caps: directory.Capabilities{
		ResetEnforcesQuality: true, ViolationDetail: true, WritesEverywhereVisible: true, MaxConcurrentPerUser: 1, SuggestedConcurrency: 1,
	}}, nil
}

func (c *Cards) FindUser(ctx context.Context, q directory.Query) (directory.User, error) {
	if err := c.ready(ctx, "find"); err != nil {
		return directory.User{}, err
	}
	defer c.mu.Unlock()
	login := strings.ToLower(q.Login)
	if _, ok := c.box[login]; !ok {
		return directory.User{}, c.refuse("find", directory.ErrNotFound)
	}
	return directory.User{Ref: directory.Ref{Adapter: "cards", ID: login}, Login: login, Status: directory.Status{Server: "box"}}, nil
}

func (c *Cards) Status(ctx context.Context, r directory.Ref) (directory.Status, error) {
	if err := c.ready(ctx, "status"); err != nil {
		return directory.Status{}, err
	}
	defer c.mu.Unlock()
	if _, ok := c.box[r.ID]; !ok || r.Adapter != "cards" {
		return directory.Status{}, c.refuse("status", directory.ErrNotFound)
	}
	return directory.Status{Server: "box"}, nil
}

func (c *Cards) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	if err := c.ready(ctx, "reset"); err != nil {
		return directory.Result{}, err
	}
	defer c.mu.Unlock()
	if _, ok := c.box[req.User.ID]; !ok || req.User.Adapter != "cards" {
		return directory.Result{}, c.refuse("reset", directory.ErrNotFound)
	}
	if req.EnforceHistory == directory.Require || req.MustChange {
		return directory.Result{}, c.refuse("reset", directory.ErrUnsupported)
	}
	if len(req.New.Reveal()) < 8 {
		return directory.Result{}, &directory.Error{Op: "reset", Kind: directory.ErrPolicy, Outcome: directory.NotApplied,
			Violations: []directory.Violation{{Code: directory.TooShort, Limit: 8}}}
	}
	c.box[req.User.ID] = req.New.Reveal()
	return directory.Result{Outcome: directory.Applied, Server: "box"}, nil
}

func (c *Cards) Health(ctx context.Context) error {
	if err := c.ready(ctx, "health"); err != nil {
		return err
	}
	c.mu.Unlock()
	return nil
}

func (c *Cards) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}

// An adapter, and a caller that treats all three outcomes of a write.
func Example() {
	var adapter directory.Adapter = &Cards{box: map[string]string{"ada": "an old password"}}
	defer adapter.Close()
	ctx := context.Background()

	user, err := adapter.FindUser(ctx, directory.Query{Login: "Ada"})
	if err != nil {
		fmt.Println("not found, or not reachable:", err)
		return
	}
	before, err := adapter.Status(ctx, user.Ref)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, password := range []string{"short", "a new password"} {
		secret := directory.NewSecret(password)
		_, err := adapter.Reset(ctx, directory.ResetRequest{OpID: "op-1", User: user.Ref, New: secret, IfMarker: before.Marker})
		switch directory.OutcomeOf(err) {
		case directory.Applied:
			fmt.Println("done")
		case directory.NotApplied:
			if errors.Is(err, directory.ErrPolicy) {
				for _, v := range directory.ViolationsOf(err) {
					fmt.Println("refused:", v.Code, v.Limit)
				}
			}
		case directory.Unknown: // never send it again: ask whether it landed
			if r, ok := adapter.(directory.Reconciler); ok {
				outcome, _ := r.Reconcile(ctx, user.Ref, before, secret)
				fmt.Println("after looking again:", outcome)
			}
		}
		secret.Wipe()
	}
	// Output:
	// refused: too_short 8
	// done
}
