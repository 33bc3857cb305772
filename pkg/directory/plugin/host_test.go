package plugin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regain-id/regain/pkg/directory"
	"github.com/regain-id/regain/pkg/directory/plugin"
)

func host(t *testing.T, c plugin.HostConfig) *plugin.Host {
	t.Helper()
	if c.Name == "" {
		c.Name = "hr"
	}
	h, err := plugin.NewHost(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// asked is a request as a child sees it.
type asked struct {
	ID       int64
	Method   string
	Deadline int64 `json:"deadline_ms"`
	Params   map[string]any
}

// actor is a child that does as it is told by a test.
type actor struct {
	started atomic.Int64
	mu      sync.Mutex
	heard   []asked
	welcome string
	// act gets each request after hello and a way to say a line.
	act func(q asked, say func(line string, args ...any), die func())
}

func (a *actor) start(func(string) string) (*plugin.Process, error) {
	a.started.Add(1)
	childIn, hostOut := io.Pipe()
	hostIn, childOut := io.Pipe()
	die := func() {
		childIn.CloseWithError(io.ErrClosedPipe)
		childOut.Close()
	}
	say := func(line string, args ...any) { fmt.Fprintf(childOut, line+"\n", args...) }
	go func() {
		in := bufio.NewReader(childIn)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				childOut.Close()
				return
			}
			var q asked
			if err := json.Unmarshal([]byte(line), &q); err != nil {
				panic(err)
			}
			a.mu.Lock()
			a.heard = append(a.heard, q)
			a.mu.Unlock()
			switch {
			case q.Method != "hello":
				go a.act(q, say, die)
			case a.welcome != "":
				say(a.welcome, q.ID)
			default:
				say(`{"id":%d,"result":{"protocol":1,"name":"actor","version":"1","api":"1.0","methods":["change","unlock","require_change","policy","list","verify","reconcile"]}}`, q.ID)
			}
		}
	}()
	return &plugin.Process{In: hostOut, Out: hostIn, Kill: func() error { die(); return nil }}, nil
}

func (a *actor) times(method string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.heard {
		if q.Method == method {
			n++
		}
	}
	return n
}

func played(t *testing.T, a *actor) *plugin.Host { return host(t, plugin.HostConfig{Start: a.start}) }

var (
	ada    = directory.Ref{Adapter: "hr", ID: "7"}
	canary = directory.NewSecret("CaNaRy-secret-1")
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func reset(ctx context.Context, h *plugin.Host) (directory.Result, error) {
	return h.Reset(ctx, directory.ResetRequest{OpID: "op", User: ada, New: canary})
}

func TestWhatAChildSaysOfAWriteIsTakenForWhatItIs(t *testing.T) {
	for name, x := range map[string]struct {
		answer string
		want   directory.Outcome
		kind   error
	}{
		"applied":                            {`{"id":%d,"result":{"outcome":"applied","marker":"m"}}`, directory.Applied, nil},
		"applied, and members of tomorrow":   {`{"id":%d,"result":{"outcome":"applied","mood":"good"},"when":1}`, directory.Applied, nil},
		"a result that says unknown":         {`{"id":%d,"result":{"outcome":"unknown"}}`, directory.Unknown, directory.ErrUnknown},
		"a result without an outcome":        {`{"id":%d,"result":{}}`, directory.Unknown, directory.ErrUnknown},
		"an outcome nobody knows":            {`{"id":%d,"result":{"outcome":"mostly"}}`, directory.Unknown, directory.ErrUnknown},
		"a result that says not applied":     {`{"id":%d,"result":{"outcome":"not_applied"}}`, directory.NotApplied, directory.ErrUnavailable},
		"a refusal":                          {`{"id":%d,"error":{"kind":"policy","violations":[{"code":"too_short","limit":12}]}}`, directory.NotApplied, directory.ErrPolicy},
		"an error of a kind nobody knows":    {`{"id":%d,"error":{"kind":"quantum","outcome":"not_applied"}}`, directory.Unknown, directory.ErrUnknown},
		"unknown, and said to be nothing":    {`{"id":%d,"error":{"kind":"unknown","outcome":"not_applied"}}`, directory.Unknown, directory.ErrUnknown},
		"unavailable, but it may be written": {`{"id":%d,"error":{"kind":"unavailable","outcome":"unknown"}}`, directory.Unknown, directory.ErrUnavailable},
		"no result and no error":             {`{"id":%d}`, directory.Unknown, directory.ErrUnknown},
		"a result of another form":           {`{"id":%d,"result":[1]}`, directory.Unknown, directory.ErrUnknown},
		"no JSON":                            {`not json %d`, directory.Unknown, directory.ErrUnknown},
		"an answer to something else":        {`{"id":%d00,"result":{"outcome":"applied"}}`, directory.Unknown, directory.ErrUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &actor{act: func(q asked, say func(string, ...any), _ func()) {
				if q.Method == "reset" {
					say(x.answer, q.ID)
				}
			}}
			res, err := reset(soon(t), played(t, a))
			if directory.OutcomeOf(err) != x.want || res.Outcome != x.want || x.kind != nil && !errors.Is(err, x.kind) {
				t.Errorf("got %v and %v, want %v and %v", res.Outcome, err, x.want, x.kind)
			}
			if a.times("reset") != 1 {
				t.Errorf("sent %d times", a.times("reset"))
			}
		})
	}
}

func TestAChildThatDiesIsStartedAgainAndNothingIsSentTwice(t *testing.T) {
	now := time.Now()
	var clock atomic.Int64
	a := &actor{act: func(q asked, say func(string, ...any), die func()) {
		switch q.Method {
		case "reset":
			die()
		case "find":
			say(`{"id":%d,"result":{"user":"7","login":"ada","status":{}}}`, q.ID)
		}
	}}
	h := host(t, plugin.HostConfig{Start: a.start, Now: func() time.Time { return now.Add(time.Duration(clock.Load())) }})
	pause := 200 * time.Millisecond
	for round := range 4 {
		if _, err := h.FindUser(t.Context(), directory.Query{Login: "ada"}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if res, err := reset(t.Context(), h); !errors.Is(err, directory.ErrUnknown) || res.Outcome != directory.Unknown {
			t.Fatalf("round %d: a child that died with it: %v, %v", round, res.Outcome, err)
		}
		clock.Add(int64(pause - time.Millisecond))
		res, err := reset(t.Context(), h)
		if e, ok := errors.AsType[*directory.Error](err); !ok || res.Outcome != directory.NotApplied || !errors.Is(err, directory.ErrUnavailable) || e.RetryAfter != time.Millisecond {
			t.Fatalf("round %d: in the pause: %v, %v", round, res.Outcome, err)
		}
		clock.Add(int64(time.Millisecond))
		pause *= 2
	}
	if a.started.Load() != 4 || a.times("reset") != 4 {
		t.Errorf("started %d times, asked %d times; want 4 and 4", a.started.Load(), a.times("reset"))
	}
	clock.Add(int64(time.Hour)) // it lives long: the next one comes at once
	h.FindUser(t.Context(), directory.Query{Login: "ada"})
	clock.Add(int64(time.Hour))
	reset(t.Context(), h)
	if _, err := h.FindUser(t.Context(), directory.Query{Login: "ada"}); err != nil {
		t.Errorf("after a long life: %v", err)
	}
}

func TestAChildThatDoesNotReadHoldsUpNobodyBeyondTheirDeadline(t *testing.T) {
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	started := func(func(string) string) (*plugin.Process, error) {
		childIn, hostOut := io.Pipe()
		hostIn, childOut := io.Pipe()
		go func() {
			bufio.NewReaderSize(childIn, 16).ReadString('\n')
			fmt.Fprintln(childOut, `{"id":1,"result":{"protocol":1,"name":"deaf","version":"1","api":"1.0","methods":[]}}`)
			<-stuck
		}()
		return &plugin.Process{In: hostOut, Out: hostIn, Kill: func() error { childIn.Close(); childOut.Close(); return nil }}, nil
	}
	h := host(t, plugin.HostConfig{Start: started})
	for i, want := range []directory.Outcome{directory.Unknown, directory.NotApplied} { // the first is on its way into the pipe, the second never left
		began := time.Now()
		res, err := reset(soon(t), h)
		if res.Outcome != want {
			t.Errorf("%d: %v, %v; want %v", i, res.Outcome, err, want)
		}
		if took := time.Since(began); took > 350*time.Millisecond {
			t.Errorf("%d: took %s", i, took)
		}
	}
}

func TestAChildThatCannotTalkToUsIsAMistakeOfTheConfiguration(t *testing.T) {
	for name, welcome := range map[string]string{
		"another protocol": `{"id":%d,"result":{"protocol":2,"name":"x","version":"1","api":"1.0"}}`,
		"another contract": `{"id":%d,"result":{"protocol":1,"name":"x","version":"1","api":"2.0"}}`,
		"no name":          `{"id":%d,"result":{"protocol":1,"version":"1","api":"1.0"}}`,
		"it says so":       `{"id":%d,"error":{"kind":"config","message":"no url"}}`,
	} {
		_, err := reset(t.Context(), played(t, &actor{welcome: welcome}))
		if !errors.Is(err, directory.ErrUnavailable) && !errors.Is(err, directory.ErrConfig) || directory.OutcomeOf(err) != directory.NotApplied {
			t.Errorf("%s: %v", name, err)
		}
	}
	h := host(t, plugin.HostConfig{OneShot: true, Start: (&actor{welcome: `{"id":%d,"error":{"kind":"config","message":"no url"}}`}).start})
	if err := h.Health(t.Context()); !errors.Is(err, directory.ErrConfig) {
		t.Errorf("for each request: %v", err)
	}
}

func TestWhatAChildDidNotOfferIsNotSupported(t *testing.T) {
	a := &actor{welcome: `{"id":%d,"result":{"protocol":1,"name":"plain","version":"3","api":"1.4","methods":["fly"]}}`,
		act: func(q asked, say func(string, ...any), _ func()) {
			say(`{"id":%d,"result":{"server":"x","capabilities":{"change":true,"change_expired":true,"unlock":true,"policy":true,"verify":true,"must_change":true,"suggested_concurrency":4}}}`, q.ID)
		}}
	h := played(t, a)
	d, err := h.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "plain" || d.Version != "3" || d.Server != "x" || d.Caps != (directory.Capabilities{MustChange: true, MaxConcurrentPerUser: 1, SuggestedConcurrency: 4}) {
		t.Errorf("got %+v", d)
	}
	for name, err := range map[string]error{
		"change":    second(h.Change(t.Context(), directory.ChangeRequest{User: ada, Old: canary, New: canary})),
		"unlock":    second(h.Unlock(t.Context(), ada)),
		"force":     second(h.RequireChange(t.Context(), ada, true)),
		"policy":    second(h.Policy(t.Context(), ada)),
		"verify":    h.Verify(t.Context(), ada, canary),
		"reconcile": second(h.Reconcile(t.Context(), ada, directory.Status{}, canary)),
	} {
		if !errors.Is(err, directory.ErrUnsupported) || directory.OutcomeOf(err) != directory.NotApplied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(a.heard) != 2 {
		t.Errorf("heard %v", a.heard)
	}
}

func second[T any](_ T, err error) error { return err }

func TestNoPasswordComesBackFromAChild(t *testing.T) {
	var scrub func(string) string
	a := &actor{act: func(q asked, say func(string, ...any), _ func()) {
		p := q.Params["new"]
		say(`{"id":%d,"error":{"kind":"policy","message":"no: %v","sub":"%v","server":"%v","violations":[{"code":"%v","text":"%v is short"}]}}`, q.ID, p, p, p, p, p)
	}}
	h := host(t, plugin.HostConfig{Secrets: []directory.Secret{directory.NewSecret("bind-canary")}, Start: func(s func(string) string) (*plugin.Process, error) {
		scrub = s
		return a.start(s)
	}})
	_, err := reset(t.Context(), h)
	if text := fmt.Sprintf("%v %+v %#v", err, errors.Unwrap(err), directory.ViolationsOf(err)); strings.Contains(text, "CaNaRy") || !errors.Is(err, directory.ErrPolicy) {
		t.Error(text)
	}
	if got := scrub("tried CaNaRy-secret-1 as bind-canary"); strings.Contains(got, "anary") || strings.Contains(got, "CaNaRy") {
		t.Errorf("its log says %q", got)
	}
}

func TestAPasswordThatJSONCannotCarryIsNotSentAsAnother(t *testing.T) {
	a := &actor{}
	h := played(t, a)
	bad := directory.NewSecret("half \xff a letter")
	_, err := h.Reset(t.Context(), directory.ResetRequest{User: ada, New: bad})
	if v := directory.ViolationsOf(err); len(v) != 1 || v[0].Code != directory.BadCharacters || directory.OutcomeOf(err) != directory.NotApplied {
		t.Errorf("reset: %v", err)
	}
	if err := h.Verify(t.Context(), ada, bad); !errors.Is(err, directory.ErrWrongPassword) {
		t.Errorf("verify: %v", err)
	}
	if _, err := h.FindUser(t.Context(), directory.Query{Login: "\xff"}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("find: %v", err)
	}
	if _, err := h.Reset(t.Context(), directory.ResetRequest{User: directory.Ref{Adapter: "other", ID: "7"}, New: canary}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("another's account: %v", err)
	}
	if len(a.heard) != 0 {
		t.Errorf("heard %v", a.heard)
	}
}

func TestAnswersFindTheirQuestionsInAnyOrder(t *testing.T) {
	const n = 50
	var mu sync.Mutex
	var held []func()
	a := &actor{act: func(q asked, say func(string, ...any), _ func()) {
		mu.Lock()
		defer mu.Unlock()
		held = append(held, func() { say(`{"id":%d,"result":{"user":"%s","login":"x","status":{}}}`, q.ID, q.Params["login"]) })
		if len(held) == n {
			for i := range held {
				held[n-1-i]()
			}
		}
	}}
	h := played(t, a)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			want := fmt.Sprint("user", i)
			if u, err := h.FindUser(t.Context(), directory.Query{Login: want}); err != nil || u.Ref != (directory.Ref{Adapter: "hr", ID: want}) {
				t.Errorf("%s: %v, %v", want, u.Ref, err)
			}
		})
	}
	all.Wait()
}

func TestAChildIsToldHowLongThereIsAndThatNobodyWaitsAnyMore(t *testing.T) {
	a := &actor{act: func(asked, func(string, ...any), func()) {}}
	h := played(t, a)
	if err := h.Health(soon(t)); !errors.Is(err, directory.ErrUnavailable) {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Second); a.times("cancel") == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	q, c := a.heard[1], a.heard[len(a.heard)-1]
	if q.Deadline < 1 || q.Deadline > 100 || c.Method != "cancel" || c.Params["id"] != float64(q.ID) {
		t.Errorf("heard %+v, then %+v", q, c)
	}
}

func TestAClosedHostSendsNothing(t *testing.T) {
	answers := make(chan struct{})
	a := &actor{act: func(q asked, say func(string, ...any), _ func()) {
		<-answers
		say(`{"id":%d,"result":{"outcome":"applied"}}`, q.ID)
	}}
	h := played(t, a)
	done := make(chan error)
	go func() { _, err := reset(t.Context(), h); done <- err }()
	for a.times("reset") == 0 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan struct{})
	go func() { h.Close(); close(closed) }()
	close(answers)
	if err := <-done; err != nil {
		t.Errorf("a write in flight: %v", err)
	}
	<-closed
	if res, err := reset(t.Context(), h); res.Outcome != directory.NotApplied || !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("afterwards: %v, %v", res.Outcome, err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func FuzzHost(f *testing.F) {
	f.Add([]byte(`{"id":2,"result":{"outcome":"applied"}}` + "\n"))
	f.Add([]byte(`{"id":2,"error":{"kind":"policy","retry_after_ms":-9223372036854775808,"violations":[{"code":"x","until":"0001-01-01T00:00:00Z"}]}}` + "\n"))
	f.Add([]byte(`{"id":2,"result":{"users":[{"user":""}],"next":"x","min_age_ms":9223372036854775807}}` + "\n\x00\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		a := &actor{act: func(_ asked, say func(string, ...any), die func()) { say("%s", said); die() }}
		h, err := plugin.NewHost(plugin.HostConfig{Name: "hr", OneShot: true, Start: a.start})
		if err != nil {
			t.Fatal(err)
		}
		res, err := reset(soon(t), h)
		if (err == nil) != (res.Outcome == directory.Applied) || err != nil && directory.OutcomeOf(err) != res.Outcome || err == nil && !strings.Contains(string(said), "pplied") {
			t.Errorf("%q: %v and %v", said, res.Outcome, err)
		}
		h.List(soon(t), "", time.Time{})
		h.Policy(soon(t), ada)
		h.Close()
	})
}
