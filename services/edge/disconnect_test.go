package edge

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func joinRooms(rooms ...string) *wire.Record {
	return &wire.Record{Kind: wire.KindJoin, Body: wire.AppendStrings(nil, rooms)}
}

func TestClientLeavesANamespace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/a")
		c := w.join("/", "/a")
		of, connect := app.connect()
		app.do(of, joinRooms("x"))
		app.records()
		w.ring.gone()
		c.send(`42/a,["last"]`, `41/a,`)
		c.expect() // no reply (SOC-026)
		got := app.expect(wire.KindEvent, wire.KindDisconnect)
		d := disconnect(t, &got[1])
		slices.Sort(d.Rooms)
		want := []string{connect.GetSocketId(), "x"}
		slices.Sort(want)
		if d.GetReason() != "client namespace disconnect" || !slices.Equal(d.GetRooms(), want) || got[1].Seq != 3 {
			t.Errorf("got %v, seq %d, want rooms %q", d, got[1].Seq, want)
		}
		if n := w.ring.gone(); n != 1 {
			t.Errorf("gone: got %d, want 1", n)
		}
		c.send(`42["still"]`) // NSP-007
		w.settle()
		app.expect(wire.KindEvent)
		c.send(`42/a,["too late"]`)
		c.wantClosed() // NSP-013
	})
}

func TestConnectionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/a")
		c := w.join("/", "/a")
		app.records()
		_ = c.conn.Close()
		w.settle()
		for _, r := range app.expect(wire.KindDisconnect, wire.KindDisconnect) { // NSP-008
			if d := disconnect(t, &r); d.GetReason() != "transport close" { // SOC-027
				t.Errorf("got %v", d)
			}
		}
		if n := w.m.Connections.Load(); n != 0 {
			t.Errorf("connections: got %d, want 0", n)
		}
		if n := w.edge.apps.instances[app.addr.Instance].instance.assigned.Load(); n != 0 {
			t.Errorf("sockets of the instance: got %d, want 0", n)
		}
	})
}

func TestServerDisconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/a")
		c := w.join("/", "/a")
		of, _ := app.connect()
		app.records()
		w.ring.gone()
		app.do(of, emit(0, `["bye"]`), &wire.Record{Kind: wire.KindClose}, emit(0, `["after"]`))
		c.expect(`42/a,["bye"]`, `41/a,`) // SOC-024
		got := app.expect(wire.KindDisconnect)
		if d := disconnect(t, &got[0]); d.GetReason() != "server namespace disconnect" {
			t.Errorf("got %v", d)
		}
		if n := w.ring.gone(); n != 2 { // the end, and the emit behind it
			t.Errorf("gone: got %d, want 2", n)
		}
		c.send(`42/a,["crossed"]`, `41/a,`, `43/a,1[]`) // sent before it could know
		c.wantOpen()
		app.expect()
		if n := w.m.Late.Load(); n != 3 {
			t.Errorf("late: got %d, want 3", n)
		}
		c.send(`40/a,`) // it may come back
		w.settle()
		app.expect(wire.KindConnect)
		c.take()
		c.send(`44/a,{}`)
		c.wantClosed()
	})
}

func TestServerClosesTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/a")
		asking := w.newApp(false, "/slow")
		c := w.join("/", "/a")
		of, _ := app.connect()
		c.send("40/slow,")
		w.settle()
		app.records()
		app.do(of, &wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose})
		c.expect("41/a,", "41") // SOC-025
		c.wantClosed()
		for _, r := range app.expect(wire.KindDisconnect, wire.KindDisconnect) {
			if d := disconnect(t, &r); d.GetReason() != "server namespace disconnect" {
				t.Errorf("got %v", d)
			}
		}
		asking.expect(wire.KindConnect, wire.KindDisconnect)
	})
}

func TestServerClosesAPollingConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		p := w.poll()
		p.connect()
		p.get()
		of, _ := app.connect()
		app.do(of, &wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose})
		if got := p.get(); got != "41" {
			t.Errorf("first GET: got %q, want 41", got)
		}
		if got := p.get(); got != "6\x1e1" {
			t.Errorf("second GET: got %q", got)
		}
		q := w.poll()
		q.connect()
		q.get()
		q.connect() // NSP-011
		if got := q.get(); got != "6\x1e1" {
			t.Errorf("GET: got %q", got)
		}
	})
}

func TestLeftIsBounded(t *testing.T) {
	c := &conn{s: &Service{cfg: Config{MaxNamespaces: 2}}}
	for _, n := range []string{"/a", "/b", "/b", "/c"} {
		c.leave([]byte(n))
	}
	if !slices.Equal(c.left, []string{"/b", "/c"}) {
		t.Errorf("left: got %q", c.left)
	}
	c.comeBack([]byte("/b"))
	if c.hasLeft([]byte("/b")) || !c.hasLeft([]byte("/c")) {
		t.Errorf("left after coming back: got %q", c.left)
	}
}

// TestGenerations: the address of a socket is never that of an earlier one.
func TestGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		first, _ := app.connect()
		c.send("41")
		w.settle()
		c.send("40")
		w.settle()
		second, _ := app.connect()
		if first.Socket.Slot != second.Socket.Slot || first.Socket.Generation == second.Socket.Generation {
			t.Errorf("addresses: got %v, %v, want one slot and two generations", first.Socket, second.Socket)
		}
		c.take()
		app.do(first, emit(0, `["for the first"]`))
		c.expect()
		w.pass(time.Second)
	})
}
