package socketio

import (
	"errors"
	"fmt"
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// ErrRoomEvents is reported to OnError when room events may be missing: the rooms service that told of them is gone or was out of
// reach, or the handlers are too slow. What is in a room now, Count and FetchSockets tell.
var ErrRoomEvents = errors.New("socketio: room events may be missing")

// roomListener is a handler of one kind of room events.
type roomListener struct {
	kind roomEvent
	f    func(room, id string)
}

type roomEvent uint8

const (
	roomCreated roomEvent = iota
	roomJoined
	roomLeft
	roomDeleted
)

// OnJoin has f called for every socket that joins a room of the namespace, wherever it is and whoever has it join: the room, and
// the socket's id. Its own room, which has its id as the name, it joins when it connects; one in which it already is it does not
// join again (ADP-003). Events come in the order in which the rooms service made the changes, one at a time with those of
// OnLeave, OnCreateRoom and OnDeleteRoom, from Run on: if f was added before what this Server does, it is called for that. While
// an instance has such a handler, rooms tells it of the namespace's changes; without any that costs nothing. If events may be
// missing, ErrRoomEvents goes to OnError. The returned function removes this registration.
func (n *Namespace) OnJoin(f func(room, id string)) (off func()) { return n.onRoom(roomJoined, f) }

// OnLeave has f called for every socket that leaves a room of the namespace, also by its disconnect, which comes with a leave of
// each room; see OnJoin.
func (n *Namespace) OnLeave(f func(room, id string)) (off func()) { return n.onRoom(roomLeft, f) }

// OnCreateRoom has f called for every room that gets its first socket, before OnJoin is; see there.
func (n *Namespace) OnCreateRoom(f func(room string)) (off func()) {
	return n.onRoom(roomCreated, func(room, _ string) { f(room) })
}

// OnDeleteRoom has f called for every room whose last socket has left, after OnLeave was; see OnJoin.
func (n *Namespace) OnDeleteRoom(f func(room string)) (off func()) {
	return n.onRoom(roomDeleted, func(room, _ string) { f(room) })
}

func (n *Namespace) onRoom(kind roomEvent, f func(room, id string)) (off func()) {
	l := &roomListener{kind: kind, f: f}
	n.listenRooms(func(all []*roomListener) []*roomListener { return append(all, l) })
	return func() {
		n.listenRooms(func(all []*roomListener) []*roomListener {
			return slices.DeleteFunc(all, func(other *roomListener) bool { return other == l })
		})
	}
}

// listenRooms changes the listeners, and the watch if they are the first or were the last.
func (n *Namespace) listenRooms(change func([]*roomListener) []*roomListener) {
	server := n.server
	server.watching.Lock()
	defer server.watching.Unlock()
	server.mu.Lock()
	before := len(n.roomSide) > 0
	n.roomSide = change(slices.Clone(n.roomSide))
	now, serving := len(n.roomSide) > 0, server.phase == running
	server.mu.Unlock()
	if now != before && serving {
		server.out.watch(n, now)
	}
}

// watchRooms begins the watches that handlers asked for before Run.
func (s *Server) watchRooms() {
	s.watching.Lock()
	defer s.watching.Unlock()
	s.mu.Lock()
	var watched []*Namespace
	for _, n := range s.namespaces {
		if len(n.roomSide) > 0 {
			watched = append(watched, n)
		}
	}
	s.mu.Unlock()
	for _, n := range watched {
		s.out.watch(n, true)
	}
}

// maxRoomEvents is how many bytes of room events may wait for their handlers.
const maxRoomEvents = 16 << 20

// roomChanges is what rooms has told at once, in threes of what, room and socket id.
type roomChanges struct {
	namespace *Namespace
	list      []string
}

// roomEvents takes what rooms tells. It runs on the reader goroutine.
func (s *Server) roomEvents(r *wire.Record) error {
	list, err := wire.ParseStrings(r.Body)
	if err == nil && len(list)%3 != 0 {
		err = fmt.Errorf("%d strings", len(list))
	}
	if err != nil {
		return fmt.Errorf("room events: %w", err)
	}
	s.mu.Lock()
	n := s.namespaces[string(r.Namespace)]
	wanted := n != nil && len(n.roomSide) > 0 && s.phase == running
	s.mu.Unlock()
	if wanted {
		s.changed.put(roomChanges{namespace: n, list: list}, len(r.Body))
	}
	return nil
}

// handleRoomChanges calls the listeners.
func (s *Server) handleRoomChanges(c roomChanges) {
	for ; len(c.list) > 0; c.list = c.list[3:] {
		what, room, id := c.list[0], c.list[1], c.list[2]
		switch what {
		case wire.RoomCreated:
			c.namespace.tellRoom(roomCreated, room, id)
			c.namespace.tellRoom(roomJoined, room, id)
		case wire.RoomJoined:
			c.namespace.tellRoom(roomJoined, room, id)
		case wire.RoomLeft:
			c.namespace.tellRoom(roomLeft, room, id)
		case wire.RoomDeleted:
			c.namespace.tellRoom(roomLeft, room, id)
			c.namespace.tellRoom(roomDeleted, room, id)
		case wire.RoomsMissed:
			s.reports.put(fmt.Errorf("%w: rooms could not tell them", ErrRoomEvents))
		}
	}
}

func (n *Namespace) tellRoom(kind roomEvent, room, id string) {
	n.server.mu.Lock()
	listeners := n.roomSide
	n.server.mu.Unlock()
	for _, l := range listeners {
		if l.kind != kind {
			continue
		}
		if err := guard(func() error { l.f(room, id); return nil }); err != nil {
			n.server.reports.put(fmt.Errorf("handle a room event in namespace %.80q: %w", n.name, err))
		}
	}
}

// OnJoin hears who joins rooms of "/"; see Namespace.OnJoin.
func (s *Server) OnJoin(f func(room, id string)) (off func()) { return s.Of("/").OnJoin(f) }

// OnLeave hears who leaves rooms of "/"; see Namespace.OnLeave.
func (s *Server) OnLeave(f func(room, id string)) (off func()) { return s.Of("/").OnLeave(f) }

// OnCreateRoom hears which rooms of "/" come; see Namespace.OnCreateRoom.
func (s *Server) OnCreateRoom(f func(room string)) (off func()) { return s.Of("/").OnCreateRoom(f) }

// OnDeleteRoom hears which rooms of "/" go; see Namespace.OnDeleteRoom.
func (s *Server) OnDeleteRoom(f func(room string)) (off func()) { return s.Of("/").OnDeleteRoom(f) }
