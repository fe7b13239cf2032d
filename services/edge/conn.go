package edge

import (
	"errors"
	"log/slog"
	"strconv"
	"sync"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// conn is one client connection: an engine session with its sockets, at most one for each namespace. It implements
// engine.Handler; the methods of that interface run one at a time.
type conn struct {
	s         *Service
	session   *engine.Session
	handshake *siomeshv1.Handshake // without auth

	// Owned by the session's handler calls.
	decoder *protocol.Decoder
	batch   link.Batch

	mu      sync.Mutex
	sockets []*socket // guarded by mu
	left    []string  // guarded by mu: namespaces the server disconnected; the client may not know yet
	entered bool      // guarded by mu: a namespace was joined, so the connect timeout is off for good
	closed  bool      // guarded by mu
	blocked int       // guarded by mu: sockets whose flow blocks reading

	dirty bool // owned by the reader goroutine of the links: in Service.unflushed
}

// Message implements engine.Handler.
func (c *conn) Message(data []byte, binary bool) {
	var (
		p           protocol.Packet
		attachments [][]byte
		complete    bool
		err         error
	)
	if binary {
		p, attachments, complete, err = c.decoder.Binary(data)
	} else {
		p, complete, err = c.decoder.Text(data)
	}
	switch {
	case err != nil:
		c.s.cfg.Metrics.malformed()
		c.abort("invalid packet: " + err.Error())
	case complete:
		c.s.cfg.Metrics.packetIn(p.Type)
		c.packet(p, attachments)
	}
}

// EndBatch implements engine.Handler.
func (c *conn) EndBatch() { c.batch.Flush() }

// Closed implements engine.Handler: every socket of the connection is gone.
func (c *conn) Closed(reason engine.Reason, cause error) {
	description := ""
	if cause != nil {
		description = cause.Error()
	}
	text := string(reason.Wire())
	if c.s.stopping.Load() {
		text, description = reasonShutdown, ""
	}
	c.mu.Lock()
	c.closed = true
	for len(c.sockets) > 0 {
		c.end(&c.batch, c.sockets[len(c.sockets)-1], text, description)
	}
	c.mu.Unlock()
	c.batch.Flush()
	c.s.cfg.Metrics.connClosed()
}

// packet reacts to one complete packet of the client.
func (c *conn) packet(p protocol.Packet, attachments [][]byte) {
	if p.Type == protocol.Connect {
		c.connect(p)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	sk := c.find(p.Namespace)
	if sk == nil && c.hasLeft(p.Namespace) && p.Type != protocol.ConnectError {
		c.s.cfg.Metrics.late() // sent before the client learned that the server disconnected the namespace
		return
	}
	if sk == nil || sk.state != joined && p.Type != protocol.Disconnect {
		c.invalidState()
		return
	}
	switch p.Type {
	case protocol.Disconnect:
		c.end(&c.batch, sk, reasonClientDisconnect, "")
	case protocol.Event, protocol.BinaryEvent:
		c.event(sk, p, attachments)
	case protocol.Ack, protocol.BinaryAck:
		c.reply(sk, p, attachments)
	case protocol.Connect, protocol.ConnectError:
		c.invalidState()
	}
}

// event hands an event to the socket's app, or holds it until the app has handled enough; mu is held.
func (c *conn) event(sk *socket, p protocol.Packet, attachments [][]byte) {
	body, free := c.s.encode(wire.Packet{JSON: p.Data, Attachments: attachments})
	defer free()
	c.submit(sk, parcel{kind: wire.KindEvent, id: p.ID, body: body, size: int64(len(body))})
}

// reply hands a client's acknowledgement to the app instance that asked for it; mu is held. It overtakes held packets, since
// a handler may be waiting for it before it handles them.
func (c *conn) reply(sk *socket, p protocol.Packet, attachments [][]byte) {
	id, err := strconv.ParseUint(string(p.ID), 10, 64)
	request, ok := ackRequest{}, false
	if err == nil {
		request, ok = sk.acks.take(id)
	}
	if !ok {
		c.s.cfg.Metrics.late() // nobody asked, or nobody waits any more: ignored as the reference does
		return
	}
	body, free := c.s.encode(wire.Packet{JSON: p.Data, Attachments: attachments})
	defer free()
	answer := parcel{kind: wire.KindReply, ack: request.request, body: body, size: int64(len(body))}
	if request.instance == sk.app && sk.send(&c.batch, answer) != nil {
		c.hold(sk, answer)
	}
}

// submit sends a parcel to the app if the socket's credit and the link's window allow, and holds it otherwise; mu is held.
func (c *conn) submit(sk *socket, p parcel) {
	if len(sk.flow.held) == 0 && sk.flow.admits(p.size, &c.s.cfg) {
		if sk.send(&c.batch, p) == nil {
			return
		}
	}
	c.hold(sk, p)
}

// hold keeps a parcel, and stops reading the client unless the app waits for its acknowledgements: then up to MaxHeld more
// is read, and beyond that the open requests fail; mu is held.
func (c *conn) hold(sk *socket, p parcel) {
	p.id = append([]byte(nil), p.id...)
	p.body = append([]byte(nil), p.body...)
	sk.flow.hold(p)
	c.s.cfg.Metrics.held()
	if len(sk.acks.open) > 0 && sk.flow.waiting >= c.s.cfg.MaxHeld {
		sk.acks.drain(func(r ackRequest) { sk.failAck(&c.batch, r, "too many packets wait for the handler") })
	}
	if len(sk.acks.open) == 0 {
		c.block(sk)
	}
	if len(sk.flow.held) == 1 && sk.flow.admits(p.size, &c.s.cfg) { // it is the link that is full, not the socket
		sk.app.onSpace(func() { c.resume(sk) })
	}
}

// resume continues a socket whose link has room again. It runs on the reader goroutine of the links.
func (c *conn) resume(sk *socket) {
	var b link.Batch
	c.mu.Lock()
	c.advance(&b, sk)
	c.mu.Unlock()
	b.Flush()
}

// advance sends what the socket's credit allows of the held parcels; when none is left reading goes on, or the socket's end
// is told; mu is held.
func (c *conn) advance(b *link.Batch, sk *socket) {
	if sk.state == joining || len(sk.flow.held) == 0 {
		return
	}
	sent := 0
	for _, p := range sk.flow.held {
		if p.kind != wire.KindDisconnect && !sk.flow.admits(p.size, &c.s.cfg) {
			break
		}
		if sk.send(b, p) != nil {
			sk.app.onSpace(func() { c.resume(sk) })
			break
		}
		sk.flow.waiting -= p.size
		sent++
	}
	rest := copy(sk.flow.held, sk.flow.held[sent:])
	clear(sk.flow.held[rest:])
	if sk.flow.held = sk.flow.held[:rest]; rest > 0 {
		return
	}
	sk.flow.held = nil
	c.unblock(sk)
	if sk.state == ending {
		c.s.table.remove(sk)
	}
}

// block stops reading the client on behalf of a socket; mu is held.
func (c *conn) block(sk *socket) {
	if sk.flow.blocked || c.closed {
		return
	}
	sk.flow.blocked = true
	if c.blocked++; c.blocked == 1 {
		c.s.cfg.Metrics.paused()
		c.session.Pause()
	}
}

func (c *conn) unblock(sk *socket) {
	if !sk.flow.blocked {
		return
	}
	sk.flow.blocked = false
	if c.blocked--; c.blocked == 0 {
		c.session.Resume()
	}
}

// end takes a socket away from the client and from rooms at once, and tells its app behind the packets it is still owed;
// mu is held.
func (c *conn) end(b *link.Batch, sk *socket, reason, description string) {
	before := sk.state
	if before == ending {
		return
	}
	sk.state = ending
	c.forget(sk)
	sk.cancel()
	rooms := c.s.index.remove(sk)
	sk.acks.drain(func(ackRequest) {})
	if before == joining {
		c.s.table.remove(sk)
		return
	}
	c.s.gone(b, sk)
	body, err := proto.Marshal(&siomeshv1.Disconnect{Reason: reason, Description: description, Rooms: rooms})
	if err != nil {
		body = nil // strings that are not UTF-8: the reason is lost, the end is not
	}
	last := parcel{kind: wire.KindDisconnect, body: body}
	if len(sk.flow.held) > 0 {
		sk.flow.hold(last)
		return
	}
	if err := sk.send(b, last); err != nil && !errors.Is(err, errAppDead) {
		c.s.log.Warn("disconnect not sent", slog.String("instance", sk.app.addr.Instance.String()), slog.Any("err", err))
	}
	c.unblock(sk)
	c.s.table.remove(sk)
}

// abort closes the connection because of what the client sent; the sockets see "forced close".
func (c *conn) abort(description string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.sockets) > 0 {
		c.end(&c.batch, c.sockets[len(c.sockets)-1], reasonForcedClose, description)
	}
	c.session.Close()
}

// invalidState closes the connection of a client that breaks the rules of the protocol; mu is held.
func (c *conn) invalidState() {
	c.s.cfg.Metrics.invalidState()
	for len(c.sockets) > 0 {
		c.end(&c.batch, c.sockets[len(c.sockets)-1], reasonForcedClose, "invalid state")
	}
	c.session.Close()
}

func (c *conn) find(namespace []byte) *socket {
	for _, sk := range c.sockets {
		if sk.namespace == string(namespace) {
			return sk
		}
	}
	return nil
}

// forget takes a socket off the connection's list.
func (c *conn) forget(sk *socket) {
	for i, other := range c.sockets {
		if other == sk {
			last := len(c.sockets) - 1
			c.sockets[i] = c.sockets[last]
			c.sockets[last] = nil
			c.sockets = c.sockets[:last]
			return
		}
	}
}

func (c *conn) hasLeft(namespace []byte) bool {
	for _, name := range c.left {
		if name == string(namespace) {
			return true
		}
	}
	return false
}
