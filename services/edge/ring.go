package edge

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// The link handler of an edge: everything clients receive comes in here, in the order that rooms gave it. These methods run
// one at a time on the links' reader goroutine.

// Opened implements link.Handler. A second stream of rooms means that the first one broke: something may be missing.
func (s *Service) Opened(from mesh.Address) {
	switch from.Kind {
	case mesh.KindRooms:
		s.roomsOpened(from)
	case mesh.KindEdge:
		s.tunnel.Opened(from)
	default:
	}
}

// Record implements link.Handler.
func (s *Service) Record(from mesh.Address, r *wire.Record) error {
	if from.Kind == mesh.KindEdge {
		return s.tunnel.Record(from, r) //nolint:wrapcheck // says it all
	}
	if from.Kind != mesh.KindRooms {
		return fmt.Errorf("%s sends records to an edge", from.Kind)
	}
	switch r.Kind {
	case wire.KindHello:
		s.queueLast()
		s.greeted(from, r.Lease)
		return nil
	case wire.KindBroadcast:
		s.queueLast()
		return s.broadcast(r)
	case wire.KindAsk:
		s.queueLast()
		return s.ask(r)
	case wire.KindJoinAll, wire.KindLeaveAll, wire.KindCloseAll:
		s.queueLast()
		return s.applyToAll(r)
	default:
		return s.apply(r)
	}
}

// EndFrame implements link.Handler: one flush for each client and each app that the frame concerned.
func (s *Service) EndFrame() {
	s.sendLast()
	for i, c := range s.unflushed {
		s.unflushed[i] = nil
		c.dirty = false
		c.session.Flush()
	}
	s.unflushed = s.unflushed[:0]
	s.batch.Flush()
	s.tunnel.EndFrame()
}

// apply carries out an operation on one socket. What an app wrote into it may be unreadable: that is no fault of rooms, whose
// link goes on.
func (s *Service) apply(r *wire.Record) error {
	sk := s.table.find(r.Socket)
	if sk == nil {
		if r.Kind != wire.KindHandled { // which leaves nothing behind in rooms
			s.goneRecord(&s.batch, r.Socket, r.Namespace)
		}
		return nil
	}
	s.queueLastFor(sk.conn)
	c := sk.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	own := sk.app != nil && sk.app.addr.Instance == r.Origin && sk.epoch == r.Epoch
	foreign := r.Flags&wire.FlagNonOwner != 0 && sk.state >= joined && r.Ack == 0
	if !own && !foreign {
		s.cfg.Metrics.stale()
		return nil
	}
	if own && r.Handled > 0 && sk.flow.release(r.Handled) {
		c.advance(&s.batch, sk)
	}
	if own && r.Kind == wire.KindDetached {
		s.detached(sk, r)
		return nil
	}
	if sk.state == ending {
		s.tooLate(sk, r)
		return nil
	}
	err := s.applyTo(sk, r)
	if errors.Is(err, errUnreadable) {
		s.ignored(r, err)
		return nil
	}
	return err
}

// tooLate reacts to an operation on a socket that has ended and owes its app packets; conn.mu is held.
func (s *Service) tooLate(sk *socket, r *wire.Record) {
	switch r.Kind {
	case wire.KindHandled:
		return
	case wire.KindClose, wire.KindRefuse, wire.KindUnknown: // the app does not want them any more
		if len(sk.flow.held) > 0 && !sk.unowned() {
			sk.conn.cut(&s.batch, sk)
		}
	case wire.KindEmit:
		if r.Ack != 0 { // the disconnect may wait for the handler that waits for it
			sk.failAck(&s.batch, r.Ack, wire.AckDeparted)
		}
	default:
	}
	s.gone(&s.batch, sk)
}

// applyTo carries out an operation on a socket that is there; conn.mu is held.
func (s *Service) applyTo(sk *socket, r *wire.Record) error {
	switch r.Kind {
	case wire.KindAccept:
		return s.accept(sk, r)
	case wire.KindRefuse:
		sk.flow.moving = false // the app has ended the socket, and hands over nothing
		return s.refused(sk, r)
	case wire.KindUnknown:
		s.declined(sk)
	case wire.KindEmit:
		return s.emit(sk, r)
	case wire.KindAck:
		return s.ack(sk, r)
	case wire.KindJoin:
		return s.move(sk, r)
	case wire.KindLeave:
		return s.move(sk, r)
	case wire.KindClose:
		if r.Flags&wire.FlagNonOwner == 0 {
			sk.flow.moving = false // see above
		}
		s.disconnect(sk, r.Flags&wire.FlagClose != 0)
	case wire.KindWatch:
		sk.watched.Store(len(r.Body) > 0)
	case wire.KindData:
		return setData(sk, r.Body)
	case wire.KindHandled, wire.KindDetached: // the latter of one who does not own it
	default:
		if r.Flags&wire.FlagSkippable == 0 {
			return fmt.Errorf("unknown operation kind %d", r.Kind)
		}
	}
	return nil
}

// errUnreadable says that the body of an operation is not what its kind says.
var errUnreadable = errors.New("unreadable operation")

// accept tells the client that it is in the namespace.
func (s *Service) accept(sk *socket, r *wire.Record) error {
	if sk.state != asked {
		return nil
	}
	var a siomeshv1.Accept
	if err := proto.Unmarshal(r.Body, &a); err != nil {
		return fmt.Errorf("accept: %w: %w", errUnreadable, err)
	}
	sk.state = joined
	sk.cancel() // the join is over: its context need not be kept
	sk.cancel = func() {}
	sk.conn.entered = true
	s.guests.remove(sk.conn)
	for _, room := range a.GetRooms() {
		s.index.join(sk, room)
	}
	s.index.names(sk, a.GetUser())
	s.index.add(sk)
	s.cfg.Metrics.joined()
	s.queue(sk.conn, protocol.Connect, s.message(protocol.Packet{
		Type: protocol.Connect, Namespace: sk.namespace, Data: sk.accepted(),
	}))
	return nil
}

func (s *Service) refused(sk *socket, r *wire.Record) error {
	var body siomeshv1.Refuse
	if err := proto.Unmarshal(r.Body, &body); err != nil {
		return fmt.Errorf("refuse: %w: %w", errUnreadable, err)
	}
	s.cfg.Metrics.refused()
	s.end(sk, protocol.ConnectError, sk.conn.refusal(&refusal{Message: body.GetMessage(), Data: body.GetData()}), "")
	return nil
}

// end sends a last packet for the namespace and forgets the socket. Its app has ended it already, and wants no more of its
// packets.
func (s *Service) end(sk *socket, last protocol.Type, data []byte, reason string) {
	sk.conn.drop(sk, len(sk.flow.held))
	s.part(sk, last, data, reason)
}

// part is end for a socket whose app still wants what came before.
func (s *Service) part(sk *socket, last protocol.Type, data []byte, reason string) {
	s.queue(sk.conn, last, s.message(protocol.Packet{Type: last, Namespace: sk.namespace, Data: data}))
	if last == protocol.Disconnect {
		sk.conn.leave(sk.namespace)
	}
	sk.conn.end(&s.batch, sk, reason, "")
}

// emit sends an event to the client, with an acknowledgement id if the app asks for one.
func (s *Service) emit(sk *socket, r *wire.Record) error {
	p, err := s.packet(r.Body)
	if err != nil {
		return err
	}
	var digits [20]byte
	id := digits[:0]
	if r.Ack != 0 && sk.flow.waiting >= s.cfg.MaxHeld { // the answer could not get through
		sk.failAck(&s.batch, r.Ack, tooManyHeld)
	} else if r.Ack != 0 {
		n, failed := sk.acks.add(r.Ack, s.cfg.MaxAcks)
		if failed != 0 {
			sk.failAck(&s.batch, failed, "too many open requests")
		}
		id = strconv.AppendUint(id, n, 10)
		sk.conn.unblock(sk) // the answer must get through, whatever is held
	}
	out, err := s.outgoing(protocol.Event, r.Flags, sk.namespace, id, p)
	if err != nil {
		return err
	}
	s.deliver(sk.conn, r.Flags, out)
	return nil
}

// ack answers an event of the client.
func (s *Service) ack(sk *socket, r *wire.Record) error {
	p, err := s.packet(r.Body)
	if err != nil {
		return err
	}
	out, err := s.outgoing(protocol.Ack, r.Flags, sk.namespace, r.ID, p)
	if err != nil {
		return err
	}
	s.queue(sk.conn, out.kind, out.messages...)
	return nil
}

// packet reads a body that is a packet; it is valid until the next call.
func (s *Service) packet(body []byte) (wire.Packet, error) {
	p, err := wire.ParsePacket(body, s.attachments[:0])
	if err != nil {
		return p, fmt.Errorf("packet: %w: %w", errUnreadable, err)
	}
	s.attachments = p.Attachments[:0]
	return p, nil
}

// disconnect takes the client out of the namespace, or closes its whole connection behind a DISCONNECT for each namespace
// (SOC-024, SOC-025).
func (s *Service) disconnect(sk *socket, whole bool) {
	s.end(sk, protocol.Disconnect, nil, reasonServerDisconnect)
	if !whole {
		return
	}
	c := sk.conn
	for len(c.sockets) > 0 {
		if other := c.sockets[len(c.sockets)-1]; other.state == joined {
			s.part(other, protocol.Disconnect, nil, reasonServerDisconnect)
		} else {
			c.end(&s.batch, other, reasonServerDisconnect, "")
		}
	}
	c.closed = true
	c.session.Close()
}

// move puts a socket into rooms or takes it out of them; conn.mu is held.
func (s *Service) move(sk *socket, r *wire.Record) error {
	change, kind := s.index.join, wire.KindJoined
	if r.Kind == wire.KindLeave {
		change, kind = s.index.leave, wire.KindLeft
	}
	foreign := r.Flags&wire.FlagNonOwner != 0
	var changed []string
	err := eachRoom(r.Body, func(room string) {
		if change(sk, room) && foreign {
			changed = append(changed, room)
		}
	})
	if foreign {
		sk.tellMoved(&s.batch, kind, changed)
	} else {
		sk.moved = r.Op
	}
	return err
}

func eachRoom(body []byte, f func(string)) error {
	rooms, err := wire.ReadStrings(body)
	if err != nil {
		return fmt.Errorf("rooms: %w: %w", errUnreadable, err)
	}
	for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
		f(string(room))
	}
	return nil
}

// setData changes top-level keys of socket.data: pairs of a key and its raw JSON, which is empty to delete it.
func setData(sk *socket, body []byte) error {
	pairs, err := wire.ReadStrings(body)
	if err != nil || pairs.Len()%2 != 0 {
		return fmt.Errorf("data: %w", errUnreadable)
	}
	for key, ok := pairs.Next(); ok; key, ok = pairs.Next() {
		value, _ := pairs.Next()
		if len(value) == 0 {
			delete(sk.data, string(key))
			continue
		}
		if sk.data == nil {
			sk.data = map[string][]byte{}
		}
		sk.data[string(key)] = append([]byte(nil), value...)
	}
	return nil
}

// gone tells rooms that this edge has no such socket any more.
func (s *Service) gone(b *link.Batch, sk *socket) {
	s.goneRecord(b, sk.addr, sk.namespace)
}

func (s *Service) goneRecord(b *link.Batch, addr wire.SocketAddr, namespace []byte) {
	l := s.roomsLink()
	if l == nil {
		return
	}
	r := wire.Record{Kind: wire.KindGone, Flags: wire.FlagControl, Socket: addr, Namespace: namespace}
	if err := b.Append(l, &r); err != nil {
		s.log.Warn("gone not sent", slog.Any("err", err))
	}
}
