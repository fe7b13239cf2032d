package edge

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

var errUnreadableHere = errors.New("unreadable")

func (d *double) streams() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened
}

// TestAppDies: who was asked goes to another instance; who had joined comes back by itself.
func TestAppDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		joined := w.join("/")
		dying := w.newApp(false, "/a")
		asking := w.open()
		asking.send("40/a,")
		w.settle()
		of, connect := dying.connect()
		dying.do(of, emit(9, `["q"]`), joinRooms("secret"))
		asking.expect(`420["q"]`[:0] + `42/a,0["q"]`)
		w.ring.gone()
		dying.stop()
		app.stop()
		joined.wantClosed()
		asking.wantOpen()
		if n := w.ring.gone(); n == 0 {
			t.Error("rooms still has the socket of the dead instance")
		}
		next := w.newApp(true, "/a", "/")
		w.pass(time.Second)
		if got := asking.take(); len(got) != 1 || !strings.HasPrefix(got[0], `40/a,{"sid":"`) {
			t.Fatalf("got %q, want CONNECT", got)
		}
		again, connectAgain := next.connect()
		if again.Socket == of.Socket || connectAgain.GetSocketId() != connect.GetSocketId() || again.Epoch != 2 {
			t.Errorf("again: got %v epoch %d, id %s", again.Socket, again.Epoch, connectAgain.GetSocketId())
		}
		next.do(again, broadcast(0, wire.Selector{Rooms: []string{"secret"}}, `["x"]`), emit(1, `["q"]`))
		asking.expect(`42/a,1["q"]`) // not in the rooms of the dead one, and no id twice
		asking.send(`43/a,0["for the dead"]`, `43/a,1["for the living"]`)
		w.settle()
		if got := next.records(); len(got) != 2 || got[1].Ack != 1 {
			t.Errorf("replies: got %v", got)
		}
		if n := len(w.asked); n != 2 { // once each
			t.Errorf("auth was asked %d times, want 2", n)
		}
	})
}

// TestAppDiesThatIsOwedPackets: what a client that left still owes is nobody's any more, and holds up nothing.
func TestAppDiesThatIsOwedPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2})
		dying, app := w.newApp(true, "/"), w.newApp(true, "/a")
		c := w.join("/", "/a")
		of, _ := dying.connect()
		dying.do(of, emit(1, `["q"]`)) // so that its end is read
		c.take()
		c.say(4, 1)
		c.send("41")
		w.settle()
		dying.stop()
		w.settle()
		if n := len(w.edge.table.all()); n != 1 {
			t.Errorf("sockets kept: got %d, want 1", n)
		}
		app.records()
		c.send(`42/a,["e"]`)
		w.settle()
		app.expect(wire.KindEvent)
		c.wantOpen()
	})
}

// TestAppFallsSilent: an instance that is taken for dead and comes back begins with nothing.
func TestAppFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		cut := &flaky{Bus: w.bus}
		app := w.appOn(cut, true, "/")
		c := w.join("/")
		cut.off.Store(true)
		w.pass(3 * time.Second)
		c.wantClosed()
		streams := app.streams()
		cut.off.Store(false)
		w.pass(2 * time.Second)
		w.join("/")
		if n := app.streams(); n != streams+1 {
			t.Errorf("streams: got %d, want %d: the instance would keep the sockets", n, streams+1)
		}
	})
}

// TestAppLinkBreaks: for this edge the instance is dead, though its heartbeats arrive; then it begins anew.
func TestAppLinkBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2})
		app := w.newApp(true, "/")
		c, other := w.join("/"), w.join("/")
		streams := app.streams()
		app.refusing(errUnreadableHere)
		c.say(5, 1)
		app.refusing(nil)
		w.pass(time.Second)
		c.wantClosed()
		other.wantClosed()
		if n := app.streams(); n != streams+1 {
			t.Errorf("streams: got %d, want %d: the instance would keep the sockets", n, streams+1)
		}
		if n := len(w.edge.table.all()); n != 0 {
			t.Errorf("sockets kept: got %d, want 0", n)
		}
		app.records()
		again := w.join("/")
		again.say(1, 1)
		app.expect(wire.KindConnect, wire.KindEvent)
	})
}

// TestAppRefusesEverything: a socket is not given away for ever.
func TestAppRefusesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(false, "/")
		app.refusing(errUnreadableHere)
		c := w.open()
		c.send("40")
		w.pass(2 * time.Second)
		c.wantClosed()
		n := 0
		for _, r := range app.records() {
			if r.Kind == wire.KindConnect {
				n++
			}
		}
		if n != maxAssignments {
			t.Errorf("assigned %d times, want %d", n, maxAssignments)
		}
	})
}

// TestStuckApp: an instance that takes nothing though its heartbeats arrive is given up after a while.
func TestStuckApp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		cut := &flaky{Bus: w.bus}
		app := w.appOn(cut, true, "/")
		c := w.join("/")
		cut.mute.Store(true)
		c.say(1, 1)
		w.pass(time.Second)
		c.wantOpen()
		w.pass(4 * time.Second)
		c.wantClosed()
		cut.mute.Store(false)
		w.pass(time.Second)
		app.records()
		w.join("/")
	})
}

func TestRoomsDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2})
		app := w.newApp(true, "/", "/a")
		slow := w.newApp(false, "/slow")
		c, left := w.join("/"), w.join("/", "/a")
		asked := w.open()
		asked.send("40/slow,")
		of, _ := app.connect()
		app.do(of, emit(1, `["q"]`)) // so that its end is read
		left.say(3, 1)
		for range 3 {
			left.send(`42/a,["held"]`)
		}
		left.send("41/a,")
		c.say(3, 1)
		w.ring.stop()
		w.settle()
		c.wantClosed()
		left.wantClosed()
		asked.wantClosed()
		slow.expect(wire.KindConnect, wire.KindDisconnect)
		ends := 0
		for _, r := range app.records() {
			if r.Kind == wire.KindDisconnect {
				ends++
			}
		}
		if n := len(w.edge.table.all()); ends != 3 || n != 0 { // no handled mark will come: what is held goes
			t.Errorf("got %d ends, %d sockets kept, want 3, 0", ends, n)
		}
		if w.edge.Healthy() {
			t.Error("healthy without rooms")
		}
		waiting := w.open()
		waiting.send("40")
		w.newRing(2)
		w.pass(time.Second)
		if got := waiting.take(); len(got) != 1 || !strings.HasPrefix(got[0], `40{"sid":"`) {
			t.Errorf("after rooms is back: got %q", got)
		}
		if !w.edge.Healthy() {
			t.Error("not healthy")
		}
	})
}

// TestRoomsBreaks: a second stream of rooms, or one to it that broke, means that something is missing.
func TestRoomsBreaks(t *testing.T) {
	for name, cause := range map[string]func(w *world){
		"its stream": func(w *world) {
			w.ring.links.Drop(w.edge.Self().Instance)
			w.ring.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl})
		},
		"our registration": func(w *world) { // on a stream that is whole: rooms was taken for dead meanwhile
			w.ring.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl})
		},
		"ours": func(w *world) {
			w.ring.refusing(errUnreadableHere)
			w.join("/").send("41")
			w.settle()
			w.ring.refusing(nil)
			w.pass(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newMesh(t, Config{})
				app := w.newApp(true, "/")
				c := w.join("/")
				of, _ := app.connect()
				guest := w.open()
				cause(w)
				w.pass(time.Second)
				c.wantClosed()
				guest.wantOpen()
				if !w.edge.Healthy() {
					t.Fatal("not registered again")
				}
				var leases []uint64
				for _, r := range w.ring.records() {
					if r.Kind == wire.KindHello {
						leases = append(leases, r.Lease)
					}
				}
				for i := 1; i < len(leases); i++ {
					if leases[i] <= leases[i-1] {
						t.Errorf("leases: got %d, want them to grow", leases)
					}
				}
				again := w.join("/")
				next, _ := app.connect()
				if next.Lease <= of.Lease {
					t.Errorf("lease of the connect record: got %d after %d", next.Lease, of.Lease)
				}
				app.do(next, emit(0, `["e"]`))
				again.expect(`42["e"]`)
			})
		})
	}
}

// TestTwoRooms: the owner is who has the highest epoch.
func TestTwoRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(5)
		owner := w.ring
		hellos := func(g *ring) (n int) {
			for _, r := range g.records() {
				if r.Kind == wire.KindHello {
					n++
				}
			}
			return n
		}
		if n := hellos(owner); n != 1 {
			t.Errorf("hellos: got %d, want 1", n)
		}
		w.newRing(4)
		lower := w.ring
		if n := hellos(lower); n != 0 {
			t.Errorf("hellos to a lower epoch: got %d, want 0", n)
		}
		w.newRing(6)
		if n := hellos(w.ring); n != 1 {
			t.Errorf("hellos to a higher epoch: got %d, want 1", n)
		}
		owner.announce(func(p *siomeshv1.Presence) {
			p.Load, p.Partitions = 9, []*siomeshv1.Partition{{Epoch: 5}}
		})
		if n := hellos(owner); n != 0 {
			t.Errorf("hellos to the former owner: got %d, want 0", n)
		}
		owner.stop()
		w.ring.stop()
		w.pass(time.Second)
		if n := hellos(lower); n != 1 {
			t.Errorf("hellos to the one that is left: got %d, want 1", n)
		}
		if !w.edge.Healthy() {
			t.Error("not healthy")
		}
	})
}

// TestUnregistered: nothing is assigned before rooms has confirmed the registration.
func TestUnregistered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string {
			<-time.After(500 * time.Millisecond)
			return `{"allow":true}`
		})
		app := w.newApp(true, "/")
		first := w.open()
		first.send("40") // on its way while the registration is lost
		w.settle()
		w.ring.silent = true
		w.ring.links.Drop(w.edge.Self().Instance)
		w.ring.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl})
		w.settle()
		c := w.open()
		c.send("40")
		w.pass(time.Second)
		app.expect()
		w.ring.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 1}) // an earlier one
		w.pass(time.Second)
		app.expect()
		w.ring.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: w.edge.leaseNow()})
		w.pass(time.Second)
		app.expect(wire.KindConnect, wire.KindConnect)
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxPackets: 2})
		app := w.newApp(true, "/", "/a")
		c, busy := w.join("/", "/a"), w.join("/")
		waiting := w.open()
		waiting.send("40/a,")
		app.records()
		busy.say(5, 1)
		start := time.Now()
		if err := w.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		if took := time.Since(start); took > stopWait {
			t.Errorf("took %s, want at most %s", took, stopWait)
		}
		c.wantClosed()
		busy.wantClosed()
		ends := 0
		for _, r := range app.records() {
			if r.Kind == wire.KindDisconnect {
				ends++
				if d := disconnect(t, &r); d.GetReason() != "server shutting down" {
					t.Errorf("got %v", d)
				}
			}
		}
		if ends != 4 {
			t.Errorf("ends: got %d, want 4", ends)
		}
		if status, _, _ := w.request("GET", "", ""); status != 503 {
			t.Errorf("after the end: got status %d, want 503", status)
		}
	})
}
