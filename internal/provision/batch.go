package provision

import (
	"context"
	"errors"
	"slices"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/event"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/pkg/scim"
)

// batch is several writes of people on their way into one commit. What has to be asked of the store is asked when every
// write before it stands: a commit that is made for it in between is the price of a right answer.
type batch struct {
	*people
	ctx     context.Context
	writes  []scim.Write
	results []scim.Result

	failed  int
	waiting []pending
	to      map[string]bool // destinations of those who are waiting to be created
}

// pending is a write that waits for the commit.
type pending struct {
	at int // which of writes
	account.PersonWrite
	revision *revision
}

// Apply implements scim.Batcher.
func (s *people) Apply(ctx context.Context, writes []scim.Write) []scim.Result {
	b := &batch{people: s, ctx: ctx, writes: writes, results: make([]scim.Result, len(writes)), to: map[string]bool{}}
	for i, w := range writes {
		switch {
		case w.Create != nil:
			b.create(i, w.Create)
		case w.Update != nil:
			u := &revision{people: s.by(w.Act), f: &facts{now: s.Now()}, w: w}
			b.wait(i, account.PersonWrite{ID: w.ID, Change: u.change}, u)
		default:
			b.delete(i, w)
		}
	}
	b.commit()
	return b.results
}

// by is the same store, told by what a write is made.
func (s *people) by(act scim.Act) *people { return &people{s.service, s.c, act} }

// over reports whether a write is left out because of those before it, once all of them stand.
func (b *batch) over(at int) bool {
	most := b.writes[at].FailOn
	return most > 0 && b.failed >= most
}

// end says what became of a write that needs no commit.
func (b *batch) end(at int, err error) {
	b.commit()
	if b.over(at) {
		err = scim.ErrNotDone
	} else if err != nil {
		b.failed++
	}
	b.results[at].Err = err
}

func (b *batch) wait(at int, w account.PersonWrite, u *revision) {
	b.waiting = append(b.waiting, pending{at, w, u})
}

// create makes somebody wait to be created, with the facts as they are when everybody before stands.
func (b *batch) create(at int, r *scim.Resource) {
	if b.fresh(r) != "" { // it reaches the directory when everybody before stands, and is in no commit with others
		b.commit()
		if b.over(at) {
			b.results[at].Err = scim.ErrNotDone
			return
		}
		made, err := b.by(b.writes[at].Act).Create(b.ctx, r)
		b.results[at].Resource = made
		b.end(at, err)
		return
	}
	f := &facts{now: b.Now()}
	for range maxAsks {
		n, q, err := b.by(b.writes[at].Act).newcomer(f, r)
		if err != nil {
			b.end(at, err)
			return
		}
		shared := slices.ContainsFunc(n.Methods, func(m method.Method) bool { return b.to[string(m.DestinationHash)] }) ||
			slices.ContainsFunc(q.hashes, func(h []byte) bool { return b.to[string(h)] })
		if shared || q.open() && slices.ContainsFunc(b.waiting, func(p pending) bool { return p.New == nil }) {
			b.commit()
			if f.asked || len(f.others) > 0 { // what was asked before it may have changed
				f = &facts{now: b.Now()}
				continue
			}
		}
		if q.open() {
			if err := b.ask(b.ctx, f, q, b.c, n.New, ""); err != nil {
				b.end(at, answer(err))
				return
			}
			continue
		}
		for _, m := range n.Methods {
			if m.DestinationHash != nil {
				b.to[string(m.DestinationHash)] = true
			}
		}
		b.wait(at, n, nil)
		return
	}
	b.end(at, errBusy)
}

// delete makes somebody wait to be deleted. Their version is looked at when everybody before stands, if it matters.
func (b *batch) delete(at int, w scim.Write) {
	if len(w.Pre.Match) == 0 && len(w.Pre.NoneMatch) == 0 {
		e := event.New(b.Now(), event.PersonDeleted, "connector:"+b.c.ID, w.ID, "", event.Success)
		events := b.done(w.Act, b.c, thing{kind: "User", id: w.ID, person: w.ID}, []event.Event{e})
		b.wait(at, account.PersonWrite{ID: w.ID, Events: events}, nil)
		return
	}
	b.commit()
	if b.over(at) {
		b.results[at].Err = scim.ErrNotDone
		return
	}
	b.end(at, b.by(w.Act).Delete(b.ctx, w.ID, w.Pre))
}

// commit does what is waiting.
func (b *batch) commit() {
	for tries := map[int]int{}; len(b.waiting) > 0; {
		if at := b.waiting[0].at; b.over(at) {
			b.results[at].Err, b.waiting = scim.ErrNotDone, b.waiting[1:]
			continue
		}
		var writes []account.PersonWrite
		for _, p := range b.waiting {
			if b.over(p.at) {
				break
			}
			if most := b.writes[p.at].FailOn; most > 0 {
				p.FailOn = most - b.failed
			}
			writes = append(writes, p.PersonWrite)
		}
		results := b.Store.ApplyPeople(b.ctx, b.c.ID, writes)
		for _, res := range results {
			p := b.waiting[0]
			halted := errors.Is(res.Err, account.ErrHalt)
			if halted {
				tries[p.at]++
				if res.Err = p.revision.ask(b.ctx); res.Err == nil && tries[p.at] < maxAsks {
					break // it comes once more, with all that come after it
				}
				if res.Err == nil {
					res.Err = errBusy
				}
			}
			b.settle(p, res)
			b.waiting = b.waiting[1:]
			if halted {
				break
			}
		}
	}
	clear(b.to)
}

// settle says what became of a write the store has done.
func (b *batch) settle(p pending, res account.PersonResult) {
	to := &b.results[p.at]
	switch {
	case errors.Is(res.Err, account.ErrNotDone):
		to.Err = scim.ErrNotDone
		return
	case p.New != nil && res.Err == nil:
		to.Resource, to.Err = b.whole(p.New, p.Methods, b.c)
	case p.revision != nil:
		to.Resource, to.Err = p.revision.resource(b.ctx, res)
	default:
		to.Err = answer(res.Err)
	}
	if to.Err != nil {
		b.failed++
	}
}
