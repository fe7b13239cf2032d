package rooms

import (
	"testing"
	"testing/synctest"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
)

func TestCountComesAfterTheAskersOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		const room = "x\xff" // any bytes
		counted := make(chan uint64, 1)
		go func() { // ends with the answer, which is waited for below
			n, _ := app.count(2, room)
			counted <- n
		}()
		w.pass(time.Second)
		app.op(accept(t, edge.socket(1), "a"))
		select {
		case n := <-counted:
			t.Fatalf("answered before the operation: %d", n)
		default:
		}
		app.op(join(edge.socket(1), room))
		if n := <-counted; n != 1 {
			t.Errorf("count: got %d, want 1", n)
		}
	})
}

func TestQueryTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{QueryTimeout: 400 * time.Millisecond})
		app := w.app()
		start := time.Now()
		if _, code := app.count(1); code != "timeout" {
			t.Errorf("code: got %q, want timeout", code)
		}
		if took := time.Since(start); took < 400*time.Millisecond || took > 600*time.Millisecond {
			t.Errorf("took %s, want 400 to 600 ms", took)
		}
		w.pass(time.Second)
		w.rooms.links.Do(func() {
			if n := len(w.rooms.origins); n != 0 {
				t.Errorf("origins kept: got %d, want 0", n)
			}
		})
		w.pass(0)
	})
}

func TestBadQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		for name, q := range map[string]*siomeshv1.RoomsRequest{
			"no query": {Namespace: "/"},
			"instance": {
				Namespace: "/", Instance: "?", Operation: 1,
				Query: &siomeshv1.RoomsRequest_Count{Count: &siomeshv1.CountQuery{}},
			},
		} {
			if code := w.ask(q).GetError().GetCode(); code != "bad_request" {
				t.Errorf("%s: got %q, want bad_request", name, code)
			}
		}
	})
}

func TestParkedQueriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app := w.app()
		codes := make(chan string, maxParked+1)
		for range maxParked + 1 {
			go func() { // all end by the timeout of the queries, which is waited for below
				_, code := app.count(1)
				codes <- code
			}()
		}
		synctest.Wait()
		if n := len(codes); n != 1 {
			t.Errorf("refused at once: got %d, want 1", n)
		}
		for range maxParked + 1 {
			if code := <-codes; code != "timeout" {
				t.Errorf("code: got %q, want timeout", code)
			}
		}
	})
}

func TestNotOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		second, _ := w.second(Config{})
		first := w.rooms
		w.rooms = second
		q := &siomeshv1.RoomsRequest{Namespace: "/", Query: &siomeshv1.RoomsRequest_Count{Count: &siomeshv1.CountQuery{}}}
		if code := w.ask(q).GetError().GetCode(); code != "not_owner" {
			t.Errorf("code: got %q, want not_owner", code)
		}
		w.rooms = first
		if code := w.ask(q).GetError().GetCode(); code != "" {
			t.Errorf("code: got %q, want none", code)
		}
	})
}
