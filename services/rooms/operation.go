package rooms

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// operation takes one ring record of an app instance: it numbers, applies it to the index and passes it on to the edges
// concerned. An error means that the record cannot be read, which breaks the sender's link.
func (s *Service) operation(from mesh.Address, r *wire.Record) error {
	p := s.progressOf(from, r.Partition)
	repeat, err := p.take(r.Op)
	if err != nil {
		return err
	}
	if repeat {
		s.cfg.Metrics.repeat()
		return nil
	}
	s.cfg.Metrics.operation(r.Kind)
	s.dirty(p.origin)
	r.Origin = from.Instance
	if r.Kind == wire.KindBroadcast {
		err = s.broadcast(p, r)
	} else {
		err = s.toSocket(p, r)
	}
	s.unpark(p)
	return err
}

// toSocket applies an operation on one socket and passes it to the socket's edge.
func (s *Service) toSocket(p *progress, r *wire.Record) error {
	e := s.index.edges[r.Socket.Edge]
	if e == nil { // an edge that is dead, or not yet registered: it has no such socket
		return nil
	}
	switch r.Kind {
	case wire.KindAccept:
		var accept siomeshv1.Accept
		if err := proto.Unmarshal(r.Body, &accept); err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		m := s.index.entry(r.Socket, r.Namespace)
		s.index.accept(m, accept.GetSocketId(), accept.GetUser())
		for _, room := range accept.GetRooms() {
			s.index.join(m, room)
		}
	case wire.KindJoin:
		rooms, err := wire.ReadStrings(r.Body)
		if err != nil {
			return fmt.Errorf("join: %w", err)
		}
		m := s.index.entry(r.Socket, r.Namespace)
		for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
			s.index.join(m, string(room))
		}
	case wire.KindLeave:
		rooms, err := wire.ReadStrings(r.Body)
		if err != nil {
			return fmt.Errorf("leave: %w", err)
		}
		m := s.index.entry(r.Socket, r.Namespace)
		for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
			s.index.leave(m, string(room))
		}
	case wire.KindRefuse, wire.KindUnknown, wire.KindClose:
		s.index.remove(r.Socket) // a broadcast ordered after this does not reach it
	case wire.KindEmit, wire.KindAck, wire.KindHandled, wire.KindData:
	default:
		if r.Flags&wire.FlagSkippable == 0 {
			return fmt.Errorf("unknown operation kind %d", r.Kind)
		}
	}
	s.forward(p, e, r)
	return nil
}

// broadcast passes an event to every edge with a member of the selection. Which of its sockets receive it is for the edge to
// say: it has seen the same joins and leaves in the same order.
func (s *Service) broadcast(p *progress, r *wire.Record) error {
	rooms, _, _, err := wire.ReadSelector(r.Body)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	s.selection = s.selection[:0]
	for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
		s.selection = append(s.selection, room)
	}
	s.index.eachEdge(r.Namespace, s.selection, func(e *edge) { s.forward(p, e, r) })
	clear(s.selection)
	return nil
}

// forward appends the record to an edge's link. An edge past its bound is ended at the end
// of the frame.
func (s *Service) forward(p *progress, e *edge, r *wire.Record) {
	l := s.links.Link(mesh.Address{Kind: mesh.KindEdge, Instance: e.id})
	seq, err := l.Append(r)
	if err != nil {
		s.cfg.Metrics.edgeFull()
		s.overfull = append(s.overfull, e)
		return
	}
	s.batch.Add(l)
	p.concern()
	e.out.push(seq, r.Op, p)
}

func (s *Service) progressOf(from mesh.Address, partition uint8) *progress {
	o := s.origins[from.Instance]
	if o == nil {
		o = &origin{addr: from, parts: map[uint8]*progress{}}
		s.origins[from.Instance] = o
	}
	if from.App != "" {
		o.addr = from // a query may have made the entry before the instance's heartbeat told its app
	}
	p := o.parts[partition]
	if p == nil {
		p = &progress{origin: o, partition: partition}
		o.parts[partition] = p
	}
	return p
}
