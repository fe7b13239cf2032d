package rooms

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestOperationsReachTheEdgeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge, other := w.app(), w.edge(), w.edge()
		at := edge.socket(1)
		app.op(
			join(at, "early"), // by a middleware (MID-009)
			&wire.Record{Kind: wire.KindEmit, Socket: at, Epoch: 1, Handled: 3, Body: []byte("\x00[1]")},
			accept(t, at, "id-1", "lobby"),
			&wire.Record{Kind: wire.KindAck, Socket: at, Epoch: 1, ID: []byte("12345678901234567890123"), Body: []byte("\x00[2]")},
			broadcast(),
			&wire.Record{Kind: wire.KindHandled, Flags: wire.FlagControl, Socket: at, Epoch: 1, Handled: 9},
			&wire.Record{Kind: wire.KindClose, Socket: at, Epoch: 1},
			broadcast(),
		)
		g := edge.expect(wire.KindJoin, wire.KindEmit, wire.KindAccept, wire.KindAck, wire.KindBroadcast, wire.KindHandled, wire.KindClose)
		for i, r := range g {
			if r.Origin != app.addr.Instance || r.Op != uint64(i+1) || string(r.Namespace) != "/" {
				t.Errorf("record %d: got origin %s, op %d, namespace %q", i, r.Origin, r.Op, r.Namespace)
			}
		}
		if r := g[3]; string(r.ID) != "12345678901234567890123" || string(r.Body) != "\x00[2]" {
			t.Errorf("ack: got id %q, body %q", r.ID, r.Body)
		}
		if g[1].Handled != 3 || g[5].Handled != 9 {
			t.Errorf("handled: got %d, %d, want 3, 9", g[1].Handled, g[5].Handled)
		}
		if got := other.records(); len(got) != 0 {
			t.Errorf("an edge without members got %v", got)
		}
		if op := got(app.records()).confirmed(); op != 8 {
			t.Errorf("confirmed: got %d, want 8", op)
		}
	})
}

func TestBroadcastGoesToEdgesWithMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app := w.app()
		edges := []*double{w.edge(), w.edge(), w.edge()}
		app.op(
			accept(t, edges[0].socket(1), "a", "x"),
			accept(t, edges[1].socket(1), "b", "y"),
			join(edges[2].socket(1), "x"), // pending: nobody finds it
		)
		for _, e := range edges {
			e.records()
		}
		for _, c := range []struct {
			rooms []string
			want  [3]int
		}{
			{nil, [3]int{1, 1, 0}},
			{[]string{"x"}, [3]int{1, 0, 0}},
			{[]string{"x", "y", "a"}, [3]int{1, 1, 0}}, // one record for each edge
			{[]string{"b"}, [3]int{0, 1, 0}},
			{[]string{"nobody"}, [3]int{0, 0, 0}},
		} {
			app.op(broadcast(c.rooms...))
			for i, e := range edges {
				if got := len(e.records()); got != c.want[i] {
					t.Errorf("rooms %q: edge %d got %d records, want %d", c.rooms, i, got, c.want[i])
				}
			}
		}
		elsewhere := broadcast("x")
		elsewhere.Namespace = []byte("/other")
		app.op(elsewhere)
		if got := edges[0].records(); len(got) != 0 {
			t.Errorf("broadcast of another namespace: got %v", got)
		}
		if got := app.records(); len(got) == 0 {
			t.Error("operations that concern no edge are not confirmed")
		}
	})
}

func TestGhost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		at := edge.socket(1)
		app.op(accept(t, at, "id", "x"))
		if n, code := app.count(1, "x"); n != 1 || code != "" {
			t.Errorf("count: got %d %q, want 1", n, code)
		}
		gone := &wire.Record{Kind: wire.KindGone, Flags: wire.FlagControl, Socket: at, Namespace: []byte("/")}
		edge.send(gone)
		app.op(join(at, "x")) // crossed: it makes an entry again
		edge.send(gone)
		for _, room := range []string{"x", "id"} {
			if n, _ := app.count(2, room); n != 0 {
				t.Errorf("count of %s after the end: got %d, want 0", room, n)
			}
		}
		app.op(&wire.Record{Kind: wire.KindLeave, Socket: at, Epoch: 1, Body: wire.AppendStrings(nil, []string{"x"})})
		w.rooms.links.Do(func() {
			if n := len(w.rooms.index.namespaces); n != 0 {
				t.Errorf("namespaces kept: got %d, want 0", n)
			}
		})
		w.pass(time.Second)
		if n := w.m.Gone.Load(); n != 2 {
			t.Errorf("gone counted: got %d, want 2", n)
		}
	})
}

func TestRefusedLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		at := edge.socket(1)
		app.op(join(at, "x"), &wire.Record{Kind: wire.KindRefuse, Socket: at, Epoch: 1}, broadcast("x")) // MID-010
		edge.expect(wire.KindJoin, wire.KindRefuse)
		if n, _ := app.count(3, "x"); n != 0 {
			t.Errorf("count: got %d, want 0", n)
		}
	})
}

func TestConfirmationsWaitForEveryEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, quick, slow := w.app(), w.edge(), w.edge()
		app.op(accept(t, quick.socket(1), "a"), accept(t, slow.socket(1), "b"))
		if op := got(app.records()).confirmed(); op != 2 {
			t.Fatalf("confirmed: got %d, want 2", op)
		}
		release := slow.hold()
		defer release()
		app.op(broadcast()) // 3
		app.op(&wire.Record{Kind: wire.KindEmit, Socket: quick.socket(1), Epoch: 1, Body: []byte("\x00[]")})
		w.pass(100 * time.Millisecond)
		if got := app.records(); len(got) != 0 {
			t.Errorf("confirmed before the edge applied it: %v", got)
		}
		release()
		w.pass(100 * time.Millisecond)
		if op := got(app.records()).confirmed(); op != 4 {
			t.Errorf("confirmed: got %d, want 4", op)
		}
	})
}

func TestBadOperationsBreakTheSendersLink(t *testing.T) {
	for name, r := range map[string]*wire.Record{
		"unknown ring kind": {Kind: wire.KindEvent, Op: 1},
		"rooms unreadable":  {Kind: wire.KindJoin, Op: 1, Body: []byte{9}},
		"accept unreadable": {Kind: wire.KindAccept, Op: 1, Body: []byte{9}},
		"selector":          {Kind: wire.KindBroadcast, Op: 1, Body: []byte{9}},
		"no number":         {Kind: wire.KindEmit},
		"gap":               {Kind: wire.KindEmit, Op: 3},
		"partition":         {Kind: wire.KindEmit, Op: 1, Partition: mesh.Partitions},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				app, edge := w.app(), w.edge()
				if r.Op != 1 {
					app.op(broadcast())
				}
				r.Socket, r.Namespace = edge.socket(1), []byte("/")
				if r.Partition == 0 {
					r.Partition = mesh.Partition("/")
				}
				l := app.links.Link(w.rooms.self)
				app.send(r)
				if l.Broken() == nil {
					t.Error("the link is whole")
				}
				if got := edge.records(); len(got) != 0 {
					t.Errorf("the edge got %v", got)
				}
			})
		})
	}
}

func TestBadRecordsOfEdges(t *testing.T) {
	for name, r := range map[string]*wire.Record{
		"operation":                {Kind: wire.KindEmit, Op: 1},
		"gone of a foreign socket": {Kind: wire.KindGone, Socket: wire.SocketAddr{Edge: mesh.NewInstanceID(), Slot: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{})
				edge := w.edge()
				l := edge.links.Link(w.rooms.self)
				edge.send(r)
				if l.Broken() == nil {
					t.Error("the link is whole")
				}
			})
		})
	}
}

// TestReopenedLink: after a break an app goes on with its numbers on a new link.
func TestReopenedLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		release := edge.hold()
		defer release()
		app.op(accept(t, edge.socket(1), "a"), broadcast())
		app.send(&wire.Record{Kind: wire.KindEvent}) // unreadable for rooms
		if n := app.ops[mesh.Partition("/")]; n != 2 {
			t.Fatalf("operations: got %d, want 2", n)
		}
		app.op(broadcast())
		app.op(broadcast())
		release()
		w.pass(time.Second)
		if op := got(app.records()).confirmed(); op != 4 {
			t.Errorf("confirmed: got %d, want 4", op)
		}
		edge.expect(wire.KindAccept, wire.KindBroadcast, wire.KindBroadcast, wire.KindBroadcast)
		if n, code := app.count(4); n != 1 || code != "" {
			t.Errorf("count: got %d %q, want 1", n, code)
		}
	})
}

// TestConfirmationsSurviveABreak: what a broken link to the app may have lost is said again.
func TestConfirmationsSurviveABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app := w.app()
		app.refusing(errUnreadable)
		app.op(broadcast())
		w.pass(50 * time.Millisecond)
		app.refusing(nil)
		app.records()
		w.pass(time.Second)
		if op := got(app.records()).confirmed(); op != 1 {
			t.Errorf("confirmed: got %d, want 1", op)
		}
	})
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app := w.app()
		p, ok := app.peers.Peer(w.rooms.self.Instance)
		if !ok || len(p.Info.GetPartitions()) != mesh.Partitions || p.Info.GetPartitions()[5].GetEpoch() == 0 {
			t.Errorf("announced: got %v", p.Info)
		}
		if !w.rooms.Healthy() {
			t.Error("not healthy")
		}
		if len((&Metrics{}).Telemetry()) == 0 {
			t.Error("no metrics")
		}
		var nobody *Metrics
		nobody.operation(wire.KindEmit)
		nobody.repeat()
	})
}
