package rooms

import (
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// edge is one edge instance as rooms sees it.
type edge struct {
	id      mesh.InstanceID
	lease   uint64                      // the number it registered under
	link    *link.Link                  // to the edge, for as long as this registration lasts; nil in tests of the index
	sockets map[wire.SocketAddr]*member // every entry of this edge, pending ones too
	out     outbox                      // what is on its way to the edge and not yet applied there
	visit   uint64                      // number of the last selection that found this edge; owned by index.select
}

// member is one socket in one namespace.
type member struct {
	addr     wire.SocketAddr
	edge     *edge
	ns       *namespace
	accepted bool                // false: pending; joined rooms are kept, but nobody finds it
	id       string              // public socket id: the name of its own room; empty while pending
	user     string              // from the auth verdict
	rooms    map[string]struct{} // rooms joined, without its own
	visit    uint64              // number of the last count that saw this member; owned by index.count
}

// namespace is the membership of one namespace. Only accepted members are in ids, rooms and edges.
type namespace struct {
	name    string
	ids     map[string]*member // own rooms: every socket id is a room
	rooms   map[string]*room   // joined ones, and the hidden ones of users
	edges   tally
	watch   *watch // nil: nobody wants to hear of its rooms
	entries int    // accepted and pending ones; the namespace is forgotten with the last
}

// room is a joined room: who is in it and how many of them each edge holds.
type room struct {
	members map[*member]struct{}
	edges   tally
}

// tally counts members by edge. Meshes have few edges, so a slice beats a map.
type tally []edgeCount

type edgeCount struct {
	edge *edge
	n    int
}

func (t *tally) add(e *edge, n int) {
	for i := range *t {
		if c := &(*t)[i]; c.edge == e {
			if c.n += n; c.n == 0 {
				last := len(*t) - 1
				(*t)[i] = (*t)[last]
				(*t)[last] = edgeCount{}
				*t = (*t)[:last]
			}
			return
		}
	}
	*t = append(*t, edgeCount{edge: e, n: n})
}

// index is who is where, for all namespaces: a plain data structure without clock, lock or IO.
// Invariants: a room exists only while it has an accepted member; an edge is in a tally only while it has one there.
type index struct {
	namespaces map[string]*namespace
	edges      map[mesh.InstanceID]*edge
	watches    map[string]*watch // by namespace
	happened   []*watch          // that have something to tell
	visit      uint64
}

func newIndex() *index {
	return &index{namespaces: map[string]*namespace{}, edges: map[mesh.InstanceID]*edge{}, watches: map[string]*watch{}}
}

// entry returns the socket's entry, made pending if there is none. It is nil if its edge is not registered.
func (x *index) entry(addr wire.SocketAddr, ns []byte) *member {
	e := x.edges[addr.Edge]
	if e == nil {
		return nil
	}
	m := e.sockets[addr]
	if m == nil {
		n := x.namespaces[string(ns)]
		if n == nil {
			n = &namespace{name: string(ns), ids: map[string]*member{}, rooms: map[string]*room{}, watch: x.watches[string(ns)]}
			x.namespaces[n.name] = n
		}
		m = &member{addr: addr, edge: e, ns: n}
		e.sockets[addr] = m
		n.entries++
	}
	return m
}

// accept makes a pending entry visible under its id, in its own room and the rooms it joined so far.
func (x *index) accept(m *member, id, user string) {
	if m.accepted {
		return
	}
	m.accepted, m.id, m.user = true, id, user
	delete(m.rooms, id)
	x.came(m, id)
	m.ns.ids[id] = m
	m.ns.edges.add(m.edge, 1)
	if user != "" {
		m.ns.enter(wire.UserRoom(user), m)
	}
	for name := range m.rooms {
		x.enter(m, name)
	}
}

// join adds the member to a room; its own room it never leaves, and hidden ones are not joined.
func (x *index) join(m *member, name string) {
	if _, in := m.rooms[name]; in || m.accepted && name == m.id || wire.IsUserRoom(name) {
		return
	}
	if m.rooms == nil {
		m.rooms = map[string]struct{}{}
	}
	m.rooms[name] = struct{}{}
	if m.accepted {
		x.enter(m, name)
	}
}

// leave takes the member out of a room.
func (x *index) leave(m *member, name string) {
	if _, in := m.rooms[name]; !in {
		return
	}
	delete(m.rooms, name)
	if m.accepted {
		x.exit(m, name)
	}
}

// remove forgets the entry with all its memberships.
func (x *index) remove(addr wire.SocketAddr) {
	e := x.edges[addr.Edge]
	if e == nil {
		return
	}
	if m := e.sockets[addr]; m != nil {
		delete(e.sockets, addr)
		x.detach(m)
	}
}

func (x *index) detach(m *member) {
	if m.accepted {
		if m.ns.ids[m.id] == m {
			delete(m.ns.ids, m.id)
			x.went(m, m.id)
		}
		for name := range m.rooms {
			x.exit(m, name)
		}
		if m.user != "" {
			m.ns.exit(wire.UserRoom(m.user), m)
		}
		m.ns.edges.add(m.edge, -1)
	}
	if m.ns.entries--; m.ns.entries == 0 {
		delete(x.namespaces, m.ns.name)
	}
}

// find returns the socket's entry, nil if there is none.
func (x *index) find(addr wire.SocketAddr) *member {
	if e := x.edges[addr.Edge]; e != nil {
		return e.sockets[addr]
	}
	return nil
}

// addEdge registers an edge, without sockets.
func (x *index) addEdge(id mesh.InstanceID) *edge {
	e := &edge{id: id, sockets: map[wire.SocketAddr]*member{}}
	x.edges[id] = e
	return e
}

// removeEdge forgets an edge with all its sockets.
func (x *index) removeEdge(id mesh.InstanceID) {
	e := x.edges[id]
	if e == nil {
		return
	}
	delete(x.edges, id)
	for _, m := range e.sockets {
		x.detach(m)
	}
}

// eachEdge calls f once for every edge that holds an accepted member of one of the rooms, or of the namespace if there are
// no rooms. The order is not defined.
func (x *index) eachEdge(ns []byte, rooms wire.StringsView, f func(*edge)) {
	n := x.namespaces[string(ns)]
	if n == nil {
		return
	}
	if rooms.Len() == 0 {
		for _, c := range n.edges {
			f(c.edge)
		}
		return
	}
	x.visit++
	once := func(e *edge) {
		if e.visit != x.visit {
			e.visit = x.visit
			f(e)
		}
	}
	for name, ok := rooms.Next(); ok; name, ok = rooms.Next() {
		if m := n.ids[string(name)]; m != nil {
			once(m.edge)
		}
		if r := n.rooms[string(name)]; r != nil {
			for _, c := range r.edges {
				once(c.edge)
			}
		}
	}
}

// selection returns the accepted members in any of the rooms (of the namespace if there are none) that are in none of the
// excepted rooms, each once.
func (x *index) selection(ns []byte, rooms, except wire.StringsView) (found []*member) {
	n := x.namespaces[string(ns)]
	if n == nil {
		return nil
	}
	x.visit++
	for name, ok := except.Next(); ok; name, ok = except.Next() {
		n.each(string(name), func(m *member) { m.visit = x.visit })
	}
	take := func(m *member) {
		if m.visit != x.visit {
			m.visit = x.visit
			found = append(found, m)
		}
	}
	if rooms.Len() == 0 {
		for _, m := range n.ids {
			take(m)
		}
		return found
	}
	for name, ok := rooms.Next(); ok; name, ok = rooms.Next() {
		n.each(string(name), take)
	}
	return found
}

// count returns the number of accepted members in any of the rooms (of the namespace if there are none) that are in none of
// the excepted rooms. One room and nothing excepted costs no walk.
func (x *index) count(ns string, rooms, except []string) int {
	n := x.namespaces[ns]
	switch {
	case n == nil:
		return 0
	case len(except) == 0 && len(rooms) == 0:
		return len(n.ids)
	case len(except) == 0 && len(rooms) == 1:
		return n.size(rooms[0])
	}
	x.visit++
	n.mark(except, x.visit)
	total := 0
	tell := func(m *member) {
		if m.visit != x.visit {
			m.visit = x.visit
			total++
		}
	}
	if len(rooms) == 0 {
		for _, m := range n.ids {
			tell(m)
		}
		return total
	}
	for _, name := range rooms {
		n.each(name, tell)
	}
	return total
}

// enter adds an accepted member to a room that it was not in.
func (x *index) enter(m *member, name string) {
	x.came(m, name)
	m.ns.enter(name, m)
}

// exit takes it out.
func (x *index) exit(m *member, name string) {
	m.ns.exit(name, m)
	x.went(m, name)
}

func (n *namespace) enter(name string, m *member) {
	r := n.rooms[name]
	if r == nil {
		r = &room{members: map[*member]struct{}{}}
		n.rooms[name] = r
	}
	r.members[m] = struct{}{}
	r.edges.add(m.edge, 1)
}

func (n *namespace) exit(name string, m *member) {
	r := n.rooms[name]
	if r == nil {
		return
	}
	delete(r.members, m)
	r.edges.add(m.edge, -1)
	if len(r.members) == 0 {
		delete(n.rooms, name)
	}
}

// size is the number of members of a room, own rooms included.
func (n *namespace) size(name string) int {
	size := 0
	own := n.ids[name]
	if own != nil {
		size++
	}
	if r := n.rooms[name]; r != nil {
		size += len(r.members)
		if _, twice := r.members[own]; own != nil && twice {
			size--
		}
	}
	return size
}

func (n *namespace) each(name string, f func(*member)) {
	if m := n.ids[name]; m != nil {
		f(m)
	}
	if r := n.rooms[name]; r != nil {
		for m := range r.members {
			f(m)
		}
	}
}

func (n *namespace) mark(rooms []string, visit uint64) {
	for _, name := range rooms {
		n.each(name, func(m *member) { m.visit = visit })
	}
}
