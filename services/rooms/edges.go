package rooms

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// An edge registers before it lets clients in: it says hello under a number of its own, the lease, and gets the same number
// back. What rooms knows of an edge lasts as long as the stream to it: after a break either side may have missed something.
// Then rooms forgets the edge, tells the apps, and greets it with lease 0, whereupon it closes its connections and registers
// again.

// fromEdge takes a record of an edge.
func (s *Service) fromEdge(from mesh.Address, r *wire.Record) error {
	switch r.Kind {
	case wire.KindHello:
		s.hello(from, r.Lease)
	case wire.KindGone:
		if r.Socket.Edge != from.Instance {
			return errors.New("gone: a socket of another edge")
		}
		s.index.remove(r.Socket)
		s.cfg.Metrics.gone()
	default:
		return fmt.Errorf("edge sends kind %d", r.Kind)
	}
	return nil
}

// hello registers an edge and answers in kind; an edge that registers again starts from nothing, and so does its entry here.
func (s *Service) hello(from mesh.Address, lease uint64) {
	if e := s.index.edges[from.Instance]; e != nil {
		s.edgeEnded(e)
	}
	e := s.index.addEdge(from.Instance)
	e.lease, e.link = lease, s.links.Link(from)
	e.link.OnMark(func(seq uint64) {
		s.marked(e, seq)
		s.EndFrame()
	})
	e.link.OnBreak(func(err error) {
		s.edgeBroke(e, err)
		s.EndFrame()
	})
	s.greet(e.link, lease)
}

// edgeUp asks an edge to register that is there and not registered: it may be back from a silence in which rooms took it for
// dead, without having noticed. To a new one it says nothing that matters.
func (s *Service) edgeUp(edge mesh.Address) {
	if s.owning && s.index.edges[edge.Instance] == nil {
		s.greet(s.links.Link(edge), 0)
	}
}

// greet sends an edge the lease under which it is registered; 0 says that it is not.
func (s *Service) greet(l *link.Link, lease uint64) {
	s.append(l, &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, PartitionEpoch: s.epoch, Lease: lease})
}

// marked notes that the edge has applied its link up to seq.
func (s *Service) marked(e *edge, seq uint64) {
	e.out.pop(seq, func(of *progress, op uint64) {
		of.applied(op)
		s.dirty(of)
	})
}

// edgeBroke ends an edge whose link broke, or is to be broken because the edge left too much unapplied.
func (s *Service) edgeBroke(e *edge, err error) {
	if s.index.edges[e.id] != e || errors.Is(err, link.ErrStopped) {
		return
	}
	if errors.Is(err, link.ErrPeerDead) { // as presence has said, and mostly after a goodbye
		s.log.Debug("edge is gone", slog.String("edge", e.id.String()))
		s.edgeEnded(e)
		return
	}
	s.log.Warn("link to edge broke", slog.String("edge", e.id.String()), slog.Any("err", err))
	s.edgeEnded(e)
	if e.link.Broken() == nil {
		s.cfg.Metrics.edgeFull()
		s.links.Drop(e.id)
	}
	s.greet(s.links.Link(e.link.To()), 0)
}

// edgeEnded forgets an edge with its sockets, stops waiting for it, and tells every app instance.
func (s *Service) edgeEnded(e *edge) {
	s.index.removeEdge(e.id)
	s.marked(e, ^uint64(0))
	for _, app := range s.peers.Live(mesh.KindApp) {
		s.append(s.links.Link(app.Address), &wire.Record{
			Kind: wire.KindEdgeEnded, Flags: wire.FlagControl, Lease: e.lease, Body: e.id[:],
		})
	}
	s.cfg.Metrics.edgeEnded()
}
