package rooms

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// operation takes one ring record of an app instance: it numbers, applies it to the index and passes it on to the edges
// concerned. An error means that the record cannot be read, which breaks the sender's link.
func (s *Service) operation(from mesh.Address, r *wire.Record) error {
	if r.Partition >= mesh.Partitions {
		return fmt.Errorf("partition %d", r.Partition)
	}
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
	s.dirty(p)
	r.Origin = from.Instance
	switch r.Kind {
	case wire.KindBroadcast:
		err = s.broadcast(p, r)
	case wire.KindAsk:
		err = s.ask(p, r)
	case wire.KindServerEmit:
		s.serverEmit(p, r)
	case wire.KindServerReply:
		err = s.serverReply(r)
	case wire.KindJoinAll, wire.KindLeaveAll, wire.KindCloseAll:
		err = s.toAll(p, r)
	case wire.KindWatchRooms:
		s.watchRooms(p.origin, r)
	default:
		err = s.toSocket(p, r)
	}
	s.unpark(p)
	return err
}

// toSocket applies an operation on one socket and passes it to the socket's edge.
func (s *Service) toSocket(p *progress, r *wire.Record) error {
	e := s.index.edges[r.Socket.Edge]
	if e == nil {
		return nil // an edge that has ended: the app was told, or will be
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
	case wire.KindJoin, wire.KindLeave:
		if err := s.move(r); err != nil {
			return err
		}
	case wire.KindRefuse, wire.KindUnknown, wire.KindClose:
		s.index.remove(r.Socket) // a broadcast ordered after this does not reach it
	case wire.KindEmit, wire.KindAck, wire.KindHandled, wire.KindData, wire.KindWatch, wire.KindDetached:
	default:
		if r.Flags&wire.FlagSkippable == 0 {
			return fmt.Errorf("unknown operation kind %d", r.Kind)
		}
	}
	s.forward(p, e, r)
	return nil
}

// move applies a join or leave. A join may be the first that is heard of a socket; its edge says gone if it is the last too.
func (s *Service) move(r *wire.Record) error {
	rooms, err := wire.ReadStrings(r.Body)
	if err != nil {
		return fmt.Errorf("rooms of a socket: %w", err)
	}
	if r.Kind == wire.KindLeave {
		if m := s.index.find(r.Socket); m != nil {
			for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
				s.index.leave(m, string(room))
			}
		}
		return nil
	}
	m := s.index.entry(r.Socket, r.Namespace)
	for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
		s.index.join(m, string(room))
	}
	return nil
}

// broadcast passes an event to every edge with a member of the selection. Which of its sockets receive it is for the edge to
// say: it has seen the same joins and leaves in the same order.
func (s *Service) broadcast(p *progress, r *wire.Record) error {
	rooms, _, _, err := wire.ReadSelector(r.Body)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	s.index.eachEdge(r.Namespace, rooms, func(e *edge) { s.forward(p, e, r) })
	return nil
}

// ask passes a broadcast with acknowledgement on, and tells its sender which edges answer it.
func (s *Service) ask(p *progress, r *wire.Record) error {
	rooms, _, _, _, err := wire.ReadAsk(r.Body)
	if err != nil {
		return fmt.Errorf("ask: %w", err)
	}
	var edges []string
	s.index.eachEdge(r.Namespace, rooms, func(e *edge) {
		s.forward(p, e, r)
		edges = append(edges, e.id.String())
	})
	s.toApp(p.origin, &wire.Record{
		Kind: wire.KindAskEdges, Flags: wire.FlagControl, Namespace: r.Namespace, Ack: r.Ack, Body: wire.AppendStrings(nil, edges),
	})
	return nil
}

// toAll applies a join, leave or close to every socket a selector names, and passes it on like a broadcast: the edges find the
// same sockets.
func (s *Service) toAll(p *progress, r *wire.Record) error {
	selected, except, rest, err := wire.ReadSelector(r.Body)
	if err != nil {
		return fmt.Errorf("selector: %w", err)
	}
	var rooms wire.StringsView
	if r.Kind != wire.KindCloseAll {
		if rooms, err = wire.ReadStrings(rest); err != nil {
			return fmt.Errorf("rooms of sockets: %w", err)
		}
	}
	s.index.eachEdge(r.Namespace, selected, func(e *edge) { s.forward(p, e, r) })
	for _, m := range s.index.selection(r.Namespace, selected, except) {
		list := rooms
		for room, ok := list.Next(); ok; room, ok = list.Next() {
			if r.Kind == wire.KindJoinAll {
				s.index.join(m, string(room))
			} else {
				s.index.leave(m, string(room))
			}
		}
		if r.Kind == wire.KindCloseAll {
			s.index.remove(m.addr)
		}
	}
	return nil
}

// forward appends the record to an edge's link. An edge past its bound is ended at the end of the frame.
func (s *Service) forward(p *progress, e *edge, r *wire.Record) {
	seq, err := e.link.Append(r)
	switch {
	case err == nil:
		s.batch.Add(e.link)
		p.concern()
		e.out.push(seq, r.Op, p)
	case errors.Is(err, link.ErrTooLarge): // by the few bytes that rooms adds; no fault of the edge
		s.toApp(p.origin, &wire.Record{
			Kind: wire.KindOpFailed, Flags: wire.FlagControl, Partition: p.partition, PartitionEpoch: s.epoch, Op: r.Op,
			Body: []byte("too large"),
		})
	default:
		s.overfull = append(s.overfull, e)
	}
}

// progressOf returns how far the operations of an instance are, from nothing if it is new.
func (s *Service) progressOf(from mesh.Address, partition uint8) *progress {
	o := s.origins[from.Instance]
	if o == nil {
		o = &origin{addr: from}
		s.origins[from.Instance] = o
	}
	if from.App != "" {
		o.addr = from // a query, which does not tell the app, may have come first
	}
	p := o.parts[partition]
	if p == nil {
		p = &progress{origin: o, partition: partition}
		o.parts[partition] = p
	}
	return p
}

func (s *Service) dirty(p *progress) {
	if !p.dirty {
		p.dirty = true
		s.unconfirmed = append(s.unconfirmed, p)
	}
}

// confirmAll tells the app instances how far their operations are applied.
func (s *Service) confirmAll() {
	for i, p := range s.unconfirmed {
		s.unconfirmed[i] = nil
		p.dirty = false
		o := p.origin
		if s.origins[o.addr.Instance] == o && o.parts[p.partition] == p && p.open && p.advance() {
			p.told = p.done
			s.toApp(o, &wire.Record{
				Kind: wire.KindConfirm, Flags: wire.FlagControl,
				Partition: p.partition, PartitionEpoch: s.epoch, Op: p.done,
			})
		}
	}
	s.unconfirmed = s.unconfirmed[:0]
}
