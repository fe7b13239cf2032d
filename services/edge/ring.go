package edge

import (
	"errors"
	"fmt"
	"log/slog"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// The link handler of an edge: everything clients receive comes in here, in the order that rooms gave it. These methods run
// one at a time on the links' reader goroutine.

// Opened implements link.Handler. A second stream of rooms means that the first one broke: something may be missing.
func (s *Service) Opened(from mesh.Address) {
	if from.Kind == mesh.KindRooms {
		s.roomsOpened(from)
	}
}

// Record implements link.Handler.
func (s *Service) Record(from mesh.Address, r *wire.Record) error {
	if from.Kind != mesh.KindRooms {
		return fmt.Errorf("%s sends records to an edge", from.Kind)
	}
	switch r.Kind {
	case wire.KindHello:
		s.greeted(from, r.Lease)
		return nil
	case wire.KindBroadcast:
		return s.broadcast(r)
	default:
		return s.apply(r)
	}
}

// EndFrame implements link.Handler: one flush for each client and each app that the frame concerned.
func (s *Service) EndFrame() {
	for i, c := range s.unflushed {
		s.unflushed[i] = nil
		c.dirty = false
		c.session.Flush()
	}
	s.unflushed = s.unflushed[:0]
	s.batch.Flush()
}

// apply carries out an operation on one socket.
func (s *Service) apply(r *wire.Record) error {
	sk := s.table.find(r.Socket)
	if sk == nil {
		s.goneRecord(&s.batch, r.Socket, r.Namespace)
		return nil
	}
	c := sk.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.Flags&wire.FlagNonOwner == 0 && (sk.app == nil || sk.app.addr.Instance != r.Origin || sk.epoch != r.Epoch) {
		s.cfg.Metrics.stale()
		return nil
	}
	if r.Handled > 0 && sk.flow.release(r.Handled) {
		c.advance(&s.batch, sk)
	}
	if sk.state == ending {
		if r.Kind != wire.KindHandled {
			s.gone(&s.batch, sk)
		}
		return nil
	}
	return s.applyTo(sk, r)
}

// applyTo carries out an operation on a socket that is there; conn.mu is held.
func (s *Service) applyTo(sk *socket, r *wire.Record) error {
	switch r.Kind {
	case wire.KindAccept:
		return s.accept(sk, r)
	case wire.KindRefuse:
		return s.refused(sk, r)
	case wire.KindUnknown:
		return s.end(sk, protocol.ConnectError, []byte(`{"message":"Invalid namespace"}`), "")
	case wire.KindEmit:
		return s.emit(sk, r)
	case wire.KindAck:
		return s.ack(sk, r)
	case wire.KindJoin:
		return eachRoom(r.Body, func(room string) { s.index.join(sk, room) })
	case wire.KindLeave:
		return eachRoom(r.Body, func(room string) { s.index.leave(sk, room) })
	case wire.KindClose:
		return s.disconnect(sk, r.Flags&wire.FlagClose != 0)
	case wire.KindData:
		return s.setData(sk, r.Body)
	case wire.KindHandled:
		return nil
	default:
		if r.Flags&wire.FlagSkippable == 0 {
			return fmt.Errorf("unknown operation kind %d", r.Kind)
		}
		return nil
	}
}

// accept tells the client that it is in the namespace.
func (s *Service) accept(sk *socket, r *wire.Record) error {
	if sk.state != asked {
		return nil
	}
	var a siomeshv1.Accept
	if err := proto.Unmarshal(r.Body, &a); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	sk.state = joined
	sk.conn.entered = true
	sk.cancel()
	for _, room := range a.GetRooms() {
		s.index.join(sk, room)
	}
	s.index.add(sk)
	s.cfg.Metrics.joined()
	s.queue(sk.conn, protocol.Connect, []*engine.Message{engine.NewText(protocol.Append(nil, protocol.Packet{
		Type: protocol.Connect, Namespace: []byte(sk.namespace), Data: []byte(`{"sid":"` + sk.id + `"}`),
	}))})
	return nil
}

func (s *Service) refused(sk *socket, r *wire.Record) error {
	var body siomeshv1.Refuse
	if err := proto.Unmarshal(r.Body, &body); err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	data, err := encodeRefusal(&refusal{Message: body.GetMessage(), Data: body.GetData()})
	if err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	s.cfg.Metrics.refused()
	return s.end(sk, protocol.ConnectError, data, "")
}

// end sends a last packet for the namespace and forgets the socket.
func (s *Service) end(sk *socket, last protocol.Type, data []byte, reason string) error {
	s.queue(sk.conn, last, []*engine.Message{engine.NewText(protocol.Append(nil, protocol.Packet{
		Type: last, Namespace: []byte(sk.namespace), Data: data,
	}))})
	if last == protocol.Disconnect && !sk.conn.hasLeft([]byte(sk.namespace)) {
		sk.conn.left = append(sk.conn.left, sk.namespace)
	}
	sk.conn.end(&s.batch, sk, reason, "")
	return nil
}

// emit sends an event to the client, with an acknowledgement id if the app asks for one.
func (s *Service) emit(sk *socket, r *wire.Record) error {
	p, err := wire.ParsePacket(r.Body, s.attachments[:0])
	if err != nil {
		return fmt.Errorf("emit: %w", err)
	}
	s.attachments = p.Attachments[:0]
	var id []byte
	if r.Ack != 0 {
		n, failed := sk.acks.add(ackRequest{instance: sk.app, request: r.Ack}, s.cfg.MaxAcks)
		if failed != nil {
			sk.failAck(&s.batch, *failed, "too many open requests")
		}
		id = fmt.Append(nil, n)
		sk.conn.unblock(sk) // the answer must get through, whatever is held
	}
	messages := eventMessages([]byte(sk.namespace), id, p)
	if r.Flags&wire.FlagVolatile != 0 {
		if sk.conn.session.SendVolatile(messages...) {
			s.cfg.Metrics.packetOut(protocol.Event, 1)
		} else {
			s.cfg.Metrics.volatileDropped()
		}
		return nil
	}
	s.queue(sk.conn, protocol.Event, messages)
	return nil
}

// ack answers an event of the client.
func (s *Service) ack(sk *socket, r *wire.Record) error {
	p, err := wire.ParsePacket(r.Body, s.attachments[:0])
	if err != nil {
		return fmt.Errorf("ack: %w", err)
	}
	s.attachments = p.Attachments[:0]
	s.queue(sk.conn, protocol.Ack, packetMessages(protocol.Ack, []byte(sk.namespace), r.ID, p))
	return nil
}

// disconnect takes the client out of the namespace, or closes its whole connection behind a DISCONNECT for each namespace.
func (s *Service) disconnect(sk *socket, whole bool) error {
	c := sk.conn
	if !whole {
		return s.end(sk, protocol.Disconnect, nil, reasonServerDisconnect)
	}
	for len(c.sockets) > 0 {
		other := c.sockets[len(c.sockets)-1]
		if other.state != joined {
			c.end(&s.batch, other, reasonServerDisconnect, "")
			continue
		}
		if err := s.end(other, protocol.Disconnect, nil, reasonServerDisconnect); err != nil {
			return err
		}
	}
	c.session.Close()
	return nil
}

func eachRoom(body []byte, f func(string)) error {
	rooms, err := wire.ReadStrings(body)
	if err != nil {
		return fmt.Errorf("rooms: %w", err)
	}
	for room, ok := rooms.Next(); ok; room, ok = rooms.Next() {
		f(string(room))
	}
	return nil
}

// setData changes top-level keys of socket.data: pairs of a key and its raw JSON, which is empty to delete it.
func (s *Service) setData(sk *socket, body []byte) error {
	pairs, err := wire.ReadStrings(body)
	if err != nil || pairs.Len()%2 != 0 {
		return fmt.Errorf("data: %w", errors.Join(err, wire.ErrMalformed))
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

// broadcast sends an event to the sockets it selects: encoded once, the bytes shared.
func (s *Service) broadcast(r *wire.Record) error {
	selector, body, err := wire.ParseSelector(r.Body)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	p, err := wire.ParsePacket(body, s.attachments[:0])
	if err != nil {
		return fmt.Errorf("broadcast: %w", err)
	}
	s.attachments = p.Attachments[:0]
	s.recipients = s.index.selection(s.recipients[:0], r.Namespace, selector.Rooms, selector.Except)
	if len(s.recipients) == 0 {
		return nil
	}
	messages := eventMessages(r.Namespace, nil, p)
	for _, sk := range s.recipients {
		if r.Flags&wire.FlagVolatile == 0 {
			s.queue(sk.conn, protocol.Event, messages)
		} else if sk.conn.session.SendVolatile(messages...) {
			s.cfg.Metrics.packetOut(protocol.Event, 1)
		} else {
			s.cfg.Metrics.volatileDropped()
		}
	}
	clear(s.recipients)
	return nil
}

// queue puts a packet behind what the client is to receive; EndFrame writes it. A client that is gone or too slow is closed
// by the engine and ends as a closed session.
func (s *Service) queue(c *conn, t protocol.Type, messages []*engine.Message) {
	if err := c.session.Queue(messages...); err != nil {
		return
	}
	s.cfg.Metrics.packetOut(t, 1)
	if !c.dirty {
		c.dirty = true
		s.unflushed = append(s.unflushed, c)
	}
}

// gone tells rooms that this edge has no such socket any more.
func (s *Service) gone(b *link.Batch, sk *socket) {
	s.goneRecord(b, sk.addr, []byte(sk.namespace))
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
