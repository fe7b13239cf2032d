package edge

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func list(t interface{ Fatal(...any) }, names ...string) wire.StringsView {
	v, err := wire.ReadStrings(wire.AppendStrings(nil, names))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestIndexLikeModel compares an index with a list of sockets and their rooms.
func TestIndexLikeModel(t *testing.T) {
	type fake struct {
		sk      *socket
		rooms   map[string]bool
		indexed bool
	}
	names := []string{"x", "y", "z"}
	rapid.Check(t, func(t *rapid.T) {
		x := index{namespaces: map[string]*members{}}
		var all []*fake
		pick := func() *fake {
			if len(all) == 0 {
				t.Skip("no socket")
			}
			return rapid.SampledFrom(all).Draw(t, "socket")
		}
		t.Repeat(map[string]func(*rapid.T){
			"new": func(*rapid.T) {
				id := fmt.Sprint("id", len(all)+100)
				all = append(all, &fake{sk: &socket{namespace: []byte("/"), id: id}, rooms: map[string]bool{}})
			},
			"add": func(*rapid.T) {
				if f := pick(); !f.indexed {
					x.add(f.sk)
					f.indexed, f.rooms[f.sk.id] = true, true
				}
			},
			"join": func(t *rapid.T) {
				f, room := pick(), rapid.SampledFrom(names).Draw(t, "room")
				x.join(f.sk, room)
				f.rooms[room] = true
			},
			"leave": func(t *rapid.T) {
				f, room := pick(), rapid.SampledFrom(names).Draw(t, "room")
				x.leave(f.sk, room)
				delete(f.rooms, room)
			},
			"remove": func(t *rapid.T) {
				f := pick()
				got := x.remove(f.sk)
				slices.Sort(got)
				if want := slices.Sorted(maps.Keys(f.rooms)); !slices.Equal(got, want) {
					t.Fatalf("rooms: got %q, want %q", got, want)
				}
				x.join(f.sk, "x") // SOC-022
				all = slices.DeleteFunc(all, func(o *fake) bool { return o == f })
			},
			"": func(t *rapid.T) {
				own := "id100"
				for _, rooms := range [][]string{nil, names[:1], names, {own, "y"}} {
					for _, except := range [][]string{nil, names[2:], {own}} {
						got := map[*socket]int{}
						for _, sk := range x.selection(nil, []byte("/"), list(t, rooms...), list(t, except...)) {
							got[sk]++
						}
						want := map[*socket]int{}
						for _, f := range all {
							in := func(room string) bool { return f.rooms[room] }
							if f.indexed && (len(rooms) == 0 || slices.ContainsFunc(rooms, in)) && !slices.ContainsFunc(except, in) {
								want[f.sk] = 1
							}
						}
						if !maps.Equal(got, want) {
							t.Fatalf("in %q except %q: got %d sockets, want %d", rooms, except, len(got), len(want))
						}
					}
				}
				for _, m := range x.namespaces {
					for room, in := range m.rooms {
						if len(in) == 0 {
							t.Fatalf("room %s is kept", room)
						}
					}
					if len(m.sockets) == 0 {
						t.Fatal("an empty namespace is kept")
					}
				}
			},
		})
	})
}

func TestChoose(t *testing.T) {
	links := link.NewEndpoint(bus.NewMemory(), mesh.Subjects{}, mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}, nil, slog.New(slog.DiscardHandler), link.Config{})
	d := newDirectory(links, func(*appInstance, error) {})
	add := func(app string, load uint64, draining, suspect bool, namespaces ...string) mesh.InstanceID {
		p := presence.Peer{
			Address: mesh.Address{Kind: mesh.KindApp, App: app, Instance: mesh.NewInstanceID()}, Suspect: suspect,
			Info: &siomeshv1.Presence{Name: app, Load: load, Draining: draining},
		}
		for _, n := range namespaces {
			p.Info.Namespaces = append(p.Info.Namespaces, &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Name{Name: n}})
		}
		d.update(p)
		return p.Instance
	}
	want := func(what, namespace string, is serving, ids ...mesh.InstanceID) {
		t.Helper()
		seen := map[mesh.InstanceID]bool{}
		for range 200 {
			chosen, got, _ := d.choose(namespace, nil)
			if got != is {
				t.Fatalf("%s: got %d, want %d", what, got, is)
			}
			if chosen != nil {
				seen[chosen.addr.Instance] = true
			}
		}
		if len(seen) != len(ids) {
			t.Errorf("%s: got %d instances, want %d", what, len(seen), len(ids))
		}
		for _, id := range ids {
			if !seen[id] {
				t.Errorf("%s: an instance was not chosen", what)
			}
		}
	}
	want("nobody", "/", waiting)
	add("emitter", 0, false, false) // serves nothing
	want("senders only", "/", waiting)
	draining := add("chat", 0, true, false, "/")
	want("draining", "/", waiting)
	want("another namespace", "/x", unknown)
	suspect := add("chat", 0, false, true, "/")
	want("suspect, for want of a better one", "/", served, suspect)
	a, b := add("chat", 5, false, false, "/"), add("chat", 5, false, false, "/")
	want("two of equal load", "/", served, a, b)
	add("zoo", 0, false, false, "/")
	want("the first app by name", "/", served, a, b)
	for _, id := range []mesh.InstanceID{a, b, suspect, draining} {
		d.remove(id)
	}
	want("the other app", "/", served, d.only(t))
	d.remove(d.only(t))
	want("all gone, announced before", "/", waiting)
}

// only returns the only instance that serves anything.
func (d *directory) only(tb testing.TB) mesh.InstanceID {
	tb.Helper()
	for id, e := range d.instances {
		if len(e.info.GetNamespaces()) > 0 {
			return id
		}
	}
	tb.Fatal("no instance")
	return mesh.InstanceID{}
}

func TestGuests(t *testing.T) {
	var g guests
	start := time.Now()
	conns := make([]*conn, 5)
	for i := range conns {
		conns[i] = &conn{}
		if _, ok := g.admit(conns[i], start.Add(time.Duration(i)*time.Second), len(conns), 0); !ok {
			t.Errorf("no room for %d", i)
		}
	}
	for _, i := range []int{4, 0, 2, 2} { // the last, the first, one between, none
		g.remove(conns[i])
	}
	if c := g.overdue(start); c != nil {
		t.Error("one is overdue too early")
	}
	for _, i := range []int{1, 3} {
		if c := g.overdue(start.Add(time.Minute)); c != conns[i] {
			t.Errorf("overdue: got another than the guest %d", i)
		}
	}
	if c := g.overdue(start.Add(time.Minute)); c != nil || g.waiting != (queue{}) || g.count != 2 {
		t.Error("those who are overdue are not leaving")
	}
	late, next := &conn{}, &conn{}
	if c, ok := g.admit(late, start, 3, 0); !ok || c != nil {
		t.Errorf("admitted %v with %v out", ok, c)
	}
	if c, ok := g.admit(next, start, 3, time.Hour); !ok || c != conns[1] {
		t.Error("who is leaving does not make room")
	}
	for _, c := range []*conn{conns[3], late, next, conns[1]} {
		g.remove(c)
	}
	if g.waiting != (queue{}) || g.leaving != (queue{}) || g.count != 0 {
		t.Error("guests are left")
	}
}

func TestTable(t *testing.T) {
	table := table{edge: mesh.NewInstanceID()}
	a, b := &socket{}, &socket{}
	table.add(a)
	first := a.addr
	table.remove(a)
	table.remove(a) // twice is once
	table.add(b)
	table.add(a)
	foreign := b.addr
	foreign.Edge = mesh.NewInstanceID()
	for _, c := range []struct {
		name string
		addr wire.SocketAddr
		want *socket
	}{
		{"an earlier generation", first, nil},
		{"the slot used again", b.addr, b},
		{"another slot", a.addr, a},
		{"another edge", foreign, nil},
		{"no such slot", wire.SocketAddr{Edge: table.edge, Slot: 9, Generation: 1}, nil},
	} {
		if got := table.find(c.addr); got != c.want {
			t.Errorf("%s: got %p, want %p", c.name, got, c.want)
		}
	}
	if n := len(table.all()); n != 2 {
		t.Errorf("all: got %d, want 2", n)
	}
}

func TestAckLimit(t *testing.T) {
	var a acks
	for i := range uint64(10) {
		id, failed := a.add(100+i, 3)
		if want := max(100+i, 103) - 3; id != i || i >= 3 && failed != want || i < 3 && failed != 0 {
			t.Errorf("request %d: got id %d, failed %d", 100+i, id, failed)
		}
	}
	if a.take(8) != 108 || a.take(8) != 0 {
		t.Error("an id was not taken once")
	}
	if id, failed := a.add(110, 3); id != 10 || failed != 0 {
		t.Errorf("below the limit: got id %d, failed %d", id, failed)
	}
	n := 0
	a.drain(func(uint64) { n++ })
	if n != 3 || a.take(10) != 0 {
		t.Errorf("drained: got %d, want 3", n)
	}
	if id, _ := a.add(1, 3); id != 11 {
		t.Errorf("after draining: got id %d, want 11: ids are never used twice", id)
	}
}

func TestRepliesAreHeldFirst(t *testing.T) {
	var f flow
	for i, k := range []wire.Kind{wire.KindEvent, wire.KindReply, wire.KindEvent, wire.KindReply, wire.KindDisconnect} {
		f.hold(parcel{kind: k, ack: uint64(i), size: 10})
	}
	var order []uint64
	for _, p := range f.held {
		order = append(order, p.ack)
	}
	if !slices.Equal(order, []uint64{1, 3, 0, 2, 4}) || f.waiting != 50 {
		t.Errorf("order: got %d, waiting %d", order, f.waiting)
	}
	f.sent(2)
	if len(f.held) != 3 || f.waiting != 30 {
		t.Errorf("after two: got %d held, waiting %d", len(f.held), f.waiting)
	}
}
