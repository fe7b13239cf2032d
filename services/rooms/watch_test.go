package rooms

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func watchRooms(on bool) *wire.Record {
	r := &wire.Record{Kind: wire.KindWatchRooms}
	if on {
		r.Body = []byte{1}
	}
	return r
}

// happened returns the room events among records, as text.
func (g got) happened(tb testing.TB) (texts []string) {
	tb.Helper()
	for _, r := range g {
		if r.Kind != wire.KindRoomEvents {
			continue
		}
		list, err := wire.ParseStrings(r.Body)
		if err != nil || len(list)%3 != 0 {
			tb.Fatalf("got %q, %v", list, err)
		}
		for i := 0; i < len(list); i += 3 {
			texts = append(texts, fmt.Sprintf("%s %s %s", list[i], list[i+1], list[i+2]))
		}
	}
	return texts
}

func TestRoomEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, b, e := w.app(), w.app(), w.edge()
		one, two := e.socket(1), e.socket(2)
		a.op(accept(t, one, "id1", "x"))
		a.op(watchRooms(true), watchRooms(true), join(one, "x", "y"), accept(t, two, "id2"), join(two, "y", "y"))
		g := got(a.records())
		want := "[c y id1 c id2 id2 j y id2]" // ADP-003: x is joined already, and y once by each
		if events := g.happened(t); fmt.Sprint(events) != want {
			t.Errorf("got %v, want %s", events, want)
		}
		if last := g[len(g)-1]; last.Kind != wire.KindConfirm { // what happened is told before it is confirmed
			t.Errorf("the last is %v", g.kinds())
		}
		a.op(&wire.Record{Kind: wire.KindLeave, Socket: one, Body: wire.AppendStrings(nil, []string{"y", "y", "z", "id1"})})
		b.op(watchRooms(true))
		e.send(&wire.Record{Kind: wire.KindGone, Socket: two}, &wire.Record{Kind: wire.KindGone, Socket: two}) // ADP-004
		want = "[d id2 id2 d y id2]"
		if events := got(b.records()).happened(t); fmt.Sprint(events) != want { // only since it watches
			t.Errorf("got %v, want %s", events, want)
		}
		if events := got(a.records()).happened(t); fmt.Sprint(events) != "[l y id1 d id2 id2 d y id2]" { // ADP-003
			t.Errorf("got %v", events)
		}
		a.op(watchRooms(false), watchRooms(false), join(one, "w"))
		if events := got(a.records()).happened(t); events != nil {
			t.Errorf("got %v after the watch", events)
		}
		if events := got(b.records()).happened(t); fmt.Sprint(events) != "[c w id1]" {
			t.Errorf("got %v", events)
		}
		other := join(e.socket(3), "o")
		other.Namespace = []byte("/other")
		a.op(other, broadcast())
		if events := append(got(a.records()).happened(t), got(b.records()).happened(t)...); events != nil {
			t.Errorf("got %v of another namespace", events)
		}
		b.stop()
		w.pass(10 * time.Second)
		if n := len(w.rooms.index.watches); n != 0 { // nobody is left
			t.Errorf("got %d watches", n)
		}
	})
}

func TestRoomEventsOfManyAndOfDeadEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, e := w.app(), w.edge()
		const n = 3000
		a.op(watchRooms(true))
		for i := range uint32(n) {
			a.op(accept(t, e.socket(i), fmt.Sprint("id", i), "all"))
		}
		e.stop()
		w.pass(10 * time.Second)
		in := map[string]int{}
		for _, text := range got(a.records()).happened(t) {
			var what, room, id string
			if _, err := fmt.Sscan(text, &what, &room, &id); err != nil {
				t.Fatal(err)
			}
			switch first, last := what == wire.RoomCreated, what == wire.RoomDeleted; {
			case first || what == wire.RoomJoined:
				if in[room]++; first != (in[room] == 1) {
					t.Fatalf("%s: %d", text, in[room])
				}
			default:
				if in[room]--; last != (in[room] == 0) {
					t.Fatalf("%s: %d", text, in[room])
				}
			}
		}
		if len(in) != n+1 || in["all"] != 0 {
			t.Errorf("got %d rooms, %d in the last", len(in), in["all"])
		}
	})
}

func TestMissedRoomEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		a, e := w.app(), w.edge()
		a.op(watchRooms(true), accept(t, e.socket(1), "id1"))
		a.records()
		a.mu.Lock()
		a.refuse = fmt.Errorf("breaks the link")
		a.mu.Unlock()
		a.op(join(e.socket(1), "x"))
		a.mu.Lock()
		a.refuse = nil
		a.mu.Unlock()
		w.pass(10 * time.Second)
		a.op(join(e.socket(1), "z"))
		events := got(a.records()).happened(t) // x came on the link that broke
		if want := []string{"c x id1", "!  ", "c z id1"}; !slices.Equal(slices.Compact(events), want) {
			t.Errorf("got %q, want %q", events, want)
		}
		if n := w.m.RoomEventsMissed.Load(); n != 0 {
			t.Errorf("got %d refusals", n)
		}
	})
}

func TestEventsTellTheMembership(t *testing.T) {
	ids := []mesh.InstanceID{mesh.NewInstanceID(), mesh.NewInstanceID()}
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		w := &watch{namespace: "/"}
		x.watch(w)
		rooms := map[string]map[string]bool{} // what a listener knows
		follow := func() {
			for i := 0; i < len(w.events); i += 3 {
				what, room, id := w.events[i], w.events[i+1], w.events[i+2]
				in := rooms[room]
				joins := what == wire.RoomCreated || what == wire.RoomJoined
				if in[id] == joins || joins && (len(in) == 0) != (what == wire.RoomCreated) ||
					!joins && (len(in) == 1) != (what == wire.RoomDeleted) {
					t.Fatalf("%s %s %s: not a real change of %v", what, room, id, in) // ADP-001, ADP-003
				}
				switch {
				case joins && in == nil:
					rooms[room] = map[string]bool{id: true}
				case joins:
					in[id] = true
				default:
					if delete(in, id); len(in) == 0 {
						delete(rooms, room)
					}
				}
			}
			w.events = w.events[:0]
			known := map[string]map[string]bool{}
			if n := x.namespaces["/"]; n != nil {
				for _, name := range slices.Concat(slices.Collect(maps.Keys(n.ids)), slices.Collect(maps.Keys(n.rooms))) {
					if wire.IsUserRoom(name) {
						continue
					}
					n.each(name, func(m *member) {
						if known[name] == nil {
							known[name] = map[string]bool{}
						}
						known[name][m.id] = true
					})
				}
			}
			if !maps.EqualFunc(rooms, known, maps.Equal[map[string]bool, map[string]bool]) {
				t.Fatalf("the events tell %v, want %v", rooms, known)
			}
		}
		address := func() wire.SocketAddr {
			return wire.SocketAddr{Edge: rapid.SampledFrom(ids).Draw(t, "edge"), Slot: rapid.Uint32Range(0, 2).Draw(t, "slot")}
		}
		id := func(at wire.SocketAddr) string { return fmt.Sprint(at.Edge, at.Slot) }
		room := func() string {
			return rapid.SampledFrom([]string{"x", "y", id(address()), wire.UserRoom("u")}).Draw(t, "room")
		}
		t.Repeat(map[string]func(*rapid.T){
			"addEdge": func(*rapid.T) {
				if at := address().Edge; x.edges[at] == nil {
					x.addEdge(at)
				}
			},
			"removeEdge": func(*rapid.T) { x.removeEdge(address().Edge) },
			"accept": func(*rapid.T) {
				at := address()
				if m := x.entry(at, []byte("/")); m != nil {
					x.accept(m, id(at), rapid.SampledFrom([]string{"", "u"}).Draw(t, "user"))
				}
			},
			"join": func(*rapid.T) {
				if m := x.entry(address(), []byte("/")); m != nil {
					x.join(m, room())
				}
			},
			"leave": func(*rapid.T) {
				if m := x.find(address()); m != nil {
					x.leave(m, room())
				}
			},
			"remove": func(*rapid.T) { x.remove(address()) },
			"":       func(*rapid.T) { follow() },
		})
	})
}

func TestUsers(t *testing.T) {
	x := newIndex()
	e := x.addEdge(mesh.NewInstanceID())
	for i, user := range []string{"u", "u", "v", ""} {
		at := wire.SocketAddr{Edge: e.id, Slot: uint32(i)}
		m := x.entry(at, []byte("/"))
		x.join(m, wire.UserRoom("u")) // nobody can
		x.accept(m, fmt.Sprint(i), user)
		x.join(m, wire.UserRoom("v"))
	}
	x.leave(x.find(wire.SocketAddr{Edge: e.id}), wire.UserRoom("u"))
	for user, want := range map[string]int{"u": 2, "v": 1, "": 0, "w": 0} {
		if n := x.count("/", []string{wire.UserRoom(user)}, nil); n != want {
			t.Errorf("user %q: got %d, want %d", user, n, want)
		}
	}
	x.remove(wire.SocketAddr{Edge: e.id, Slot: 2})
	if n := x.count("/", []string{wire.UserRoom("v")}, nil) + x.count("/", nil, []string{wire.UserRoom("u")}); n != 1 {
		t.Errorf("got %d", n)
	}
}
