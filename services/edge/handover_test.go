package edge

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// drain has an app say that it ends, and checks that it is asked for so many sockets.
func (a *app) drain(sockets int) {
	a.tb.Helper()
	a.records()
	a.mu.Lock()
	info := a.info
	a.mu.Unlock()
	a.announce(func(p *siomeshv1.Presence) {
		info(p)
		p.Draining = true
	})
	a.w.settle()
	got := a.expect(slices.Repeat([]wire.Kind{wire.KindDetach}, sockets+1)...)
	if last := got[sockets]; last.Socket != (wire.SocketAddr{}) {
		a.tb.Errorf("the last record asks for %v", last.Socket)
	}
	for _, r := range got[:sockets] {
		if r.Epoch != 1 || r.Socket.Edge != a.w.edge.Self().Instance {
			a.tb.Errorf("asked for %v of epoch %d", r.Socket, r.Epoch)
		}
	}
}

// detached gives a socket back, with events as JSON.
func detached(handled uint64, events ...string) *wire.Record {
	var list []wire.Event
	for i, json := range events {
		list = append(list, wire.Event{ID: fmt.Append(nil, i), Packet: packet(json)})
	}
	return &wire.Record{Kind: wire.KindDetached, Handled: handled, Body: wire.AppendDetached(nil, list)}
}

// knocking returns a client that an instance has not let in yet when it drains, and what that was asked.
func (w *world) knocking() (c *client, old *app, of *wire.Record) {
	w.tb.Helper()
	old = w.newApp(false, "/")
	c = w.open()
	c.send("40")
	w.settle()
	of, _ = old.connect()
	old.drain(1)
	return c, old, of
}

// joined returns a client that an instance has let in, and what that was asked.
func (w *world) joined() (c *client, old *app, of *wire.Record) {
	w.tb.Helper()
	old = w.newApp(true, "/")
	c = w.join("/")
	of, _ = old.connect()
	return c, old, of
}

// wantNoSockets fails if the edge keeps a socket.
func (w *world) wantNoSockets() {
	w.tb.Helper()
	if n := len(w.edge.table.all()); n != 0 {
		w.tb.Errorf("%d sockets are kept", n)
	}
}

// attached returns what an attach record says.
func attached(tb testing.TB, r *wire.Record) (rooms []string, c *siomeshv1.Connect) {
	tb.Helper()
	rooms, body, err := wire.ReadAttach(r.Body)
	c = &siomeshv1.Connect{}
	if err != nil || proto.Unmarshal(body, c) != nil {
		tb.Fatalf("attach: %q, %v", r.Body, err)
	}
	slices.Sort(rooms)
	return rooms, c
}

// TestHandOver: another instance gets the socket as it is, with what the first did not handle and what came meanwhile; the first
// still gets the acknowledgements it asked for.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return `{"allow":true,"user":"ann","data":{"a":1},"rooms":["b"]}` })
		w.pass(time.Second)
		old := w.newApp(true, "/")
		c := w.join("/")
		of, connect := old.connect()
		old.do(of, joinRooms("a"), &wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, []string{"k", "2"})},
			&wire.Record{Kind: wire.KindWatch, Body: []byte{1}}, emit(7, `["q"]`), emit(8, `["q"]`), emit(9, `["q"]`))
		c.expect(`420["q"]`, `421["q"]`, `422["q"]`)
		c.send(`42["handled"]`, `420["not"]`)
		w.settle()
		old.drain(1)
		c.send(`421["held"]`, `430["to the old one"]`)
		w.settle()
		if got := old.expect(wire.KindReply); got[0].Ack != 7 || got[0].Epoch != 1 {
			t.Errorf("got %+v", got[0])
		}
		old.do(of, detached(2, `["not"]`), emit(0, `["stale"]`))
		c.expect()
		c.send(`431["late"]`, `42["held too"]`)
		w.settle()
		if got := old.expect(wire.KindReply); got[0].Ack != 8 || got[0].Epoch != 1 || got[0].Socket != of.Socket {
			t.Errorf("got %+v", got[0])
		}
		c.wantOpen()

		fresh := w.newApp(false, "/")
		w.pass(time.Second)
		got := fresh.expect(wire.KindAttach, wire.KindEvent, wire.KindEvent, wire.KindEvent)
		for i, want := range []string{``, `["not"]`, `["held"]`, `["held too"]`} {
			r := got[i]
			if r.Socket != of.Socket || r.Epoch != 2 || r.Seq != uint64(i+1) || i > 0 && string(r.Body[1:]) != want {
				t.Errorf("record %d: got %v epoch %d seq %d %q", i, r.Socket, r.Epoch, r.Seq, r.Body)
			}
		}
		rooms, again := attached(t, &got[0])
		if !slices.Equal(rooms, []string{"a", "b"}) || string(again.GetData()) != `{"a":1,"k":2}` ||
			again.GetSocketId() != connect.GetSocketId() || again.GetUser() != connect.GetUser() || again.GetTransport() != "websocket" {
			t.Errorf("attached with rooms %q, %v", rooms, again)
		}
		old.do(of, emit(0, `["stale"]`), handled(9))
		fresh.do(&got[0], emit(3, `["mine"]`), broadcast(0, wire.Selector{Rooms: []string{"a"}}, `["all"]`))
		c.expect(`423["mine"]`, `42["all"]`)
		c.send(`433["1"]`)
		w.settle()
		if got := fresh.expect(wire.KindReply); got[0].Ack != 3 { // and no copy of the broadcast
			t.Errorf("got %+v", got[0])
		}
		c.send("41")
		w.settle()
		fresh.expect(wire.KindDisconnect)
		if got := old.expect(wire.KindAckFailed); got[0].Ack != 9 {
			t.Errorf("got %+v", got[0])
		}
		if n, stale := w.m.HandedOver.Load(), w.m.Stale.Load(); n != 1 || stale != 3 {
			t.Errorf("counted %d handed over, %d stale, want 1, 3", n, stale)
		}
	})
}

// TestHandOverNobody: a socket waits for an instance of its app, and of no other, for a while.
func TestHandOverNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{HandOverWait: 10 * time.Second})
		old := w.newApp(true, "/")
		c, left := w.join("/"), w.join("/")
		of, _ := old.connect()
		first := old.sockets[0]
		old.drain(2)
		old.do(of, detached(1))
		old.do(&first, detached(1))
		old.stop()
		other := w.named("zoo", nil, exact("/"))
		left.send(`42["e"]`, "41")
		w.pass(9 * time.Second)
		c.wantOpen()
		w.pass(2 * time.Second)
		c.wantClosed()
		if n := len(w.edge.table.all()); n != 0 || w.m.HandOversFailed.Load() != 2 {
			t.Errorf("%d sockets are kept, %d failed, want 0, 2", n, w.m.HandOversFailed.Load())
		}
		for _, r := range other.records() {
			t.Errorf("another app got kind %d", r.Kind)
		}
	})
}

// TestHandOverOfOneWhoLeaves: what a client sent before it left is still owed to the app, and so is its end.
func TestHandOverOfOneWhoLeaves(t *testing.T) {
	for name, before := range map[string]bool{"before it is given back": true, "while nobody has it": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{})
				c, old, of := w.joined()
				old.drain(1)
				if before {
					c.send(`42["last"]`, "41")
					w.settle()
				}
				old.do(of, detached(1))
				if !before {
					c.send(`42["last"]`, "41")
					w.settle()
				}
				old.expect()
				fresh := w.newApp(false, "/")
				w.pass(time.Second)
				got := fresh.expect(wire.KindAttach, wire.KindEvent, wire.KindDisconnect)
				if d := disconnect(t, &got[2]); d.GetReason() != "client namespace disconnect" || len(d.GetRooms()) != 1 {
					t.Errorf("got %v", d)
				}
				w.wantNoSockets()
			})
		})
	}
}

// TestHandOverFails: what may be lost is not lost without a sign.
func TestHandOverFails(t *testing.T) {
	for name, fail := range map[string]func(old *app, of *wire.Record){
		"the instance ends first":   func(old *app, _ *wire.Record) { old.stop() },
		"an event does not return":  func(old *app, of *wire.Record) { old.do(of, detached(1)) },
		"too many events return":    func(old *app, of *wire.Record) { old.do(of, detached(2, `["e"]`)) },
		"what returns is no event":  func(old *app, of *wire.Record) { old.do(of, &wire.Record{Kind: wire.KindDetached, Body: []byte{9}}) },
		"it disconnects the client": func(old *app, of *wire.Record) { old.do(of, &wire.Record{Kind: wire.KindClose, Flags: wire.FlagClose}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{})
				old, fresh := w.newApp(true, "/"), w.newApp(true)
				c := w.join("/")
				of, _ := old.connect()
				c.send(`42["e"]`)
				w.settle()
				old.drain(1)
				c.send(`42["held"]`)
				fail(old, of)
				w.pass(time.Second)
				c.wantClosed()
				fresh.expect()
				w.wantNoSockets()
			})
		})
	}
}

// TestHandOverOfOneWhoJoins: a client that was not accepted yet is asked for anew.
func TestHandOverOfOneWhoJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		c, old, of := w.knocking()
		fresh := w.newApp(true, "/")
		old.do(of, detached(0))
		w.pass(time.Second)
		if again, _ := fresh.connect(); again.Socket == of.Socket || len(c.take()) != 1 {
			t.Errorf("got %v", again.Socket)
		}
	})
}

// TestRefusedWhileMoving: the app's word comes before the hand-over.
func TestRefusedWhileMoving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		c, old, of := w.knocking()
		old.do(of, refuse(t, "no", ""))
		c.expect(`44{"message":"no"}`)
		old.expect(wire.KindDisconnect)
		w.wantNoSockets()
	})
}

// TestHandOverKeepsReading: while an earlier owner waits for acknowledgements the client is read, up to a bound.
func TestHandOverKeepsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxHeld: 100})
		c, old, of := w.joined()
		old.do(of, emit(7, `["q"]`))
		c.expect(`420["q"]`)
		old.drain(1)
		old.do(of, detached(1))
		c.send(`42["held"]`)
		w.settle()
		if c.unread() {
			t.Error("the client is not read, but may answer")
		}
		c.say(10, 50)
		w.settle()
		if got := old.expect(wire.KindAckFailed); got[0].Ack != 7 || !c.unread() {
			t.Errorf("got %+v, want a failure, and no more read", got[0])
		}
		old.stop()
		fresh := w.newApp(false, "/")
		w.pass(time.Second)
		if n := len(fresh.records()); n < 4 || c.unread() {
			t.Errorf("the other instance has %d records", n)
		}
	})
}

// TestNobodyWaitsForOneWhoLeft: a handler that waits for a client which leaves meanwhile is told so, lest the hand-over wait for it.
func TestNobodyWaitsForOneWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		c, old, of := w.joined()
		old.do(of, emit(7, `["q"]`))
		old.drain(1)
		c.send("41")
		w.settle()
		if got := old.expect(wire.KindAckFailed); got[0].Ack != 7 || string(got[0].Body) != wire.AckDeparted {
			t.Errorf("got %+v", got[0])
		}
	})
}

// TestRoomsIsLostWhileNobodyHasIt: the client is closed, and the instance that comes gets the socket with its end.
func TestRoomsIsLostWhileNobodyHasIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		c, old, of := w.joined()
		old.drain(1)
		old.do(of, detached(1))
		for range 2 { // it goes, and another comes
			w.edge.closeAll()
		}
		w.settle()
		c.wantClosed()
		fresh := w.newApp(false, "/")
		w.pass(time.Second)
		fresh.expect(wire.KindAttach, wire.KindDisconnect)
		w.wantNoSockets()
	})
}

// TestHandOverOfOneWhoLeavesTooSoon: nobody else hears of a client that no instance has let in.
func TestHandOverOfOneWhoLeavesTooSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		c, old, of := w.knocking()
		c.send("41")
		w.settle()
		old.expect(wire.KindDisconnect)
		fresh := w.newApp(true, "/")
		old.do(of, detached(1))
		w.pass(time.Second)
		fresh.expect()
		w.wantNoSockets()
	})
}

// TestForeignDetached: an instance that gives away what it does not have harms nobody.
func TestForeignDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		owner := w.newApp(true, "/")
		c := w.join("/")
		of, _ := owner.connect()
		other := w.named("zoo", nil, exact("/zoo"))
		r := detached(1)
		r.Flags |= wire.FlagNonOwner
		other.do(of, r)
		w.settle()
		c.wantOpen()
		owner.do(of, emit(0, `["still"]`))
		c.expect(`42["still"]`)
	})
}
