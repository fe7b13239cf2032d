package rooms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
)

// errAnother says that a mesh already has a rooms instance.
var errAnother = errors.New("another rooms instance is alive: a mesh runs one")

// ownPoll is how often a rooms instance that may not own the partitions yet looks again.
const ownPoll = 50 * time.Millisecond

// own announces the partitions as soon as no other rooms instance is alive, and keeps them until ctx ends or one that
// outranks this one turns up: two would each order half of the operations.
func (s *Service) own(ctx context.Context) error {
	for _, started := range []<-chan struct{}{s.links.Ready(), s.peers.Heard()} {
		select {
		case <-started:
		case <-ctx.Done():
			return nil
		}
	}
	predecessor, err := s.waitAlone(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	owned := make(chan struct{})
	s.links.Do(func() {
		s.epoch = max(uint32(time.Now().Unix()), predecessor+1) //nolint:gosec // until the year 2106
		s.owning = true
		close(owned)
	})
	select {
	case <-owned:
	case <-ctx.Done():
		return nil
	}
	close(s.ready)
	s.peers.Announce()
	s.log.Info("rooms serving", slog.String("instance", s.self.Instance.String()))
	for _, p := range s.peers.Live(mesh.KindRooms) { // announced since they were looked at
		s.otherOwner(p)
	}
	select {
	case id := <-s.usurper:
		return fmt.Errorf("%w: %s", errAnother, id)
	case <-ctx.Done():
		return nil
	}
}

// waitAlone returns when there is no rival left or ctx ends, with the highest epoch that one had; and an error after
// Config.Takeover.
func (s *Service) waitAlone(ctx context.Context) (epoch uint32, err error) {
	tick := time.NewTicker(ownPoll)
	defer tick.Stop()
	giveUp := time.NewTimer(s.cfg.Takeover)
	defer giveUp.Stop()
	for {
		peers := s.peers.Live(mesh.KindRooms)
		i := slices.IndexFunc(peers, s.isRival)
		if i < 0 {
			return epoch, nil
		}
		for _, part := range peers[i].Info.GetPartitions() {
			epoch = max(epoch, uint32(part.GetEpoch())) //nolint:gosec // epochs are 32 bits wide in records
		}
		select {
		case <-tick.C:
		case <-giveUp.C:
			return epoch, fmt.Errorf("%w: %s", errAnother, peers[i].Instance)
		case <-ctx.Done():
			return epoch, nil
		}
	}
}

// isRival reports whether a rooms instance comes before this one: it owns the partitions, or it starts at the same time and
// has the lower id.
func (s *Service) isRival(p presence.Peer) bool {
	return len(p.Info.GetPartitions()) > 0 || p.Instance.String() < s.self.Instance.String()
}

// otherOwner ends this instance if another one owns the partitions too and outranks it, by its epoch and then by its id: that
// happens when two could not hear each other for a while.
func (s *Service) otherOwner(p presence.Peer) {
	select {
	case <-s.ready:
	default:
		return
	}
	parts := p.Info.GetPartitions()
	if len(parts) == 0 {
		return
	}
	theirs, ours := parts[0].GetEpoch(), uint64(s.epoch)
	if theirs < ours || theirs == ours && p.Instance.String() > s.self.Instance.String() {
		return
	}
	select {
	case s.usurper <- p.Instance:
	default:
	}
}

// describe fills in what this instance announces.
func (s *Service) describe(p *siomeshv1.Presence) {
	select {
	case <-s.ready:
		for n := range uint32(mesh.Partitions) {
			p.Partitions = append(p.Partitions, &siomeshv1.Partition{Number: n, Epoch: uint64(s.epoch)})
		}
	default:
	}
}
