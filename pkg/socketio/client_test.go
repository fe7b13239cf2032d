package socketio

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// client is one socket as its client and edge see it.
type client struct {
	ring *ring
	app  mesh.Address
	addr wire.SocketAddr
	ns   string
	id   string
	got  chan packet

	detached chan wire.Record // what the app gave back

	// Guarded by ring.mu.
	epoch    uint32
	seq      uint64
	handled  uint64
	accepted bool
	rooms    map[string]bool
	data     map[string]string
	watched  bool
	moved    uint64 // newest operation that changed rooms
}

// packet is what the edge would write to the client, or what it keeps.
type packet struct {
	kind  wire.Kind
	flags wire.Flags
	ack   uint64
	id    string
	name  string // of an event
	args  Args
	body  []byte // of other kinds
}

// String returns the packet in a short form for comparison.
func (p packet) String() string {
	text := fmt.Sprint(p.kind, p.name)
	for i := range p.args.Len() {
		text += " " + string(p.args.Raw(i))
	}
	return text
}

func (c *client) selected(ns string, rooms, except []string) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(room string) bool { return c.rooms[room] || room == c.id })
	}
	return c.accepted && c.ns == ns && (len(rooms) == 0 || in(rooms)) && !in(except)
}

// apply applies an operation on the socket. The caller holds ring.mu.
func (c *client) apply(r *wire.Record) error {
	if r.Epoch != c.epoch && r.Flags&wire.FlagNonOwner == 0 {
		return nil // as the edge does
	}
	c.handled = max(c.handled, r.Handled)
	switch r.Kind {
	case wire.KindHandled:
		return nil
	case wire.KindDetached:
		back := *r
		back.Body = slices.Clone(r.Body)
		select {
		case c.detached <- back:
		default:
			c.ring.tb.Logf("%s came back once more", c.id)
		}
		return nil
	case wire.KindWatch:
		c.watched = len(r.Body) > 0
		return nil
	case wire.KindJoin, wire.KindLeave:
		c.moved = r.Op
		rooms, err := wire.ParseStrings(r.Body)
		for _, room := range rooms {
			c.rooms[room] = r.Kind == wire.KindJoin
		}
		return err
	case wire.KindData:
		pairs, err := wire.ParseStrings(r.Body)
		for i := 0; i+1 < len(pairs); i += 2 {
			if c.data[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
				delete(c.data, pairs[i])
			}
		}
		return err
	case wire.KindAccept:
		var a siomeshv1.Accept
		if err := proto.Unmarshal(r.Body, &a); err != nil {
			return err
		}
		if a.GetSocketId() != c.id {
			c.ring.tb.Errorf("accepted %q, want %q", a.GetSocketId(), c.id)
		}
		if c.accepted = true; c.ring.accept != nil {
			c.ring.accept(c)
		}
		for _, room := range a.GetRooms() {
			c.rooms[room] = true
		}
	case wire.KindRefuse, wire.KindUnknown, wire.KindClose:
		delete(c.ring.clients, c.addr)
	default:
	}
	c.put(r, r.Body)
	if r.Kind == wire.KindClose {
		c.send(wire.Record{Kind: wire.KindDisconnect}, &siomeshv1.Disconnect{Reason: "server namespace disconnect"})
	}
	return nil
}

func (c *client) put(r *wire.Record, body []byte) {
	p := packet{kind: r.Kind, flags: r.Flags, ack: r.Ack, id: string(r.ID), body: slices.Clone(body)}
	var err error
	switch r.Kind {
	case wire.KindEmit, wire.KindBroadcast, wire.KindAsk:
		p.name, p.args, err = decodeEvent(nil, p.body)
	case wire.KindAck:
		p.args, err = decodeAck(p.body)
	default:
	}
	if err != nil {
		c.ring.tb.Errorf("kind %d: %v", r.Kind, err)
	}
	select {
	case c.got <- p:
	default:
		c.ring.tb.Error("a client reads too slowly")
	}
}

// send sends a record of the edge about this socket. The caller holds ring.mu, or nobody else sends for the client.
func (c *client) send(r wire.Record, body proto.Message) {
	r.Socket, r.Namespace, r.Epoch = c.addr, []byte(c.ns), c.epoch
	if body != nil {
		var err error
		if r.Body, err = proto.Marshal(body); err != nil {
			c.ring.tb.Error(err)
		}
	}
	switch r.Kind {
	case wire.KindReply, wire.KindAckFailed, wire.KindCopy, wire.KindJoined, wire.KindLeft, wire.KindDetach:
	default:
		c.seq++
		r.Seq = c.seq
	}
	l := c.ring.edge.Link(c.app)
	_, err := l.Append(&r)
	if errors.Is(err, link.ErrBroken) { // since it was looked up
		l = c.ring.edge.Link(c.app)
		_, err = l.Append(&r)
	}
	if err != nil {
		c.ring.tb.Errorf("send kind %d: %v", r.Kind, err)
	}
	l.Flush()
}

// knock asks the app to join a namespace, as a new client.
func (r *ring) knock(s *Server, ns string, tune ...func(*siomeshv1.Connect)) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots++
	c := &client{
		ring: r, app: s.self, ns: ns, id: fmt.Sprintf("id%04d", r.slots), got: make(chan packet, 1024),
		detached: make(chan wire.Record, 1), epoch: 1,
		addr:  wire.SocketAddr{Edge: r.edge.Self().Instance, Slot: r.slots, Generation: 1},
		rooms: map[string]bool{}, data: map[string]string{},
	}
	r.clients[c.addr] = c
	body := &siomeshv1.Connect{SocketId: c.id, Sole: true, Handshake: &siomeshv1.Handshake{Auth: []byte(`{"token":"t","n":1}`)}}
	for _, f := range tune {
		f(body)
	}
	c.send(wire.Record{Kind: wire.KindConnect, Lease: r.lease}, body)
	return c
}

// join is knock that waits until the client is in.
func (r *ring) join(s *Server, ns string) *client {
	r.tb.Helper()
	c := r.knock(s, ns)
	c.expect(wire.KindAccept)
	return c
}

// expect returns the next packet, which must be of that kind.
func (c *client) expect(kind wire.Kind) packet {
	c.ring.tb.Helper()
	p := receive(c.ring.tb, fmt.Sprintf("a packet of kind %d", kind), c.got)
	if p.kind != kind {
		c.ring.tb.Fatalf("got a packet %v, want kind %d", p, kind)
	}
	return p
}

// emit sends an event; with an id it wants an acknowledgement.
func (c *client) emit(id, event string, args ...any) {
	body, err := newEncoder().event(nil, event, args)
	if err != nil {
		c.ring.tb.Error(err)
	}
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	c.send(wire.Record{Kind: wire.KindEvent, ID: []byte(id), Body: body}, nil)
}

// reply acknowledges an event of the server.
func (c *client) reply(ack uint64, args ...any) {
	body, err := newEncoder().ack(nil, args)
	if err != nil {
		c.ring.tb.Error(err)
	}
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	c.send(wire.Record{Kind: wire.KindReply, Ack: ack, Body: body}, nil)
}

// leave ends the client.
func (c *client) leave(reason string) {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	delete(c.ring.clients, c.addr)
	c.send(wire.Record{Kind: wire.KindDisconnect, Flags: wire.FlagControl}, &siomeshv1.Disconnect{Reason: reason, Description: "why"})
}

func (c *client) lock(f func()) {
	c.ring.mu.Lock()
	defer c.ring.mu.Unlock()
	f()
}

// credited reports whether the edge has heard that everything the client sent is handled.
func (c *client) credited() (all bool) {
	c.lock(func() { all = c.handled == c.seq })
	return all
}
