package rooms

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

var errUnreadable = errors.New("unreadable")

// refusing makes the double refuse records with err.
func (d *double) refusing(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = err
}

func (d *double) streams() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

// expectEnded checks that the app was told once that an edge ended, under its lease, and everything is confirmed up to op.
func expectEnded(t *testing.T, app, edge *double, lease, op uint64) {
	t.Helper()
	g := got(app.records())
	ended := 0
	for _, r := range g {
		if r.Kind == wire.KindEdgeEnded {
			ended++
			if string(r.Body) != edge.addr.Instance.String() || r.Lease != lease {
				t.Errorf("ended: got edge %q, lease %d, want %s, %d", r.Body, r.Lease, edge.addr.Instance, lease)
			}
		}
	}
	if ended != 1 || g.confirmed() != op {
		t.Errorf("got %d ends, confirmed %d, want 1, %d", ended, g.confirmed(), op)
	}
}

func TestEdgeSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge, other := w.app(), w.edge(), w.edge()
		app.op(accept(t, edge.socket(1), "a", "x"), accept(t, other.socket(1), "b", "x"))
		release := edge.hold()
		app.op(broadcast("x"))
		app.records()
		release()
		edge.stop()
		w.pass(time.Second)
		expectEnded(t, app, edge, 1, 3)
		if n, _ := app.count(3, "x"); n != 1 {
			t.Errorf("count: got %d, want 1", n)
		}
		app.op(join(edge.socket(1), "y")) // to nobody
		if op := got(app.records()).confirmed(); op != 4 {
			t.Errorf("confirmed: got %d, want 4", op)
		}
	})
}

// TestEdgeFallsSilent: an edge that is taken for dead and comes back, without having noticed, is told to register again.
func TestEdgeFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app := w.app()
		edge := w.double(mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()})
		edge.send(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 7})
		edge.records()
		app.op(accept(t, edge.socket(1), "a"))
		app.records()
		edge.wires.off.Store(true)
		app.op(broadcast())
		w.pass(5 * time.Second)
		expectEnded(t, app, edge, 7, 2)
		edge.records()
		streams := edge.streams()
		edge.wires.off.Store(false)
		w.pass(2 * time.Second)
		edge.expect(wire.KindHello).lease(t, 0)
		if n := edge.streams(); n != streams+1 {
			t.Errorf("streams: got %d, want %d: the edge would not notice", n, streams+1)
		}
		for range 2 { // rooms has ended the old link, which is noticed by using it
			edge.send(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 8})
			w.pass(time.Second)
		}
		if g := got(edge.records()); len(g) == 0 {
			t.Error("the edge cannot register again")
		} else {
			g.lease(t, 8)
		}
	})
}

func TestEdgeLinkBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		app.op(accept(t, edge.socket(1), "a"))
		app.records()
		edge.records()
		edge.refusing(errUnreadable)
		app.op(broadcast()) // refused, so the link breaks; the greeting on the new one too
		edge.refusing(nil)
		w.pass(5 * time.Second)
		expectEnded(t, app, edge, 1, 2)
		edge.records()
		edge.send(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 2})
		app.op(accept(t, edge.socket(2), "b"), broadcast())
		g := edge.expect(wire.KindHello, wire.KindAccept, wire.KindBroadcast)
		if g[0].Lease != 2 {
			t.Errorf("lease: got %d, want 2", g[0].Lease)
		}
		if n, _ := app.count(4); n != 1 {
			t.Errorf("count: got %d, want 1", n)
		}
	})
}

// TestEdgePastItsBound: an edge that leaves too much unapplied is given up; rooms and the others go on.
func TestEdgePastItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Link: link.Config{WindowRecords: 8, WindowBytes: 1 << 20}})
		app, edge, other := w.app(), w.edge(), w.edge()
		app.op(accept(t, edge.socket(1), "a"), accept(t, other.socket(1), "b"))
		app.records()
		streams := edge.streams()
		release := edge.hold()
		defer release()
		for range 12 {
			app.op(broadcast())
		}
		expectEnded(t, app, edge, 1, 14)
		if n := w.m.EdgesFull.Load(); n != 1 {
			t.Errorf("edges full: got %d, want 1", n)
		}
		if got := len(other.records()); got != 14-1 {
			t.Errorf("the other edge got %d records, want 13", got)
		}
		release()
		w.pass(time.Second)
		g := got(edge.records())
		if len(g) == 0 {
			t.Fatal("the edge was not told")
		}
		g.lease(t, 0)
		if n := edge.streams(); n != streams+1 {
			t.Errorf("streams: got %d, want %d: the edge would not notice", n, streams+1)
		}
	})
}

func TestHelloAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, edge := w.app(), w.edge()
		app.op(accept(t, edge.socket(1), "a"))
		app.records()
		edge.records()
		edge.send(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 2})
		edge.expect(wire.KindHello).lease(t, 2)
		g := got(app.records())
		if len(g) != 1 || g[0].Kind != wire.KindEdgeEnded || g[0].Lease != 1 {
			t.Errorf("got %v, want the end of lease 1", g)
		}
		if n, _ := app.count(1); n != 0 {
			t.Errorf("count: got %d, want 0", n)
		}
		app.op(accept(t, edge.socket(2), "b"), broadcast())
		edge.expect(wire.KindAccept, wire.KindBroadcast)
		if op := got(app.records()).confirmed(); op != 3 {
			t.Errorf("confirmed: got %d, want 3", op)
		}
	})
}

func TestAppDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		app, survivor, edge := w.app(), w.app(), w.edge()
		app.op(accept(t, edge.socket(1), "a"))
		app.stop()
		w.pass(time.Second)
		w.rooms.links.Do(func() {
			if n := len(w.rooms.origins); n != 0 {
				t.Errorf("origins kept: got %d, want 0", n)
			}
		})
		if n, _ := survivor.count(0); n != 1 { // the edge says when it goes
			t.Errorf("count: got %d, want 1", n)
		}
	})
}
