package signal

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneFindsOutForAllWhetherAClientIsThereAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		begin := func(client string) (time.Duration, bool) { return l.begin(t.Context(), client, time.Now()) }
		for _, client := range []string{"down", "up"} {
			if _, ok := begin(client); !ok {
				t.Fatalf("%s: the first may not", client)
			}
		}
		if wait := l.end("down", false, 0, 0, time.Now()); wait != time.Second {
			t.Errorf("after the first failure it waits %s", wait)
		}
		l.end("up", true, 0, 0, time.Now())
		if wait, ok := begin("down"); ok || wait != time.Second {
			t.Errorf("at once: %v, %s", ok, wait)
		}
		time.Sleep(time.Second)
		if _, ok := begin("down"); !ok {
			t.Fatal("nobody finds out whether it is there again")
		}
		if wait, ok := begin("down"); ok || wait <= 0 {
			t.Errorf("a second one beside the one that finds out: %v, %s", ok, wait)
		}
		if wait := l.end("down", false, 0, 10*time.Minute, time.Now()); wait != 10*time.Minute {
			t.Errorf("it asked for ten minutes and gets %s", wait)
		}
		time.Sleep(10 * time.Minute)
		if _, ok := begin("down"); !ok {
			t.Fatal("nobody finds out after ten minutes")
		}
		l.end("down", true, 0, 0, time.Now())
		if len(l.all) != 0 {
			t.Errorf("%d clients are remembered that work", len(l.all))
		}
	})
}

func TestWhoFailsAtTheSameTimeFailsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		for range maxOfClient {
			l.begin(t.Context(), "down", time.Now())
		}
		for range maxOfClient {
			if wait := l.end("down", false, 0, 0, time.Now()); wait != time.Second {
				t.Errorf("it waits %s", wait)
			}
		}
	})
}

func TestRequestsToOneClientTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		for range maxOfClient {
			if _, ok := l.begin(t.Context(), "busy", time.Now()); !ok {
				t.Fatal("not so many at once")
			}
		}
		if _, ok := l.begin(t.Context(), "other", time.Now()); !ok {
			t.Error("another client has to wait")
		}
		var waiting sync.WaitGroup
		started := time.Now()
		waiting.Go(func() {
			if _, ok := l.begin(t.Context(), "busy", time.Now()); !ok || time.Since(started) != 100*time.Millisecond {
				t.Errorf("let in %v after %s, want after the first ended", ok, time.Since(started))
			}
		})
		time.Sleep(100 * time.Millisecond)
		l.end("busy", true, 0, 0, time.Now())
		waiting.Wait()
		if _, ok := l.begin(t.Context(), "busy", time.Now()); ok || time.Since(started) != 100*time.Millisecond+patience {
			t.Errorf("let in %v after %s, want it to give up", ok, time.Since(started))
		}
		gone, leave := context.WithCancel(t.Context())
		leave()
		before := time.Now()
		if _, ok := l.begin(gone, "busy", time.Now()); ok || time.Since(before) != 0 {
			t.Errorf("who is gone waits %s", time.Since(before))
		}
	})
}

func TestWhoIsSlowIsAskedOnceAtATimeAndNobodyStandsInALaneForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lines
		begin := func() bool { _, ok := l.begin(t.Context(), "slow", time.Now()); return ok }
		begin()
		if got := l.held(time.Now()); len(got) != 0 {
			t.Errorf("held %v, and there is room", got)
		}
		l.end("slow", true, quick+1, 0, time.Now())
		if !begin() {
			t.Fatal("it is asked no more")
		}
		if got := l.held(time.Now()); len(got) != 1 || got[0] != "slow" {
			t.Errorf("held %v", got)
		}
		started := time.Now()
		if begin() || time.Since(started) != 0 {
			t.Errorf("a second request, after %s", time.Since(started))
		}
		l.end("slow", true, quick, 0, time.Now())
		for n := range maxOfClient {
			if !begin() {
				t.Errorf("%d at once, although it has become quick", n)
			}
		}
		if got := l.held(time.Now()); len(got) != 1 {
			t.Errorf("held %v", got)
		}
		for range maxOfClient {
			l.end("slow", false, 0, 0, time.Now())
		}
		if got := l.held(time.Now()); len(got) != 1 {
			t.Errorf("held %v while it does not answer", got)
		}
		time.Sleep(time.Second)
		if got := l.held(time.Now()); len(got) != 0 {
			t.Errorf("held %v when it is time to find out", got)
		}
	})
}
