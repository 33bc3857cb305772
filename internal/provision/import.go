package provision

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/method"
	"github.com/regain-id/regain/internal/policy"
	"github.com/regain-id/regain/pkg/scim"
	"github.com/regain-id/regain/pkg/scim/schema"
)

// Imports is what an import asks of the store beside what a request does: everything for many people at once.
type Imports interface {
	Store
	// ImportPeople creates people in one commit, each whole or not at all.
	ImportPeople(ctx context.Context, writes []account.PersonWrite) ([]account.PersonResult, error)
	// PeopleNamed returns the connector's people with one of the external ids, or else one of the folded user names.
	PeopleNamed(ctx context.Context, connector string, externalIDs, names []string) ([]*account.Person, error)
	MethodsOf(ctx context.Context, people []string) (map[string][]method.Method, error)
	// SeenOf and UsesOf are SeenBefore and DestinationUses for many.
	SeenOf(ctx context.Context, connector string, externalIDs, names []string, since time.Time) (ids, userNames map[string]bool, err error)
	UsesOf(ctx context.Context, hashes [][]byte) (map[string]int, error)
}

// Tally counts what became of the lines of an import.
type Tally struct {
	Created, Changed, Same, Refused int
}

// Lines is how many lines that was.
func (t Tally) Lines() int { return t.Created + t.Changed + t.Same + t.Refused }

// importChunk is how many people are looked up and written together. Two such portions are in memory, whatever the length of
// the file.
const importChunk = 2_000

// Import brings people from a file as if the connector had sent each of them by PUT or POST, under the same rules, holds and
// names: who is there already, by external id or else by user name, becomes what the line says of them and keeps what it
// does not say; everybody else is created. Nobody is disabled or deleted for not being in the file. Lines that are refused
// are told with their number, and the others go on.
//
// Everything commits in portions: an import that was broken off is run again and goes on. One that changes nothing writes
// nothing.
func Import(ctx context.Context, c Config, store Imports, by *client.Connector, lines iter.Seq2[Line, error], refused func(line int, why string)) (Tally, error) {
	c.Store = store
	s, err := newService(c)
	if err != nil {
		return Tally{}, err
	}
	if by.ReadOnly || !by.May(client.UseUsers) {
		return Tally{}, fmt.Errorf("connector %s may not write users", by.Name)
	}
	compat, ok := schema.Preset(string(by.Preset))
	if !ok {
		return Tally{}, fmt.Errorf("connector %s: no preset %q", by.Name, by.Preset)
	}
	compat.LooseSchemas, compat.PutKeepsAbsent, compat.StringBooleans = true, true, true
	i := &importer{people: &people{service: s, c: by}, store: store, compat: compat, refused: refused}
	err = i.all(ctx, lines)
	err = errors.Join(err, i.settle())
	return i.tally, err
}

// all brings everybody, in portions.
func (i *importer) all(ctx context.Context, lines iter.Seq2[Line, error]) error {
	var some []*arrival
	for line, err := range lines {
		if err != nil && line.Number == 0 { // the file itself
			return errors.Join(i.portion(ctx, some), err)
		}
		a, err := i.read(line, err)
		if err != nil {
			i.refuse(line.Number, err)
			continue
		}
		if some = append(some, a); len(some) == importChunk {
			if err := i.portion(ctx, some); err != nil {
				return err
			}
			some = nil
		}
	}
	return i.portion(ctx, some)
}

// Line is one person of a file. An error that comes with a Number is that line's.
type Line struct {
	Number int
	Body   scim.Object
}

// importer is an import on its way.
type importer struct {
	*people
	store   Imports
	compat  schema.Compat
	refused func(line int, why string)
	tally   Tally

	// The portion that is being written while the next one is read, and who it is of: names and external ids.
	writing  chan written
	names    map[string]bool
	external map[string]bool
}

type written struct {
	all     []*arrival
	results []account.PersonResult
	err     error
}

// arrival is a line that was read.
type arrival struct {
	line  int
	sent  *scim.Resource
	given map[string]bool
	name  string // folded
	n     account.PersonWrite
	err   error
}

func (i *importer) refuse(line int, err error) {
	i.tally.Refused++
	why := err.Error()
	if c, ok := errors.AsType[*scim.ConflictError](err); ok {
		why = c.Error()
	} else if e, ok := errors.AsType[*scim.Error](err); ok { // which repeats nothing of what was sent
		why = e.Detail
	}
	i.refused(line, why)
}

func (i *importer) read(line Line, err error) (*arrival, error) {
	if err != nil {
		return nil, err
	}
	r, given, err := i.user.Decode(line.Body, i.compat)
	if err == nil {
		err = i.user.Check(r, false)
	}
	if err != nil {
		return nil, err
	}
	return &arrival{line: line.Number, sent: r, given: given, name: account.Fold(r.Text("userName"))}, nil
}

// portion brings some people: those who are there are changed where they differ, the others are created while the next
// portion is read.
func (i *importer) portion(ctx context.Context, all []*arrival) error {
	if len(all) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	all, err := i.known(ctx, all)
	if err != nil {
		return err
	}
	there, err := i.there(ctx, all)
	if err != nil {
		return err
	}
	var fresh, again []*arrival
	names, ids := map[string]bool{}, map[string]bool{}
	for _, a := range all {
		switch p := there[a]; {
		case p != nil:
			if err := i.change(ctx, a, p); err != nil {
				return err
			}
		case names[a.name] || ids[a.sent.ExternalID]: // there is a line of theirs before
			again = append(again, a)
		default:
			names[a.name], ids[a.sent.ExternalID] = true, a.sent.ExternalID != ""
			fresh = append(fresh, a)
		}
	}
	if err := i.create(ctx, fresh); err != nil || len(again) == 0 {
		return err
	}
	if err := i.settle(); err != nil {
		return err
	}
	return i.portion(ctx, again)
}

// known leaves out lines whose manager is nobody, unless the connector's preset has it so.
func (i *importer) known(ctx context.Context, all []*arrival) ([]*arrival, error) {
	manager := func(a *arrival) string {
		o, _ := a.sent.Extension(schema.EnterpriseURN)["manager"].(scim.Object)
		id, _ := o["value"].(string)
		return id
	}
	var ids []string
	for _, a := range all {
		if id := manager(a); id != "" {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || i.compat.IgnoreLostMembers {
		return all, nil
	}
	missing, err := i.Missing(ctx, ids)
	if err != nil || len(missing) == 0 {
		return all, err
	}
	lost := map[string]bool{}
	for _, id := range missing {
		lost[id] = true
	}
	var kept []*arrival
	for _, a := range all {
		if id := manager(a); lost[id] {
			i.refuse(a.line, schema.Invalid(schema.InvalidValue, "manager.value", "no such resource: %s", schema.Shown(id)))
			continue
		}
		kept = append(kept, a)
	}
	return kept, nil
}

// there finds who is there already. What is being written is waited for when somebody of it could be meant.
func (i *importer) there(ctx context.Context, all []*arrival) (map[*arrival]*account.Person, error) {
	var ids, names []string
	for _, a := range all {
		ids, names = append(ids, a.sent.ExternalID), append(names, a.name)
		if i.names[a.name] || i.external[a.sent.ExternalID] {
			if err := i.settle(); err != nil {
				return nil, err
			}
		}
	}
	found, err := i.store.PeopleNamed(ctx, i.c.ID, ids, names)
	if err != nil {
		return nil, err
	}
	byID, byName := map[string]*account.Person{}, map[string]*account.Person{}
	for _, p := range found {
		byName[account.Fold(p.UserName)] = p
		if p.ExternalID != "" {
			byID[p.ExternalID] = p
		}
	}
	out := map[*arrival]*account.Person{}
	var people []string
	for _, a := range all {
		p := byID[a.sent.ExternalID]
		if p == nil || a.sent.ExternalID == "" {
			p = byName[a.name]
		}
		if p != nil {
			out[a] = p
			people = append(people, p.ID)
		}
	}
	if len(people) == 0 {
		return out, nil
	}
	ways, err := i.store.MethodsOf(ctx, people)
	if err != nil {
		return nil, err
	}
	for a, p := range out {
		if same, err := i.same(a, p, ways[p.ID]); err != nil {
			return nil, err
		} else if same {
			i.tally.Same++
			a.n.ID = p.ID // nothing to do
		}
	}
	return out, nil
}

// become is what a line makes of somebody: what a PUT that leaves alone what it does not name makes of them.
func (i *importer) become(a *arrival) scim.UpdateFunc {
	return func(cur *scim.Resource) (*scim.Change, error) {
		base := i.user.WithoutSecrets(cur)
		next := a.sent.Clone()
		i.user.Carry(base, next, a.given, i.compat)
		if err := i.user.CheckMutable(base, next); err != nil {
			return nil, err
		}
		c := &scim.Change{Next: next, Ops: schema.Diff(base, next)}
		c.NoOp = len(c.Ops) == 0
		return c, nil
	}
}

// same reports whether somebody is what a line says already.
func (i *importer) same(a *arrival, p *account.Person, ways []method.Method) (bool, error) {
	r, err := i.whole(p, ways, i.c)
	if err != nil {
		return false, err
	}
	c, err := i.become(a)(r)
	return err == nil && c.NoOp, nil // an error is told when the change is made
}

// change makes somebody what a line says.
func (i *importer) change(ctx context.Context, a *arrival, p *account.Person) error {
	if a.n.ID != "" {
		return nil
	}
	after, err := i.Update(ctx, p.ID, scim.Precondition{}, scim.Without(groupsKey), i.become(a))
	switch {
	case err != nil && stops(ctx, err):
		return err
	case err != nil:
		i.refuse(a.line, err)
	case after.Version == version(p.Version):
		i.tally.Same++
	default:
		i.tally.Changed++
	}
	return nil
}

// stops reports whether an error is nothing the line could be blamed for.
func stops(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return true
	}
	if _, ok := errors.AsType[*scim.ConflictError](err); ok {
		return false
	}
	e, ok := errors.AsType[*scim.Error](err)
	return !ok && !errors.Is(err, scim.ErrNotFound) || ok && e.Status >= 500
}

// create makes people who are not there. What has to be known of their destinations is asked for all of them at once.
func (i *importer) create(ctx context.Context, fresh []*arrival) error {
	if len(fresh) == 0 {
		return nil
	}
	var asking []*arrival
	for _, a := range fresh {
		n, q, err := i.newcomer(&facts{now: i.Now()}, a.sent)
		if a.n, a.err = n, err; err == nil && q.open() {
			asking = append(asking, a)
		}
	}
	if err := i.complete(ctx, asking); err != nil {
		return err
	}
	var all []*arrival
	var writes []account.PersonWrite
	for _, a := range fresh {
		if a.err != nil {
			i.refuse(a.line, a.err)
			continue
		}
		all, writes = append(all, a), append(writes, a.n)
	}
	if err := i.settle(); err != nil || len(writes) == 0 {
		return err
	}
	i.writing, i.names, i.external = make(chan written, 1), map[string]bool{}, map[string]bool{}
	for _, a := range all {
		i.names[a.name] = true
		if a.sent.ExternalID != "" {
			i.external[a.sent.ExternalID] = true
		}
	}
	go func(to chan<- written) {
		results, err := i.store.ImportPeople(ctx, writes)
		to <- written{all, results, err}
	}(i.writing)
	return nil
}

// complete makes newcomers of those whose ways have to be asked about before, in their order: each counts for the next.
func (i *importer) complete(ctx context.Context, asking []*arrival) error {
	if len(asking) == 0 {
		return nil
	}
	if err := i.settle(); err != nil { // who shares a destination with the portion before counts
		return err
	}
	ask, err := i.questions(ctx, asking)
	if err != nil {
		return err
	}
	uses := map[string]int{} // of destinations, by those who are created here
	for _, a := range asking {
		f := ask(a)
		for h := range f.others {
			f.others[h] += uses[h]
		}
		n, q, err := i.newcomer(f, a.sent)
		if err == nil && q.open() {
			err = errBusy // every question was asked
		}
		for _, m := range n.Methods {
			if m.DestinationHash != nil {
				uses[string(m.DestinationHash)]++
			}
		}
		a.n, a.err = n, err
	}
	return nil
}

// questions asks what has to be known of newcomers with ways, for all of them together.
func (i *importer) questions(ctx context.Context, fresh []*arrival) (func(*arrival) *facts, error) {
	now := i.Now()
	in, err := i.Policies.Policy(ctx)
	if err != nil {
		return nil, err
	}
	var ids, names []string
	var hashes [][]byte
	of := map[*arrival][][]byte{}
	for _, a := range fresh {
		ids, names = append(ids, a.sent.ExternalID), append(names, a.name)
		if _, q, err := i.newcomer(&facts{now: now, asked: true}, a.sent); err == nil {
			of[a] = q.hashes
			hashes = append(hashes, q.hashes...)
		}
	}
	uses, err := i.store.UsesOf(ctx, hashes)
	if err != nil {
		return nil, err
	}
	var seenIDs, seenNames map[string]bool
	if i.c.Trust == client.TrustAll {
		if seenIDs, seenNames, err = i.store.SeenOf(ctx, i.c.ID, ids, names, now.Add(-remembered)); err != nil {
			return nil, err
		}
	}
	return func(a *arrival) *facts {
		f := &facts{now: now, asked: true, known: map[string]bool{}, others: map[string]int{}}
		f.first = i.c.Trust == client.TrustAll && !seenNames[a.name] && !seenIDs[a.sent.ExternalID]
		f.hold = holdOf(in, policy.Standing{UserName: a.sent.Text("userName")})
		for _, h := range of[a] {
			f.others[string(h)] = uses[string(h)]
		}
		return f
	}, nil
}

// settle waits for the portion that is being written.
func (i *importer) settle() error {
	if i.writing == nil {
		return nil
	}
	w := <-i.writing
	i.writing, i.names, i.external = nil, nil, nil
	if w.err != nil {
		return w.err
	}
	for n, res := range w.results {
		switch {
		case res.Err == nil:
			i.tally.Created++
		case stops(context.Background(), answer(res.Err)):
			return res.Err
		default:
			i.refuse(w.all[n].line, answer(res.Err))
		}
	}
	return nil
}
