package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/regain-id/regain/internal/adapter/memory"
	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/directorytest"
)

// liar is an honest directory behind an adapter that lies in one way.
type liar struct {
	*memory.Directory
	find     func(directory.Query) directory.Query
	describe func(*directory.Capabilities)
	reset    func(context.Context, directory.ResetRequest) (directory.Result, error)
	verify   func(directory.Secret) error
	close    func() error
}

func (l liar) FindUser(ctx context.Context, q directory.Query) (directory.User, error) {
	if l.find != nil {
		q = l.find(q)
	}
	return l.Directory.FindUser(ctx, q)
}

func (l liar) Describe(ctx context.Context) (directory.Description, error) {
	d, err := l.Directory.Describe(ctx)
	if l.describe != nil {
		l.describe(&d.Caps)
	}
	return d, err
}

func (l liar) Reset(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
	if l.reset != nil {
		return l.reset(ctx, req)
	}
	return l.Directory.Reset(ctx, req)
}

func (l liar) Verify(ctx context.Context, ref directory.Ref, password directory.Secret) error {
	if l.verify != nil {
		return l.verify(password)
	}
	return l.Directory.Verify(ctx, ref, password)
}

func (l liar) Close() error {
	if l.close != nil {
		return l.close()
	}
	return l.Directory.Close()
}

func TestTheKitCatchesAnAdapterThatLies(t *testing.T) {
	for lie, c := range map[string]struct {
		promise string
		tell    func(*memory.Directory) liar
	}{
		"says applied and writes nothing": {"a set password signs in", func(d *memory.Directory) liar {
			return liar{reset: func(context.Context, directory.ResetRequest) (directory.Result, error) {
				return directory.Result{Outcome: directory.Applied}, nil
			}}
		}},
		"trims passwords": {"any Unicode password signs in exactly as typed", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				req.New = directory.NewSecret(fmt.Sprintf("%.60s", req.New.Reveal()))
				return d.Reset(ctx, req)
			}}
		}},
		"calls a timeout not applied": {"an answer lost after the write is Unknown, and reconciles to Applied", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				res, err := d.Reset(ctx, req)
				if errors.Is(err, directory.ErrUnknown) {
					return res, &directory.Error{Op: "reset", Kind: directory.ErrUnavailable}
				}
				return res, err
			}}
		}},
		"calls a lost request applied": {"a request lost before the directory saw it is never Applied", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				res, err := d.Reset(ctx, req)
				if errors.Is(err, directory.ErrUnknown) {
					return directory.Result{Outcome: directory.Applied}, nil
				}
				return res, err
			}}
		}},
		"ignores the deadline": {"a deadline is obeyed within 250 ms", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), 800*time.Millisecond)
				defer cancel()
				return d.Reset(longer, req)
			}}
		}},
		"writes with an ended context": {"a context that has ended writes nothing", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				return d.Reset(context.WithoutCancel(ctx), req)
			}}
		}},
		"names the wrong rule": {"a refused password is named with its rule and not written", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				res, err := d.Reset(ctx, req)
				if e, ok := errors.AsType[*directory.Error](err); ok && e.Kind == directory.ErrPolicy {
					e.Violations = []directory.Violation{{Code: directory.Banned}}
				}
				return res, err
			}}
		}},
		"lifts an administrator's lock": {"an administrator's lock is not lifted", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				d.Put(memory.Account{Login: "adminlocked"})
				return d.Reset(ctx, req)
			}}
		}},
		"enables a disabled account": {"a disabled account is not enabled", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				d.Put(memory.Account{Login: "disabled"})
				return d.Reset(ctx, req)
			}}
		}},
		"claims that a reset unlocks": {"what is claimed about a reset lifting a lockout is so", func(d *memory.Directory) liar {
			return liar{describe: func(c *directory.Capabilities) { c.ResetUnlocks = true }}
		}},
		"denies that a reset unlocks": {"what is claimed about a reset lifting a lockout is so", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				req.Unlock = true
				return d.Reset(ctx, req)
			}}
		}},
		"denies that it enforces history": {"history is enforced on a reset where that is claimed, and refused where it cannot be", func(d *memory.Directory) liar {
			return liar{describe: func(c *directory.Capabilities) { c.ResetEnforcesHistory = false }}
		}},
		"ignores the marker": {"a stale marker is ErrConflict", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				req.IfMarker = ""
				return d.Reset(ctx, req)
			}}
		}},
		"accepts an empty password": {"what is claimed about trying a password is so", func(d *memory.Directory) liar {
			return liar{verify: func(p directory.Secret) error {
				if p.Empty() || p.Reveal() == first {
					return nil
				}
				return directory.ErrWrongPassword
			}}
		}},
		"quotes the password": {"no error contains a password", func(d *memory.Directory) liar {
			return liar{reset: func(ctx context.Context, req directory.ResetRequest) (directory.Result, error) {
				res, err := d.Reset(ctx, req)
				if e, ok := errors.AsType[*directory.Error](err); ok {
					e.Native.Message = "bad value " + req.New.Reveal()
				}
				return res, err
			}}
		}},
		"expands wildcards": {"a login is text, never a filter or a query", func(d *memory.Directory) liar {
			return liar{find: func(q directory.Query) directory.Query {
				if q.Login == "*" {
					q.Login = "ada"
				}
				return q
			}}
		}},
		"picks the first of two": {"a login that fits two accounts is ErrAmbiguous", func(d *memory.Directory) liar {
			return liar{find: func(q directory.Query) directory.Query {
				if q.Login == "twins@example.org" {
					q.Login = "twin1"
				}
				return q
			}}
		}},
		"writes after closing": {"after closing nothing is sent", func(d *memory.Directory) liar {
			return liar{close: func() error { return nil }}
		}},
	} {
		t.Run(lie, func(t *testing.T) {
			d, f := open(t)
			l := c.tell(d)
			l.Directory = d
			f.Adapter = l
			for _, p := range directorytest.Promises() {
				if p.Name == c.promise {
					if v := p.Judge(f); len(v.Failures) == 0 {
						t.Fatalf("the kit found nothing wrong: %+v", v)
					}
					return
				}
			}
			t.Fatalf("no promise %q", c.promise)
		})
	}
}

func TestTheKitNoticesTwoPasswordsThatBothWork(t *testing.T) {
	_, f := open(t)
	honest := f.SignIn
	f.SignIn = func(login, password string) bool { return honest(login, password) || password == first }
	for _, p := range directorytest.Promises() {
		if p.Name == directorytest.OldPasswordStops {
			if v := p.Judge(f); len(v.Failures) == 0 {
				t.Fatal("the kit found nothing wrong")
			}
		}
	}
}
