package directorytest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/regain-id/regain/pkg/directory"
)

var conductPromises = []Promise{
	{"no error contains a password", func(t *trial) {
		u := t.find(t.User.Login)
		canary := "CaNaRy-7-" + t.fresh()
		old := "OlDcAnArY-8-" + t.fresh()
		seen := func(what string, res directory.Result, err error) {
			if err == nil {
				t.errorf("%s: succeeded", what)
				return
			}
			var detail *directory.Error
			errors.As(err, &detail)
			asJSON, _ := json.Marshal(detail)
			text := fmt.Sprintf("%v %+v %#v %s %+v %s", err, err, err, asJSON, detail, strings.Join(res.Warnings, " "))
			if detail != nil {
				text += fmt.Sprintf(" %+v %+v", detail.Native, detail.Violations)
			}
			for _, secret := range []string{canary, old, t.User.Password} {
				if strings.Contains(text, secret) {
					t.errorf("%s: the error shows a password", what)
				}
			}
		}
		for _, r := range t.Refused {
			if !r.ByChange {
				_, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: t.find(r.Account.Login).Ref, New: directory.NewSecret(r.New)})
				if err != nil && len(r.New) > 2 && strings.Contains(fmt.Sprintf("%+v %#v", err, err), r.New) {
					t.errorf("%s: the error shows the password", r.Code)
				}
			}
		}
		res, err := t.Adapter.Reset(t.ctx, directory.ResetRequest{User: directory.Ref{Adapter: u.Ref.Adapter, ID: "gone"}, New: directory.NewSecret(canary)})
		seen("reset of nobody", res, err)
		ended, cancel := context.WithCancel(t.ctx)
		cancel()
		res, err = t.Adapter.Reset(ended, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(canary)})
		seen("reset with an ended context", res, err)
		if c, ok := t.Adapter.(directory.Changer); ok {
			res, err = c.Change(t.ctx, directory.ChangeRequest{User: u.Ref, Old: directory.NewSecret(old), New: directory.NewSecret(canary)})
			seen("change with a wrong old password", res, err)
		}
		if v, ok := t.Adapter.(directory.PasswordTester); ok {
			seen("verify", directory.Result{}, v.Verify(t.ctx, u.Ref, directory.NewSecret(canary)))
		}
		for name, fault := range map[string]func() func(){"lost answer": t.LoseAnswer, "stall": t.Stall} {
			if fault == nil {
				continue
			}
			restore := fault()
			ctx, cancel := context.WithTimeout(t.ctx, budget)
			res, err = t.Adapter.Reset(ctx, directory.ResetRequest{User: u.Ref, New: directory.NewSecret(canary)})
			cancel()
			restore()
			seen(name, res, err)
			break // the canary may be the password now, and its history would refuse it
		}
	}},
	{"calls at once do not disturb each other", func(t *trial) {
		want := t.find(t.User.Login).Ref
		var all sync.WaitGroup
		errs := make([]error, 24)
		for i := range errs {
			all.Go(func() {
				switch i % 3 {
				case 0:
					u, err := t.Adapter.FindUser(t.ctx, t.query(t.User.Login))
					if errs[i] = err; err == nil && u.Ref != want {
						errs[i] = fmt.Errorf("found %v, want %v", u.Ref, want)
					}
				case 1:
					_, errs[i] = t.Adapter.Status(t.ctx, want)
				default:
					errs[i] = t.Adapter.Health(t.ctx)
				}
			})
		}
		all.Wait()
		for _, err := range errs {
			if err != nil && !errors.Is(err, directory.ErrBusy) {
				t.errorf("got %v", err)
			}
		}
	}},
	{"after closing nothing is sent", func(t *trial) {
		u, password := t.find(t.User.Login), t.fresh()
		for range 2 {
			if err := t.Adapter.Close(); err != nil {
				t.errorf("close: %v", err)
			}
		}
		start := time.Now()
		err := t.resetIn(t.ctx, u, password)
		t.refused("reset after closing", err, directory.ErrUnavailable)
		if _, err := t.Adapter.FindUser(t.ctx, t.query(t.User.Login)); !errors.Is(err, directory.ErrUnavailable) {
			t.errorf("find after closing: got %v, want ErrUnavailable", err)
		}
		if took := time.Since(start); took > time.Second {
			t.errorf("calls after closing took %v", took)
		}
		if t.SignIn(t.User.Login, password) {
			t.errorf("written after closing")
		}
	}},
}
