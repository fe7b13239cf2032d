package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// receiver takes the records of edges and rooms, on the endpoint's reader goroutine: it queues, and blocks on nothing.
//
//	edge:   CONNECT, ATTACH, EVENT, REPLY, ACK_FAILED, DETACH, DISCONNECT, COPY, JOINED, LEFT, ASK_IDS, ASK_REPLY, ASK_END
//	rooms:  CONFIRM, OP_FAILED, GONE, EDGE_ENDED, ASK_EDGES, SERVER_EVENT, SERVER_TARGETS, SERVER_ANSWER, ROOM_EVENTS
type receiver struct{ server *Server }

// EndFrame has nothing to do: nothing is sent from the reader goroutine.
func (h receiver) EndFrame() {}

// Opened is told that a new link of an instance begins. After a break an edge has closed the connections of the sockets it
// had here.
func (h receiver) Opened(from mesh.Address) {
	if from.Kind == mesh.KindEdge {
		h.server.asks.opened(from.Instance)
		h.server.socketsEnded(from.Instance, everyLease)
	}
}

// Record takes one record.
func (h receiver) Record(from mesh.Address, r *wire.Record) error {
	switch from.Kind {
	case mesh.KindEdge:
		switch r.Kind {
		case wire.KindAskIDs, wire.KindAskReply, wire.KindAskEnd:
			return h.server.askedOf(from.Instance, r)
		case wire.KindDetach:
			if r.Socket.Edge.IsZero() && h.server.ends() {
				h.server.sockets.last(from.Instance)
			}
			if r.Socket.Edge.IsZero() {
				return nil
			}
		default:
		}
		if r.Socket.Edge != from.Instance {
			return fmt.Errorf("record %d about a socket of another edge", r.Kind)
		}
		err := h.fromEdge(r)
		if err != nil { // the link breaks, and the edge closes the connections of the sockets it has here
			h.server.edgeRefused(from.Instance)
		}
		return err
	case mesh.KindRooms:
		return h.fromRooms(from.Instance, r)
	default:
		return fmt.Errorf("record %d from %s", r.Kind, from.Kind)
	}
}

func (h receiver) fromEdge(r *wire.Record) error {
	switch r.Kind {
	case wire.KindConnect:
		return h.connect(r)
	case wire.KindAttach:
		return h.attach(r)
	default:
	}
	s := h.server.sockets.get(r.Socket)
	switch r.Kind {
	case wire.KindEvent:
		if _, err := wire.ParsePacket(r.Body, nil); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		if s == nil {
			return nil // disconnected on this side: the edge will hear of it
		}
		kept := append(append(make([]byte, 0, len(r.Body)+len(r.ID)), r.Body...), r.ID...)
		n := len(r.Body)
		return s.push(job{seq: r.Seq, body: kept[:n:n], id: kept[n:], again: r.Flags&wire.FlagRedelivered != 0})
	case wire.KindCopy:
		if _, err := wire.ParsePacket(r.Body, nil); err != nil {
			return fmt.Errorf("copy of a broadcast: %w", err)
		}
		if s != nil {
			s.pushCopy(bytes.Clone(r.Body))
		}
	case wire.KindJoined, wire.KindLeft:
		rooms, err := wire.ParseStrings(r.Body)
		if err != nil {
			return fmt.Errorf("change of rooms: %w", err)
		}
		if s != nil && s.epoch == r.Epoch {
			s.mu.Lock()
			s.moved(move{joins: r.Kind == wire.KindJoined, after: r.Op, rooms: rooms})
			s.mu.Unlock()
		}
	case wire.KindReply:
		if _, err := wire.ParsePacket(r.Body, nil); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
		if s != nil {
			s.answer(r.Ack, reply{body: bytes.Clone(r.Body)})
		}
	case wire.KindAckFailed:
		if s != nil {
			s.answer(r.Ack, reply{err: s.unanswered(string(r.Body))})
		}
	case wire.KindDetach:
		if s != nil && s.epoch == r.Epoch {
			s.detach()
		}
	case wire.KindDisconnect:
		var d siomeshv1.Disconnect
		if err := proto.Unmarshal(r.Body, &d); err != nil {
			return fmt.Errorf("disconnect: %w", err)
		}
		if s != nil {
			s.finish(Disconnect{Reason: d.GetReason(), Description: d.GetDescription(), Rooms: d.GetRooms()}, inOrder)
		}
	default:
		return unknown(r)
	}
	return nil
}

// connect makes a socket; its worker decides what becomes of it.
func (h receiver) connect(r *wire.Record) error {
	s, rooms, err := h.socket(r, bytes.Clone(r.Body))
	if s == nil || err != nil {
		return err
	}
	h.server.sockets.add(s)
	return s.push(job{seq: r.Seq, connect: true, rooms: rooms})
}

func (h receiver) fromRooms(from mesh.InstanceID, r *wire.Record) error {
	switch r.Kind {
	case wire.KindConfirm, wire.KindOpFailed:
		if int(r.Partition) >= len(h.server.out.parts) {
			return fmt.Errorf("partition %d", r.Partition)
		}
		if r.Kind == wire.KindConfirm {
			h.server.out.parts[r.Partition].confirm(from, r.Op)
			return nil
		}
		h.server.out.parts[r.Partition].losses.Add(1)
		h.server.reportAgain(r.Partition) // the operation may have carried a handled mark
		h.server.out.fail(fmt.Errorf("operation refused by rooms: %.80s", r.Body), true)
	case wire.KindServerEvent:
		return h.server.serverEvent(r)
	case wire.KindServerTargets:
		return h.server.serverTargets(r)
	case wire.KindServerAnswer:
		return h.server.serverAnswer(r)
	case wire.KindRoomEvents:
		return h.server.roomEvents(r)
	case wire.KindAskEdges:
		return h.server.asked(r)
	case wire.KindGone:
		if s := h.server.sockets.get(r.Socket); s != nil {
			h.server.keeper.misses(s)
		}
	case wire.KindEdgeEnded:
		id, err := mesh.ParseInstanceID(string(r.Body))
		if err != nil {
			return fmt.Errorf("edge ended: %w", err)
		}
		lease := r.Lease
		if lease == 0 {
			lease = everyLease
		}
		h.server.edgeEnded(id, lease)
	default:
		return unknown(r)
	}
	return nil
}

var errUnknownKind = errors.New("unknown record")

func unknown(r *wire.Record) error {
	if r.Flags&wire.FlagSkippable != 0 {
		return nil
	}
	return fmt.Errorf("%w: kind %d", errUnknownKind, r.Kind)
}

// everyLease is above every lease.
const everyLease = math.MaxUint64

// edgeEnded raises the disconnect of the sockets that an edge assigned under a lease up to last: an edge that rooms gave up
// closes them and registers anew, and what rooms says of the earlier lease may come after sockets of the new one. The zero id
// does nothing.
func (s *Server) edgeEnded(id mesh.InstanceID, last uint64) {
	if id.IsZero() {
		return
	}
	s.asks.edgeGone(id)
	s.socketsEnded(id, last)
}

func (s *Server) socketsEnded(id mesh.InstanceID, last uint64) {
	for _, socket := range s.sockets.all(id) {
		if socket.lease <= last {
			socket.finish(Disconnect{Reason: ReasonTransportClose}, inOrder)
		}
	}
}

// forsake has the edges close the connections of all sockets that this instance has, and of those that it could not hand over:
// what was lost may have been for them, and they would never know (ADR 13).
func (s *Server) forsake(stay []wire.SocketAddr) {
	edges := map[mesh.InstanceID]struct{}{}
	for _, addr := range stay {
		edges[addr.Edge] = struct{}{}
	}
	for _, socket := range s.sockets.all(mesh.InstanceID{}) {
		edges[socket.addr.Edge] = struct{}{}
	}
	for id := range edges {
		s.endpoint.Refuse(id, "operations of the instance were lost", func() { s.edgeRefused(id) })
	}
}

// edgeRefused ends the sockets of an edge whose link was refused: it closes their connections, and goes on over a new link.
func (s *Server) edgeRefused(id mesh.InstanceID) {
	s.asks.cut(id)
	s.asks.forget(id)
	s.socketsEnded(id, everyLease)
}

// peerChanged follows who is alive. It runs on the goroutine of presence.
func (s *Server) peerChanged(change presence.Change, p presence.Peer) {
	switch {
	case change == presence.Died:
		if p.Kind == mesh.KindRooms {
			s.out.disown(p.Instance)
			for _, other := range s.peers.Live(mesh.KindRooms) {
				s.owned(other)
			}
		}
		s.polls.gone(p.Instance)
		s.endpoint.Drop(p.Instance)
		if p.Kind == mesh.KindEdge {
			s.edgeDied(p.Instance)
		}
		s.orphans()
	case p.Kind == mesh.KindRooms:
		s.owned(p)
	}
}

func (s *Server) owned(p presence.Peer) {
	for _, part := range p.Info.GetPartitions() {
		s.out.own(part.GetNumber(), p.Address, uint32(part.GetEpoch()))
	}
}

// edgeDied sees to it that the sockets of a dead edge end, and nobody waits for it, if rooms does not announce its end: a rooms
// service that has come since has never known the edge.
func (s *Server) edgeDied(id mesh.InstanceID) {
	s.asks.edgeDied(id)
	if sockets := s.sockets.all(id); len(sockets) > 0 {
		s.keeper.misses(sockets...)
	}
}

// orphans ends the sockets of dead edges while no rooms service is there to announce their end.
func (s *Server) orphans() {
	if len(s.peers.Live(mesh.KindRooms)) > 0 {
		return
	}
	ended := map[mesh.InstanceID]bool{}
	for _, socket := range s.sockets.all(mesh.InstanceID{}) {
		edge := socket.addr.Edge
		if _, known := ended[edge]; known {
			continue
		}
		if ended[edge] = s.peers.Dead(edge); ended[edge] { // one not heard of yet is there
			s.edgeEnded(edge, everyLease)
		}
	}
}
