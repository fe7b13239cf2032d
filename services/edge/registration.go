package edge

import (
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// An edge registers with the rooms instance that owns the partitions before it lets clients join: it says hello with a fresh
// lease number and waits for the same number back. Whenever a stream between the two breaks, or another instance owns the
// partitions, either side may have missed something; then the edge closes its connections and registers again.

// registered reports whether rooms knows this edge; changed is closed when the answer changes.
func (s *Service) registered() (changed <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.becoming, s.isKnown
}

// roomsLink returns the link to the rooms instance this edge is or wants to be registered with, nil if there is none.
func (s *Service) roomsLink() *link.Link {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms == nil {
		return nil
	}
	return s.links.Link(*s.rooms)
}

// roomsFound follows an announcement of a rooms instance that owns the partitions.
func (s *Service) roomsFound(rooms mesh.Address) {
	s.mu.Lock()
	same := s.rooms != nil && *s.rooms == rooms
	before := s.rooms
	s.rooms = &rooms
	s.mu.Unlock()
	if same {
		return
	}
	if before != nil {
		s.closeAll(errRoomsLost)
	}
	s.register()
}

// roomsDied forgets the rooms instance.
func (s *Service) roomsDied(rooms mesh.Address) {
	s.mu.Lock()
	lost := s.rooms != nil && *s.rooms == rooms
	if lost {
		s.rooms = nil
		s.setKnown(false)
	}
	s.mu.Unlock()
	if lost {
		s.log.Warn("rooms instance lost", slog.String("instance", rooms.Instance.String()))
		s.closeAll(errRoomsLost)
	}
}

// roomsOpened notes a new stream of a rooms instance; after the first one it means that the earlier broke. It runs on the
// links' reader goroutine.
func (s *Service) roomsOpened(from mesh.Address) {
	if s.opened[from.Instance] {
		s.reset()
	}
	s.opened[from.Instance] = true
}

// reset closes the connections and registers again.
func (s *Service) reset() {
	s.closeAll(errRoomsLost)
	s.register()
}

// register says hello under a new lease number.
func (s *Service) register() {
	s.mu.Lock()
	if s.rooms == nil {
		s.mu.Unlock()
		return
	}
	s.setKnown(false)
	s.lease++
	lease := s.lease
	l := s.links.Link(*s.rooms)
	s.mu.Unlock()
	_, err := l.Append(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: lease})
	if err != nil {
		s.log.Warn("hello not sent", slog.Any("err", err))
		return
	}
	l.OnBreak(func(err error) { s.roomsLinkBroke(l, err) })
	l.Flush()
}

// roomsLinkBroke registers on a new link if the rooms instance is still the one.
func (s *Service) roomsLinkBroke(l *link.Link, err error) {
	s.mu.Lock()
	current := s.rooms != nil && *s.rooms == l.To() && !s.stopping.Load()
	s.mu.Unlock()
	if current {
		s.log.Warn("link to rooms broke", slog.Any("err", err))
		s.reset()
	}
}

// greeted takes rooms' answer to a hello.
func (s *Service) greeted(from mesh.Address, lease uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms != nil && *s.rooms == from && lease == s.lease {
		s.setKnown(true)
	}
}

// setKnown changes isKnown and wakes those who wait for it; mu is held.
func (s *Service) setKnown(known bool) {
	if s.isKnown != known {
		s.isKnown = known
		close(s.becoming)
		s.becoming = make(chan struct{})
	}
}
