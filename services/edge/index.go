package edge

import (
	"maps"
	"slices"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// index is which of this edge's accepted sockets are in which room, by namespace. Safe for concurrent use.
// Invariant: a room exists only while a socket is in it.
type index struct {
	mu         sync.Mutex
	namespaces map[string]*members // guarded by mu
	visit      uint64              // guarded by mu: number of the last selection
}

type members struct {
	sockets map[*socket]struct{}
	ids     map[string]*socket              // own rooms
	rooms   map[string]map[*socket]struct{} // joined ones, and the hidden ones of users
}

// names sets the user of a socket, before add.
func (x *index) names(sk *socket, user string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !sk.indexed {
		sk.user = user
	}
}

// add makes an accepted socket visible in its namespace, its own room, its user's, and the rooms it joined so far.
func (x *index) add(sk *socket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.namespaces[string(sk.namespace)]
	if m == nil {
		m = &members{sockets: map[*socket]struct{}{}, ids: map[string]*socket{}, rooms: map[string]map[*socket]struct{}{}}
		x.namespaces[string(sk.namespace)] = m
	}
	m.sockets[sk] = struct{}{}
	m.ids[sk.id] = sk
	sk.indexed = true
	for room := range sk.rooms {
		m.enter(sk, room)
	}
	if sk.user != "" {
		m.enter(sk, wire.UserRoom(sk.user))
	}
}

// join adds a socket to a room; before add it is only remembered. It reports whether the socket was not in it.
func (x *index) join(sk *socket, room string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, in := sk.rooms[room]; in || sk.removed || room == sk.id || wire.IsUserRoom(room) {
		return false
	}
	if sk.rooms == nil {
		sk.rooms = map[string]struct{}{}
	}
	sk.rooms[room] = struct{}{}
	if sk.indexed {
		x.namespaces[string(sk.namespace)].enter(sk, room)
	}
	return true
}

// leave takes a socket out of a room, and reports whether it was in it.
func (x *index) leave(sk *socket, room string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, in := sk.rooms[room]; !in {
		return false
	}
	delete(sk.rooms, room)
	if sk.indexed {
		x.namespaces[string(sk.namespace)].exit(sk, room)
	}
	return true
}

// isIn reports whether an accepted socket is in a namespace and in none of the rooms.
func (x *index) isIn(sk *socket, namespace []byte, except []string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !sk.indexed || string(sk.namespace) != string(namespace) {
		return false
	}
	for _, room := range except {
		if _, in := sk.rooms[room]; in || room == sk.id || sk.user != "" && room == wire.UserRoom(sk.user) {
			return false
		}
	}
	return true
}

// roomsOf returns the rooms of an accepted socket, its own first and the others sorted.
func (x *index) roomsOf(sk *socket) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !sk.indexed {
		return nil
	}
	return append([]string{sk.id}, slices.Sorted(maps.Keys(sk.rooms))...)
}

// remove forgets a socket for good and returns the rooms it was in, its own first if it had been accepted.
func (x *index) remove(sk *socket) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	rooms := make([]string, 0, len(sk.rooms)+1)
	if sk.indexed {
		rooms = append(rooms, sk.id)
	}
	m := x.namespaces[string(sk.namespace)]
	for room := range sk.rooms {
		rooms = append(rooms, room)
		if sk.indexed {
			m.exit(sk, room)
		}
	}
	if sk.indexed {
		delete(m.sockets, sk)
		delete(m.ids, sk.id)
		if sk.user != "" {
			m.exit(sk, wire.UserRoom(sk.user))
		}
		if len(m.sockets) == 0 {
			delete(x.namespaces, string(sk.namespace))
		}
	}
	sk.indexed, sk.removed, sk.rooms = false, true, nil
	return rooms
}

// reset takes a socket that was not accepted out of its rooms.
func (x *index) reset(sk *socket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	sk.rooms = nil
}

// selection appends to dst the sockets of a namespace that are in one of the rooms (all if there are none) and in none of the
// excepted ones, each once.
func (x *index) selection(dst []*socket, namespace []byte, rooms, except wire.StringsView) []*socket {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := x.namespaces[string(namespace)]
	if m == nil {
		return dst
	}
	x.visit++
	for room, ok := except.Next(); ok; room, ok = except.Next() {
		m.each(room, func(sk *socket) { sk.visit = x.visit })
	}
	take := func(sk *socket) {
		if sk.visit != x.visit {
			sk.visit = x.visit
			dst = append(dst, sk)
		}
	}
	if rooms.Len() == 0 {
		for sk := range m.sockets {
			take(sk)
		}
		return dst
	}
	for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
		m.each(room, take)
	}
	return dst
}

func (m *members) enter(sk *socket, room string) {
	in := m.rooms[room]
	if in == nil {
		in = map[*socket]struct{}{}
		m.rooms[room] = in
	}
	in[sk] = struct{}{}
}

func (m *members) exit(sk *socket, room string) {
	in := m.rooms[room]
	if delete(in, sk); len(in) == 0 {
		delete(m.rooms, room)
	}
}

func (m *members) each(room []byte, f func(*socket)) {
	if sk := m.ids[string(room)]; sk != nil {
		f(sk)
	}
	for sk := range m.rooms[string(room)] {
		f(sk)
	}
}
