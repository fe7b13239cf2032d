package socketio

import (
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// The rooms of a socket are changed by this instance, which knows its own changes at once, and by others, of whose changes the
// edge tells. Both are ordered in the ring, but what the edge tells may have been overtaken by own changes that the edge had
// not applied yet: so each room keeps the number of the own operation that changed it last, and the edge tells up to which own
// operation it had applied.

// maxParted is how many rooms left by own operations are kept in mind, before those that are confirmed are forgotten.
const maxParted = 64

// move is a change of rooms made by somebody else.
type move struct {
	joins bool
	after uint64 // number of the newest own operation that came before it
	rooms []string
}

// alter sends an own change of rooms, and carries it out here.
func (s *Socket) alter(r *wire.Record, rooms []string) error {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.mu.Lock()
	s.altering = true
	s.mu.Unlock()
	err := s.change(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.altering = false
	if err == nil {
		if r.Kind == wire.KindJoin {
			s.enter(rooms, r.Op)
		} else {
			s.part(rooms, r.Op)
		}
	}
	for _, m := range s.late {
		s.moved(m)
	}
	s.late = nil
	return err
}

// enter adds rooms by the own operation op. The caller holds mu.
func (s *Socket) enter(rooms []string, op uint64) {
	for _, room := range rooms {
		if room == s.id || s.left {
			continue
		}
		if s.rooms == nil {
			s.rooms = make(map[string]uint64, len(rooms))
		}
		s.rooms[room] = op
		delete(s.parted, room)
	}
}

// part removes rooms by the own operation op. The caller holds mu.
func (s *Socket) part(rooms []string, op uint64) {
	for _, room := range rooms {
		delete(s.rooms, room)
		if s.left || op == 0 {
			continue
		}
		if s.parted == nil {
			s.parted = map[string]uint64{}
		}
		s.parted[room] = op
	}
	if len(s.parted) > maxParted {
		done := s.ns.server.out.parts[s.ns.partition].done()
		for room, op := range s.parted {
			if op <= done {
				delete(s.parted, room)
			}
		}
	}
}

// moved carries out a change that somebody else made. The caller holds mu.
func (s *Socket) moved(m move) {
	if s.altering { // the number of the own operation is not known yet
		s.late = append(s.late, m)
		return
	}
	for _, room := range m.rooms {
		if s.rooms[room] > m.after || s.parted[room] > m.after {
			continue // the own change comes after it
		}
		if m.joins {
			s.enter([]string{room}, 0)
		} else {
			s.part([]string{room}, 0)
			delete(s.parted, room)
		}
	}
}
