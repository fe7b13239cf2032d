package edge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
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

// leaseNow returns the number of the present registration.
func (s *Service) leaseNow() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
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

// roomsFound follows the heartbeats of a rooms instance: the one with the highest epoch owns the partitions.
func (s *Service) roomsFound(p presence.Peer) {
	if len(p.Info.GetPartitions()) == 0 {
		return
	}
	epoch := p.Info.GetPartitions()[0].GetEpoch()
	s.mu.Lock()
	news := s.rooms == nil || *s.rooms != p.Address && epoch > s.epoch
	if news {
		s.rooms, s.epoch = &p.Address, epoch
	}
	s.mu.Unlock()
	if news {
		s.reset()
	}
}

// roomsDied forgets the rooms instance. One that was stopped has said goodbye.
func (s *Service) roomsDied(p presence.Peer) {
	rooms := p.Address
	s.links.Do(func() { delete(s.opened, rooms.Instance) })
	s.mu.Lock()
	lost := s.rooms != nil && *s.rooms == rooms
	if lost {
		s.rooms, s.epoch = nil, 0
	}
	s.mu.Unlock()
	if !lost {
		return
	}
	level := slog.LevelWarn
	if p.Info.GetGoodbye() {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "rooms instance lost", slog.String("instance", rooms.Instance.String()))
	s.reset()
	for _, p := range s.peers.Live(mesh.KindRooms) { // another may have announced itself before
		s.roomsFound(p)
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

// reset closes the connections and registers again, if there is a rooms instance.
func (s *Service) reset() {
	s.mu.Lock()
	s.setKnown(false) // before the connections are closed, so that none is added behind that
	s.mu.Unlock()
	s.closeAll()
	select {
	case s.renew <- struct{}{}:
	default: // it is time already
	}
}

// helloSpacing is the least time between two hellos, lest a rooms instance that refuses them be flooded.
const helloSpacing = 100 * time.Millisecond

// helloPatience is how long an answer to a hello may take before the next.
const helloPatience = time.Second

// keepRegistered says hello whenever it is time to, and again while rooms does not answer, until ctx ends.
func (s *Service) keepRegistered(ctx context.Context) error {
	for s.unregistered(ctx) {
		if l := s.hello(); l != nil {
			l.Flush()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(helloSpacing):
		}
	}
	return nil
}

// unregistered waits until it is time for a hello, and returns false when ctx ends first.
func (s *Service) unregistered(ctx context.Context) bool {
	for {
		patience := time.NewTimer(helloPatience)
		select {
		case <-ctx.Done():
			patience.Stop()
			return false
		case <-s.renew:
			patience.Stop()
			return true
		case <-patience.C:
			s.mu.Lock()
			unanswered := s.rooms != nil && !s.isKnown
			s.mu.Unlock()
			if unanswered {
				return true
			}
		}
	}
}

// hello registers under a new lease number, and returns the link to flush.
func (s *Service) hello() *link.Link {
	s.mu.Lock()
	defer s.mu.Unlock() // held while appending, so that the last hello has the highest number
	if s.rooms == nil || s.stopping.Load() {
		return nil
	}
	s.setKnown(false)
	s.lease++
	l := s.links.Link(*s.rooms)
	if _, err := l.Append(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: s.lease}); err != nil {
		s.log.Warn("hello not sent", slog.Any("err", err)) // the link broke in this moment: its callback registers again
	}
	l.OnBreak(func(err error) { s.roomsLinkBroke(l, err) })
	return l
}

// roomsLinkBroke registers on a new link if the rooms instance is still the one.
func (s *Service) roomsLinkBroke(l *link.Link, err error) {
	s.mu.Lock()
	current := s.rooms != nil && *s.rooms == l.To() && !s.stopping.Load()
	s.mu.Unlock()
	dead := errors.Is(err, link.ErrPeerDead) && s.peers.Dead(l.To().Instance) // roomsDied sees to it
	if current && !dead && !errors.Is(err, link.ErrStopped) {
		s.log.Warn("link to rooms broke", slog.Any("err", err))
		s.reset()
	}
}

// greeted takes rooms' answer to a hello; the lease number 0 says that rooms has forgotten this edge.
func (s *Service) greeted(from mesh.Address, lease uint64) {
	s.mu.Lock()
	current := s.rooms != nil && *s.rooms == from
	if current && lease == s.lease {
		s.setKnown(true)
	}
	s.mu.Unlock()
	if current && lease == 0 {
		s.reset()
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
