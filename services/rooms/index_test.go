package rooms

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func view(tb testing.TB, rooms ...string) wire.StringsView {
	tb.Helper()
	v, err := wire.ReadStrings(wire.AppendStrings(nil, rooms))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func TestPendingIsInvisible(t *testing.T) {
	x := newIndex()
	e := x.addEdge(mesh.NewInstanceID())
	at := wire.SocketAddr{Edge: e.id, Slot: 1, Generation: 1}
	m := x.entry(at, []byte("/"))
	x.join(m, "a")
	x.join(m, "me") // the name of the own room, before it is known
	edges := 0
	x.eachEdge([]byte("/"), view(t, "a"), func(*edge) { edges++ })
	x.eachEdge([]byte("/"), view(t), func(*edge) { edges++ })
	if n := x.count("/", nil, nil) + x.count("/", []string{"a"}, nil); n != 0 || edges != 0 {
		t.Errorf("pending: got count %d, %d edges, want none", n, edges)
	}
	x.accept(m, "me", "u")
	for _, rooms := range [][]string{nil, {"a"}, {"me"}, {"a", "me"}} {
		if n := x.count("/", rooms, nil); n != 1 {
			t.Errorf("count in %q: got %d, want 1", rooms, n)
		}
		edges = 0
		x.eachEdge([]byte("/"), view(t, rooms...), func(*edge) { edges++ })
		if edges != 1 {
			t.Errorf("edges of %q: got %d, want 1 (BRO-005)", rooms, edges)
		}
	}
	x.leave(m, "me") // the own room is never left
	if n := x.count("/", []string{"me"}, nil); n != 1 {
		t.Errorf("own room after leave: got %d, want 1", n)
	}
	if n := x.count("/", []string{"a"}, []string{"me"}); n != 0 {
		t.Errorf("except by id: got %d, want 0 (BRO-007, BRO-008)", n)
	}
}

func TestEntryOfUnknownEdge(t *testing.T) {
	x := newIndex()
	at := wire.SocketAddr{Edge: mesh.NewInstanceID(), Slot: 1, Generation: 1}
	if m := x.entry(at, []byte("/")); m != nil {
		t.Errorf("entry: got %v, want none", m)
	}
	x.remove(at)
	x.removeEdge(at.Edge)
	if len(x.namespaces) != 0 {
		t.Errorf("namespaces: got %d, want 0", len(x.namespaces))
	}
}

// model is the same as an index, slowly.
type model struct {
	edges   map[mesh.InstanceID]bool
	sockets map[wire.SocketAddr]*modelSocket
}

type modelSocket struct {
	ns, id   string
	accepted bool
	rooms    map[string]bool
}

func (m *modelSocket) in(rooms []string) bool {
	return slices.ContainsFunc(rooms, func(r string) bool { return m.rooms[r] || m.id == r })
}

func (m *model) count(ns string, rooms, except []string) (n int) {
	for _, s := range m.sockets {
		if s.ns == ns && s.accepted && (len(rooms) == 0 || s.in(rooms)) && !s.in(except) {
			n++
		}
	}
	return n
}

func (m *model) edgesOf(ns string, rooms []string) map[mesh.InstanceID]bool {
	found := map[mesh.InstanceID]bool{}
	for at, s := range m.sockets {
		if s.ns == ns && s.accepted && (len(rooms) == 0 || s.in(rooms)) {
			found[at.Edge] = true
		}
	}
	return found
}

func TestIndexLikeModel(t *testing.T) {
	ids := []mesh.InstanceID{mesh.NewInstanceID(), mesh.NewInstanceID(), mesh.NewInstanceID()}
	spaces, names := []string{"/", "/a"}, []string{"x", "y", "z"}
	rapid.Check(t, func(t *rapid.T) {
		x, m := newIndex(), &model{edges: map[mesh.InstanceID]bool{}, sockets: map[wire.SocketAddr]*modelSocket{}}
		address := func() wire.SocketAddr {
			return wire.SocketAddr{
				Edge: rapid.SampledFrom(ids).Draw(t, "edge"), Slot: rapid.Uint32Range(0, 3).Draw(t, "slot"), Generation: 1,
			}
		}
		room := func(at wire.SocketAddr) string {
			own := fmt.Sprint(at.Edge, at.Slot)
			return rapid.SampledFrom(append([]string{own}, names...)).Draw(t, "room")
		}
		ensure := func(at wire.SocketAddr) (*member, *modelSocket) {
			ns := spaces[at.Slot%2]
			if m.edges[at.Edge] && m.sockets[at] == nil {
				m.sockets[at] = &modelSocket{ns: ns, rooms: map[string]bool{}}
			}
			return x.entry(at, []byte(ns)), m.sockets[at]
		}
		t.Repeat(map[string]func(*rapid.T){
			"addEdge": func(*rapid.T) {
				if id := address().Edge; !m.edges[id] {
					x.addEdge(id)
					m.edges[id] = true
				}
			},
			"removeEdge": func(*rapid.T) {
				id := address().Edge
				x.removeEdge(id)
				delete(m.edges, id)
				maps.DeleteFunc(m.sockets, func(a wire.SocketAddr, _ *modelSocket) bool { return a.Edge == id })
			},
			"accept": func(*rapid.T) {
				at := address()
				if e, s := ensure(at); s != nil {
					id := fmt.Sprint(at.Edge, at.Slot)
					x.accept(e, id, "")
					s.accepted, s.id = true, id
				}
			},
			"join": func(*rapid.T) {
				at := address()
				if e, s := ensure(at); s != nil {
					name := room(at)
					x.join(e, name)
					s.rooms[name] = true
				}
			},
			"leave": func(*rapid.T) {
				at := address()
				if e := x.find(at); e != nil {
					name := room(at)
					x.leave(e, name)
					delete(m.sockets[at].rooms, name)
				}
			},
			"remove": func(*rapid.T) {
				at := address()
				x.remove(at)
				delete(m.sockets, at)
			},
			"": func(t *rapid.T) { same(t, x, m, spaces, names) },
		})
	})
}

// selectionOf returns what a selection holds, each once.
func selectionOf(t *rapid.T, x *index, ns string, rooms, except []string) map[*member]bool {
	in, err := wire.ReadStrings(wire.AppendStrings(nil, rooms))
	if err != nil {
		t.Fatal(err)
	}
	out, err := wire.ReadStrings(wire.AppendStrings(nil, except))
	if err != nil {
		t.Fatal(err)
	}
	found := map[*member]bool{}
	for _, m := range x.selection([]byte(ns), in, out) {
		if found[m] {
			t.Fatalf("%s is selected twice", m.id)
		}
		found[m] = true
	}
	return found
}

// same checks everything that can be asked, and that nothing is kept that is not needed.
func same(t *rapid.T, x *index, m *model, spaces, names []string) {
	own := ""
	for _, s := range m.sockets {
		own = max(own, s.id)
	}
	for _, ns := range spaces {
		for _, rooms := range [][]string{nil, names[:1], names[:2], {own}, {own, names[2]}} {
			for _, except := range [][]string{nil, names[1:2], {own}} {
				if got, want := x.count(ns, rooms, except), m.count(ns, rooms, except); got != want {
					t.Fatalf("count in %s of %q except %q: got %d, want %d", ns, rooms, except, got, want)
				}
				if got, want := len(selectionOf(t, x, ns, rooms, except)), m.count(ns, rooms, except); got != want {
					t.Fatalf("selection in %s of %q except %q: got %d, want %d", ns, rooms, except, got, want)
				}
			}
			found := map[mesh.InstanceID]bool{}
			v, err := wire.ReadStrings(wire.AppendStrings(nil, rooms))
			if err != nil {
				t.Fatal(err)
			}
			x.eachEdge([]byte(ns), v, func(e *edge) {
				if found[e.id] {
					t.Fatalf("edge told twice")
				}
				found[e.id] = true
			})
			if want := m.edgesOf(ns, rooms); !maps.Equal(found, want) {
				t.Fatalf("edges of %s %q: got %v, want %v", ns, rooms, found, want)
			}
		}
	}
	tidy(t, x, m)
}

func tidy(t *rapid.T, x *index, m *model) {
	if len(x.edges) != len(m.edges) {
		t.Fatalf("edges: got %d, want %d", len(x.edges), len(m.edges))
	}
	entries := map[string]int{}
	for _, s := range m.sockets {
		entries[s.ns]++
	}
	if len(x.namespaces) != len(entries) {
		t.Fatalf("namespaces: got %d, want %d", len(x.namespaces), len(entries))
	}
	for name, n := range x.namespaces {
		if n.entries != entries[name] {
			t.Fatalf("entries of %s: got %d, want %d", name, n.entries, entries[name])
		}
		for room, r := range n.rooms {
			sum := 0
			for _, c := range r.edges {
				if c.n <= 0 {
					t.Fatalf("tally of %s: %d", room, c.n)
				}
				sum += c.n
			}
			if len(r.members) == 0 || sum != len(r.members) {
				t.Fatalf("room %s: %d members, tally %d", room, len(r.members), sum)
			}
		}
	}
}
