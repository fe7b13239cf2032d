package edge

import (
	"bytes"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// What a client sends flows to the socket's app instance within the socket's credit and the link's window. What does not fit
// is held, and the client is not read until it does; but while the app waits for an acknowledgement of this client, reading
// goes on for a while, since that is the way out of the jam.

// parcel is a record for the app that waits in a socket's flow.
type parcel struct {
	kind wire.Kind
	ack  uint64
	id   []byte
	body []byte
	size int64
}

// flow is the credit of one socket towards its app: how much the app has not handled yet, and what waits for it to.
type flow struct {
	seq      uint64   // last number given
	handled  uint64   // highest number handled
	sizes    []uint32 // sizes of handled+1 … seq
	bytes    int64    // their sum
	held     []parcel // what waits, in order: replies, events, and at last the disconnect
	waiting  int64    // bytes of held
	blocked  bool     // reading of the client waits for this socket
	awaiting bool     // the link tells when it has room again
	moving   bool     // the socket is handed over: nothing but replies goes to its owner
}

// next numbers a record of so many bytes.
func (f *flow) next(size int64) {
	f.seq++
	f.sizes = append(f.sizes, uint32(size)) //nolint:gosec // bounded by the largest message of a client
	f.bytes += size
}

// release takes the app's word that everything up to seq is handled, and reports whether that is news.
func (f *flow) release(seq uint64) bool {
	if seq <= f.handled || seq > f.seq {
		return false
	}
	n := int(seq - f.handled) //nolint:gosec // at most len(sizes)
	for _, size := range f.sizes[:n] {
		f.bytes -= int64(size)
	}
	f.sizes = append(f.sizes[:0], f.sizes[n:]...)
	f.handled = seq
	return true
}

// admits reports whether a parcel may be sent to the app now. An event larger than the bound may when nothing else is
// outstanding; only events need credit.
func (f *flow) admits(p *parcel, c *Config) bool {
	if f.moving {
		return p.kind == wire.KindReply
	}
	return p.kind != wire.KindEvent || f.bytes == 0 || len(f.sizes) < c.MaxPackets && f.bytes+p.size <= c.MaxBytes
}

// hold keeps a parcel: a reply behind the other replies, since a handler may wait for it, anything else at the end.
func (f *flow) hold(p parcel) {
	f.waiting += p.size
	at := len(f.held)
	if p.kind == wire.KindReply {
		for at = 0; at < len(f.held) && f.held[at].kind == wire.KindReply; {
			at++
		}
	}
	f.held = append(f.held, parcel{})
	copy(f.held[at+1:], f.held[at:])
	f.held[at] = p
}

// sent forgets the first n held parcels.
func (f *flow) sent(n int) {
	for _, p := range f.held[:n] {
		f.waiting -= p.size
	}
	rest := copy(f.held, f.held[n:])
	clear(f.held[rest:])
	if f.held = f.held[:rest]; rest == 0 {
		f.held = nil
	}
}

// event hands an event to the socket's app, or holds it, and returns its size; mu is held.
func (c *conn) event(sk *socket, p protocol.Packet, attachments [][]byte) (size int64) {
	buf := c.s.encode(wire.Packet{JSON: p.Data, Attachments: attachments})
	defer c.s.release(buf)
	e := parcel{kind: wire.KindEvent, id: p.ID, body: *buf, size: int64(len(*buf))}
	if len(sk.flow.held) > 0 || !sk.flow.admits(&e, &c.s.cfg) || !c.pass(&c.batch, sk, &e) {
		c.hold(sk, e)
	}
	return e.size
}

// reply hands a client's acknowledgement to the app instance that asked for it; mu is held. It overtakes held events. It
// returns what that costs the client: one that nobody asked for is an event, one that was asked for only bytes.
func (c *conn) reply(sk *socket, p protocol.Packet, attachments [][]byte) (events int, size int64) {
	id, err := strconv.ParseUint(string(p.ID), 10, 64)
	var request uint64
	if err == nil {
		if sk.acks.unask(id) {
			c.s.answer(&c.batch, sk, id, wire.Packet{JSON: p.Data, Attachments: attachments})
			c.blockAgain(sk)
			return 0, sizeOf(p, attachments)
		}
		request = sk.acks.take(id)
	}
	var earlier former
	if request == 0 && err == nil {
		request, earlier = sk.acks.takeFormer(id)
	}
	if request == 0 {
		c.s.cfg.Metrics.late() // nobody asked, or nobody waits any more: ignored as the reference does
		return 1, sizeOf(p, attachments)
	}
	buf := c.s.encode(wire.Packet{JSON: p.Data, Attachments: attachments})
	defer c.s.release(buf)
	answer := parcel{kind: wire.KindReply, ack: request, body: *buf, size: int64(len(*buf))}
	if earlier.app != nil {
		sk.replyFormer(&c.batch, earlier, request, answer.body)
	} else if !c.pass(&c.batch, sk, &answer) {
		c.hold(sk, answer)
	}
	c.blockAgain(sk)
	return 0, answer.size
}

// sizeOf returns the bytes of a packet's arguments.
func sizeOf(p protocol.Packet, attachments [][]byte) int64 {
	n := len(p.Data)
	for _, a := range attachments {
		n += len(a)
	}
	return int64(n)
}

// pass sends a parcel unless the link is full, which then resumes the socket once it has room; mu is held.
func (c *conn) pass(b *link.Batch, sk *socket, p *parcel) bool {
	err := sk.send(b, p)
	if errors.Is(err, link.ErrFull) && !sk.flow.awaiting {
		sk.flow.awaiting = true
		sk.app.await(sk)
		err = sk.send(b, p) // there may be room since then, and so no mark to come
	}
	return err == nil // any other error means that the instance is lost, and its sockets soon are
}

// blockAgain stops reading the client once nobody waits for its answers any more, if packets are held; mu is held.
func (c *conn) blockAgain(sk *socket) {
	if !sk.acks.waiting() && len(sk.flow.held) > 0 {
		c.block(sk)
	}
}

// tooManyHeld is why a request for an acknowledgement fails when the answer could not get through.
const tooManyHeld = "too many packets wait for the handler"

// hold keeps a parcel, and stops reading the client unless the app waits for its acknowledgements: then up to MaxHeld more
// is read, and beyond that the open requests fail; mu is held.
func (c *conn) hold(sk *socket, p parcel) {
	p.id, p.body = bytes.Clone(p.id), bytes.Clone(p.body)
	sk.flow.hold(p)
	c.s.cfg.Metrics.held()
	if sk.acks.waiting() && sk.flow.waiting >= c.s.cfg.MaxHeld {
		sk.acks.drain(func(request uint64) { sk.failAck(&c.batch, request, tooManyHeld) })
		sk.failFormer(&c.batch, tooManyHeld)
		sk.acks.drainAsks(func(id uint64) { c.s.left(&c.batch, sk, id, true) })
	}
	if !sk.acks.waiting() {
		c.block(sk)
	}
}

// resume continues a socket whose link to an instance has room again, and reports whether that was enough. It runs on the
// reader goroutine of the links.
func (c *conn) resume(sk *socket, app *appInstance) bool {
	var b link.Batch
	defer b.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	if sk.app != app {
		return true // another has it now, and resumes it
	}
	sk.flow.awaiting = false
	c.advance(&b, sk)
	return !sk.flow.awaiting
}

// advance sends what credit and window allow of the held parcels; when none is left reading goes on, or an ended socket is
// forgotten; mu is held.
func (c *conn) advance(b *link.Batch, sk *socket) {
	if len(sk.flow.held) == 0 {
		return
	}
	n := 0
	for n < len(sk.flow.held) && sk.flow.admits(&sk.flow.held[n], &c.s.cfg) && c.pass(b, sk, &sk.flow.held[n]) {
		n++
	}
	if sk.flow.sent(n); len(sk.flow.held) > 0 {
		return
	}
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
	c.stopReading()
}

func (c *conn) unblock(sk *socket) {
	if !sk.flow.blocked {
		return
	}
	sk.flow.blocked = false
	c.continueReading()
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
	c.remember(sk)
	sk.cancel()
	if sk.expiry != nil {
		c.s.alarms.drop(sk.expiry)
	}
	rooms := c.s.index.remove(sk)
	later := sk.flow.moving && before != asked || len(sk.flow.held) > 0 && !sk.app.dead.Load() // the disconnect comes behind what is held
	sk.acks.drain(func(request uint64) {
		if later { // a handler may wait for it, and the disconnect for the handler
			sk.failAck(b, request, wire.AckDeparted)
		}
	})
	sk.failFormer(b, wire.AckDeparted)
	sk.acks.drainAsks(func(id uint64) { c.s.left(b, sk, id, true) })
	if before == joining {
		c.s.table.remove(sk)
		return
	}
	sk.app.assigned.Add(-1)
	c.s.gone(b, sk)
	body, err := proto.Marshal(&siomeshv1.Disconnect{Reason: reason, Description: description, Rooms: rooms})
	if err != nil { // an app of another language named a room in bytes that are not UTF-8
		body, err = proto.Marshal(&siomeshv1.Disconnect{Reason: reason, Description: strings.ToValidUTF8(description, "\uFFFD")})
	}
	if err != nil {
		body = nil
	}
	sk.flow.hold(parcel{kind: wire.KindDisconnect, body: body})
	if !later {
		c.cut(b, sk)
	}
}

// cut forgets an ended socket: what it still owes its app is dropped, but for the disconnect; mu is held.
func (c *conn) cut(b *link.Batch, sk *socket) {
	if last := len(sk.flow.held) - 1; last >= 0 {
		c.drop(sk, last)
		if err := sk.send(b, &sk.flow.held[0]); err != nil && !errors.Is(err, errAppDead) {
			c.s.log.Warn("disconnect not sent", slog.String("instance", sk.app.addr.Instance.String()), slog.Any("err", err))
		}
	}
	sk.flow.held = nil
	c.unblock(sk)
	c.s.table.remove(sk)
}

// drop gives up the first n held parcels; mu is held.
func (c *conn) drop(sk *socket, n int) {
	c.s.cfg.Metrics.dropped(n)
	sk.flow.sent(n)
}
