package provision

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/regain-id/regain/internal/account"
	"github.com/regain-id/regain/internal/client"
	"github.com/regain-id/regain/internal/store"
	"github.com/regain-id/regain/internal/store/storetest"
)

// crowd makes n people of a connector, by the store: what is judged here is groups.
func (a as) crowd(n int) (ids []string) {
	a.Helper()
	var writes []account.PersonWrite
	for i := range n {
		p := &account.Person{ID: uuid.Must(uuid.NewV7()).String(), Connector: a.id, UserName: fmt.Sprint("crowd", i), Active: true, Created: a.now, Updated: a.now}
		ids, writes = append(ids, p.ID), append(writes, account.PersonWrite{New: p})
		if len(writes) == 1000 || i == n-1 {
			for _, res := range a.store.ApplyPeople(a.Context(), a.id, writes) {
				if res.Err != nil {
					a.Fatal(res.Err)
				}
			}
			writes = nil
		}
	}
	return ids
}

func memberList(ids []string) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"value":"` + id + `"}`)
	}
	return b.String()
}

// readsMembers is what a statement that reads the members of a group says.
const readsMembers = "FROM members m LEFT JOIN people"

func TestMembersOfAGroupAreNotReadToChangeIt(t *testing.T) {
	for _, kind := range storetest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			b, sent := traced(t, kind)
			c := b.connector("idp", client.TrustOne, client.PresetEntra)
			ids := c.crowd(10)
			group := "/Groups/" + c.want(201, "POST", "/Groups", `{"displayName":"g","members":[`+memberList(ids[:5])+`]}`).id()
			reads := func(all []string) bool {
				return slices.ContainsFunc(all, func(sql string) bool { return strings.Contains(sql, readsMembers) })
			}
			if !reads(sent.during(func() { c.want(200, "GET", group, "") })) {
				t.Fatal("the guard does not see members that are read")
			}
			op := func(text string) func() {
				return func() { c.want(204, "PATCH", group, `{"Operations":[`+text+`]}`) }
			}
			for about, do := range map[string]func(){
				"one member more":      op(`{"op":"add","path":"members","value":[{"value":"` + ids[7] + `"}]}`),
				"one by its id less":   op(`{"op":"remove","path":"members[value eq \"` + ids[0] + `\"]"}`),
				"some by a list less":  op(`{"op":"remove","path":"members","value":[{"value":"` + ids[1] + `"}]}`),
				"other members":        op(`{"op":"replace","path":"members","value":[` + memberList(ids[3:8]) + `]}`),
				"none":                 op(`{"op":"remove","path":"members"}`),
				"another name":         op(`{"op":"replace","path":"displayName","value":"h"}`),
				"a whole without path": op(`{"op":"replace","value":{"displayName":"h","members":[` + memberList(ids[:5]) + `]}}`),
				"PUT": func() {
					c.want(200, "PUT", group+"?excludedAttributes=members", `{"displayName":"g","members":[`+memberList(ids[2:9])+`]}`)
				},
				"GET without members":      func() { c.want(200, "GET", group+"?excludedAttributes=members", "") },
				"GET of a name":            func() { c.want(200, "GET", group+"?attributes=displayName", "") },
				"a list without members":   func() { c.want(200, "GET", "/Groups?excludedAttributes=members", "") },
				"whose member is somebody": func() { c.want(200, "GET", `/Groups?attributes=id&filter=members%20eq%20%22`+ids[3]+`%22`, "") },
				"a bulk of one member more": func() {
					c.want(200, "POST", "/Bulk", `{"Operations":[{"method":"PATCH","path":"`+group+`","data":{"Operations":[{"op":"add","path":"members","value":[{"value":"`+ids[9]+`"}]}]}}]}`)
				},
			} {
				if all := sent.during(do); reads(all) {
					t.Errorf("%s reads the members:\n%s", about, strings.Join(all, "\n"))
				}
			}
		})
	}
}

// A group of a hundred thousand comes in one body of five megabytes, and what is kept of it while it is read is bounded.
func TestAGroupOfAHundredThousandComesInOneBody(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a hundred thousand people")
	}
	const n = 100_000
	b := newBench(t, store.SQLite)
	c := b.connector("idp", client.TrustOne, client.PresetEntra)
	ids := c.crowd(n)
	body := `{"displayName":"g","members":[` + memberList(ids) + `]}`
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := peaking()
	r := c.want(201, "POST", "/Groups?excludedAttributes=members", body)
	grew := (int64(peak()) - int64(before.HeapInuse)) >> 20
	b.Logf("%d bytes, %d MiB at the most beside what was there", len(body), grew)
	if grew > 160 {
		b.Errorf("a body of %d MiB took %d MiB", len(body)>>20, grew)
	}
	some, err := b.store.MembersOf(b.Context(), r.id(), "", n+1)
	if err != nil || len(some) != n {
		b.Errorf("%d members, want %d: %v", len(some), n, err)
	}
	c.want(204, "PATCH", "/Groups/"+r.id(), `{"Operations":[{"op":"replace","path":"members","value":[`+memberList(ids[n/2:])+`]}]}`)
	if some, err = b.store.MembersOf(b.Context(), r.id(), "", n+1); err != nil || len(some) != n/2 {
		b.Errorf("%d members, want %d: %v", len(some), n/2, err)
	}
	c.want(413, "POST", "/Groups", body+strings.Repeat(" ", 8<<20-len(body)+1))
	c.want(413, "POST", "/Users", `{"userName":"x","nickName":"`+strings.Repeat("x", 1<<20)+`"}`)
}

// peaking watches the heap until the function it returns is called, which tells the most it held.
func peaking() func() uint64 {
	stop, most := make(chan struct{}), make(chan uint64)
	go func() {
		var m runtime.MemStats
		var top uint64
		for {
			select {
			case <-stop:
				most <- top
				return
			default:
				runtime.ReadMemStats(&m)
				top = max(top, m.HeapInuse)
				runtime.Gosched()
				time.Sleep(20 * time.Millisecond)
			}
		}
	}()
	return func() uint64 { close(stop); return <-most }
}
