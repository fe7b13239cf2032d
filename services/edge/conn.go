package edge

import (
	"sync"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// conn is one client connection: an engine session with its sockets, at most one for each namespace. It implements
// engine.Handler; the methods of that interface run one at a time. Lock order: conn.mu before those of Service,
// appInstance, guests, index, table, tasks, sessions and links; docs/ARCHITECTURE.md has the whole table.
type conn struct {
	s         *Service
	session   *engine.Session
	handshake []byte // siomesh.v1.Handshake without auth, encoded since it is rarely looked at

	// Owned by the session's handler calls.
	decoder decoder
	batch   link.Batch

	mu      sync.Mutex
	sockets []*socket // guarded by mu
	left    []string  // guarded by mu: namespaces the server disconnected; the client may not know yet
	entered bool      // guarded by mu: a namespace was joined, so the connect timeout is off for good
	closed  bool      // guarded by mu
	late    bool      // guarded by mu: it joined no namespace in time, and is being closed
	blocked int       // guarded by mu: reasons not to read the client: sockets whose flow blocks it, and the throttle

	throttle *throttle           // guarded by mu; nil until a limit was exceeded
	connects *buckets            // guarded by mu: for CONNECTs; nil before the first, and if nothing is limited
	knocks   knocks              // guarded by mu
	spent    map[string]*buckets // guarded by mu: of sockets that have ended, by namespace; at most MaxNamespaces
	lobby    lobby               // guarded by mu
	moved    bool                // guarded by mu: the session has left this edge

	dirty bool // owned by the reader goroutine of the links: in Service.unflushed
	place place
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
		c.mu.Lock()
		c.abort(&c.batch, "invalid packet: "+err.Error())
		c.mu.Unlock()
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
	c.closeLobby()
	c.endAll(&c.batch, text, description)
	moved := c.moved
	c.mu.Unlock()
	c.batch.Flush()
	if !moved { // else Move has done it
		c.s.guests.remove(c)
		c.s.cfg.Metrics.connClosed()
	}
}

// packet reacts to one complete packet of the client.
func (c *conn) packet(p protocol.Packet, attachments [][]byte) {
	if c.isV2() {
		p = fromV2(p)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.Type == protocol.Connect {
		defer c.chargeConnect(int64(len(p.Data)))
		if !c.keepWaiting(p) {
			c.letIn(&c.batch)
			c.connect(&c.batch, p)
		}
		return
	}
	c.letIn(&c.batch) // what comes behind a CONNECT must not overtake it
	sk := c.find(p.Namespace)
	switch {
	case c.closed:
	case sk == nil && c.hasLeft(p.Namespace) && p.Type != protocol.ConnectError:
		c.s.cfg.Metrics.late() // sent before the client learned that the server disconnected the namespace
	case sk == nil || sk.state != joined && p.Type != protocol.Disconnect: // NSP-012, NSP-013
		c.invalidState(&c.batch)
	case p.Type == protocol.Disconnect:
		c.end(&c.batch, sk, reasonClientDisconnect, "")
	case p.Type == protocol.Event || p.Type == protocol.BinaryEvent:
		size := c.event(sk, p, attachments)
		c.charge(sk.buckets, 1, size)
	case p.Type == protocol.Ack || p.Type == protocol.BinaryAck:
		events, size := c.reply(sk, p, attachments)
		c.charge(sk.buckets, events, size)
	default: // NSP-014
		c.invalidState(&c.batch)
	}
}

// abort closes the connection because of what the client sent; the sockets see "forced close" (PAR-028); mu is held.
func (c *conn) abort(b *link.Batch, description string) {
	c.endAll(b, reasonForcedClose, description)
	c.session.Close()
}

// invalidState closes the connection of a client that breaks the rules of the protocol; mu is held.
func (c *conn) invalidState(b *link.Batch) {
	if !c.closed {
		c.s.cfg.Metrics.invalidState()
		c.abort(b, "invalid state")
	}
}

// endAll ends every socket: the connection is closed, or about to be; mu is held.
func (c *conn) endAll(b *link.Batch, reason, description string) {
	c.closed = true
	c.dropThrottle()
	for len(c.sockets) > 0 {
		c.end(b, c.sockets[len(c.sockets)-1], reason, description)
	}
}

func (c *conn) find(namespace []byte) *socket {
	for _, sk := range c.sockets {
		if string(sk.namespace) == string(namespace) {
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

// leave remembers that the server disconnected a namespace; mu is held.
func (c *conn) leave(namespace []byte) {
	if c.hasLeft(namespace) {
		return
	}
	if len(c.left) >= c.s.cfg.MaxNamespaces { // the client knows of the oldest by now
		c.left = append(c.left[:0], c.left[1:]...)
	}
	c.left = append(c.left, string(namespace))
}

func (c *conn) hasLeft(namespace []byte) bool {
	for _, name := range c.left {
		if name == string(namespace) {
			return true
		}
	}
	return false
}

// comeBack forgets that the server disconnected the namespace; mu is held.
func (c *conn) comeBack(namespace []byte) {
	for i, name := range c.left {
		if name == string(namespace) {
			c.left = append(c.left[:i], c.left[i+1:]...)
			return
		}
	}
}

// send writes a packet without attachments to the client; mu may be held.
func (c *conn) send(p protocol.Packet) {
	if err := c.session.Send(c.s.message(p)); err == nil {
		c.s.cfg.Metrics.packetOut(p.Type, 1)
	}
}
