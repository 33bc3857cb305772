package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/regain-id/regain/pkg/directory"
)

// Info is what a child says of itself.
type Info struct{ Name, Version string }

// maxAtOnce is how many requests are worked on at once; more wait in the pipe.
const maxAtOnce = 64

// Serve is the whole of a child: it opens an adapter when the host says hello, with the name and the settings the operator
// gave it (nil for none), and answers until in ends; then it finishes what is in hand, closes the adapter and returns nil.
// Nothing else may read in or write out. An error says that the host cannot be talked to, and is for standard error.
//
// Methods of the adapter are called concurrently. Its abilities are the optional interfaces of package directory it
// implements. The Adapter of its Refs is name: on the wire goes their ID alone.
func Serve(ctx context.Context, in io.Reader, out io.Writer, info Info, open func(name string, config json.RawMessage) (directory.Adapter, error)) error {
	c := &child{lines: newLines(in, out), cancels: map[int64]context.CancelFunc{}}
	line, err := c.read()
	if err == io.EOF {
		return nil // nobody said a word
	}
	if err != nil {
		return err
	}
	var r request
	var h hello
	if err := json.Unmarshal(line, &r); err != nil || r.Method != methodHello || r.ID == 0 {
		return errors.New("plugin: the first message is not hello")
	}
	if err := json.Unmarshal(r.Params, &h); err != nil {
		return fmt.Errorf("plugin: hello: %w", err)
	}
	if !slices.Contains(h.Protocols, Protocol) {
		return errors.Join(c.write(response{ID: r.ID, Error: &wireError{Kind: "unsupported", Message: fmt.Sprintf("this adapter speaks protocol %d", Protocol)}}),
			fmt.Errorf("plugin: the host speaks protocols %v, not %d", h.Protocols, Protocol))
	}
	c.name = h.Name
	if c.adapter, err = open(h.Name, h.Config); err != nil {
		return errors.Join(c.write(response{ID: r.ID, Error: errorOf(err, false)}), fmt.Errorf("plugin: open: %w", err))
	}
	if err := c.write(answer(r.ID, welcome{Protocol: Protocol, Name: info.Name, Version: info.Version, API: directory.API, Methods: methodsOf(c.adapter)})); err != nil {
		return errors.Join(err, c.adapter.Close())
	}
	return c.serve(ctx)
}

func answer(id int64, v any) response {
	b, err := json.Marshal(v)
	if err != nil { // of our own types only
		panic(err)
	}
	return response{ID: id, Result: b}
}

// methodsOf are the optional abilities of an adapter.
func methodsOf(a directory.Adapter) []string {
	methods := []string{}
	add := func(ok bool, method string) {
		if ok {
			methods = append(methods, method)
		}
	}
	_, ok := a.(directory.Changer)
	add(ok, methodChange)
	_, ok = a.(directory.Unlocker)
	add(ok, methodUnlock)
	_, ok = a.(directory.ForceChanger)
	add(ok, methodForce)
	_, ok = a.(directory.PolicyReader)
	add(ok, methodPolicy)
	_, ok = a.(directory.Lister)
	add(ok, methodList)
	_, ok = a.(directory.PasswordTester)
	add(ok, methodVerify)
	_, ok = a.(directory.Reconciler)
	add(ok, methodReconcile)
	return methods
}

// child is a conversation seen from the adapter's end.
type child struct {
	*lines
	name    string // the Adapter of its Refs
	adapter directory.Adapter

	mu      sync.Mutex
	cancels map[int64]context.CancelFunc
}

func (c *child) serve(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var hands sync.WaitGroup
	room := make(chan struct{}, maxAtOnce)
	var failed error
	for {
		line, err := c.read()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				failed = err
			}
			break
		}
		var r request
		err = json.Unmarshal(line, &r)
		clear(line)
		if err != nil {
			failed = fmt.Errorf("plugin: a message that is no JSON object of ours: %w", err)
			break
		}
		if r.Method == methodCancel {
			c.cancel(r.Params)
			continue
		}
		work, cancel := context.WithCancel(ctx)
		if r.Deadline > 0 {
			work, cancel = context.WithTimeout(ctx, milliseconds(r.Deadline))
		}
		c.mu.Lock()
		c.cancels[r.ID] = cancel
		c.mu.Unlock()
		room <- struct{}{}
		hands.Go(func() {
			defer func() { <-room }()
			answer := c.answer(work, r)
			clear(r.Params)
			cancel()
			c.mu.Lock()
			delete(c.cancels, r.ID)
			c.mu.Unlock()
			c.write(answer) // a host that is gone has heard silence, which is what it is to hear
		})
	}
	if failed != nil {
		stop()
	}
	hands.Wait()
	return errors.Join(failed, c.adapter.Close())
}

func (c *child) cancel(params json.RawMessage) {
	var p cancelParams
	if json.Unmarshal(params, &p) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.cancels[p.ID]; cancel != nil {
		cancel()
	}
}

func (c *child) ref(id string) directory.Ref { return directory.Ref{Adapter: c.name, ID: id} }

// answer does one request.
func (c *child) answer(ctx context.Context, r request) response {
	done, known := c.do(ctx, r)
	if !known {
		return response{ID: r.ID, Error: &wireError{Kind: "unsupported", Outcome: outcomeName(directory.NotApplied)}}
	}
	result, err := done()
	if err != nil {
		return response{ID: r.ID, Error: errorOf(err, isWrite(r.Method))}
	}
	return answer(r.ID, result)
}

func isWrite(method string) bool {
	return method == methodReset || method == methodChange || method == methodUnlock || method == methodForce
}

// errParams says that a request was not to be read, so that nothing was done.
func errParams(op string, err error) error {
	return &directory.Error{Op: op, Kind: directory.ErrConfig, Err: err}
}

// asked reads the parameters of a request.
func asked[P any](r request, do func(P) (any, error)) func() (any, error) {
	return func() (any, error) {
		var p P
		if err := json.Unmarshal(r.Params, &p); err != nil {
			return nil, errParams(r.Method, errors.New("parameters that are not to be read"))
		}
		return do(p)
	}
}

// written is the answer to a write. The error decides where both are given.
func written(r directory.Result, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return resultOf(r), nil
}

// do returns what does a request; false when this adapter cannot.
func (c *child) do(ctx context.Context, r request) (func() (any, error), bool) {
	switch r.Method {
	case methodDescribe:
		return func() (any, error) {
			d, err := c.adapter.Describe(ctx)
			return wireDescription{Server: d.Server, Caps: wireCapabilities(d.Caps)}, err
		}, true
	case methodHealth:
		return func() (any, error) { return struct{}{}, c.adapter.Health(ctx) }, true
	case methodFind:
		return asked(r, func(p findParams) (any, error) {
			u, err := c.adapter.FindUser(ctx, directory.Query{Login: p.Login, Attrs: p.Attrs, Return: p.Return, Scope: p.Scope})
			return userOf(u), err
		}), true
	case methodStatus:
		return asked(r, func(p userParams) (any, error) {
			s, err := c.adapter.Status(ctx, c.ref(p.User))
			return wireStatus(s), err
		}), true
	case methodReset:
		return asked(r, func(p resetParams) (any, error) {
			degree := slices.Index(degrees, p.EnforceHistory)
			if p.EnforceHistory == "" {
				degree = int(directory.Prefer)
			}
			if degree < 0 { // a degree of a newer host: nobody knows what it insists on
				return nil, errParams(r.Method, fmt.Errorf("enforce_history %q", p.EnforceHistory))
			}
			return written(c.adapter.Reset(ctx, directory.ResetRequest{OpID: p.OpID, User: c.ref(p.User), New: directory.NewSecret(p.New), Unlock: p.Unlock, MustChange: p.MustChange,
				EnforceHistory: directory.Tri(degree), IfMarker: p.IfMarker}))
		}), true
	}
	return c.doOptional(ctx, r)
}

// doOptional is do for what not every adapter can.
func (c *child) doOptional(ctx context.Context, r request) (func() (any, error), bool) {
	switch r.Method {
	case methodChange:
		a, ok := c.adapter.(directory.Changer)
		return asked(r, func(p changeParams) (any, error) {
			return written(a.Change(ctx, directory.ChangeRequest{OpID: p.OpID, User: c.ref(p.User), Old: directory.NewSecret(p.Old), New: directory.NewSecret(p.New)}))
		}), ok
	case methodUnlock:
		a, ok := c.adapter.(directory.Unlocker)
		return asked(r, func(p userParams) (any, error) { return written(a.Unlock(ctx, c.ref(p.User))) }), ok
	case methodForce:
		a, ok := c.adapter.(directory.ForceChanger)
		return asked(r, func(p forceParams) (any, error) { return written(a.RequireChange(ctx, c.ref(p.User), p.Must)) }), ok
	case methodPolicy:
		a, ok := c.adapter.(directory.PolicyReader)
		return asked(r, func(p userParams) (any, error) {
			policy, err := a.Policy(ctx, c.ref(p.User))
			return policyOf(policy), err
		}), ok
	case methodList:
		a, ok := c.adapter.(directory.Lister)
		return asked(r, func(p listParams) (any, error) {
			page, next, err := a.List(ctx, p.Cursor, p.Since)
			all := listResult{Users: []wireUser{}, Next: next}
			for _, u := range page {
				all.Users = append(all.Users, userOf(u))
			}
			return all, err
		}), ok
	case methodVerify:
		a, ok := c.adapter.(directory.PasswordTester)
		return asked(r, func(p verifyParams) (any, error) {
			return struct{}{}, a.Verify(ctx, c.ref(p.User), directory.NewSecret(p.Password))
		}), ok
	case methodReconcile:
		a, ok := c.adapter.(directory.Reconciler)
		return asked(r, func(p reconcileParams) (any, error) {
			o, err := a.Reconcile(ctx, c.ref(p.User), p.Before.status(), directory.NewSecret(p.Password))
			return wireResult{Outcome: outcomeName(o)}, err
		}), ok
	}
	return nil, false
}
