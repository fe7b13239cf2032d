package edge

import (
	"context"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// state is where a socket stands. It only moves forward, except from asked back to joining when its app instance dies first.
//
//	joining ──connect sent──► asked ──accept──► joined ──┐
//	   │                        │                        ├──► ending ──packets handed over──► (forgotten)
//	   └────── refused ─────────┴──── client gone ───────┘
type state uint8

const (
	joining state = iota // waits for auth, an app instance or rooms
	asked                // an app instance has the connect record
	joined               // accepted: the client has its CONNECT
	ending               // gone for client and rooms; packets that came before are still owed to the app
)

// socket is one client in one namespace.
type socket struct {
	conn      *conn
	namespace string
	id        string          // public, random, unrelated to the sid
	addr      wire.SocketAddr // set by table.add
	auth      []byte          // payload of the CONNECT packet, a copy

	// Guarded by conn.mu.
	state   state
	cancel  context.CancelFunc  // ends the join under way
	verdict *authn.ConnectReply // nil until auth has answered
	app     *appInstance        // the instance that owns the socket; set from asked on
	epoch   uint32              // of this assignment
	flow    flow
	acks    acks
	data    map[string][]byte // socket.data: raw JSON by top-level key

	// Guarded by index.mu.
	rooms   map[string]struct{} // joined rooms without its own
	indexed bool                // in the index: accepted and not removed
	removed bool
	visit   uint64
}

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
	seq     uint64   // last number given
	handled uint64   // highest number handled
	sizes   []uint32 // sizes of handled+1 … seq
	bytes   int64    // their sum
	held    []parcel // packets that wait, in order
	waiting int64    // bytes of held
	blocked bool     // reading of the client waits for this socket
}

// next numbers a record of so many bytes.
func (f *flow) next(size int64) uint64 {
	f.seq++
	f.sizes = append(f.sizes, uint32(size)) //nolint:gosec // bounded by the largest message of a client
	f.bytes += size
	return f.seq
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

// admits reports whether a packet may be sent to the app now. One larger than the bound may when nothing else is outstanding.
func (f *flow) admits(size int64, c *Config) bool {
	return f.bytes == 0 || len(f.sizes) < c.MaxPackets && f.bytes+size <= c.MaxBytes
}

func (f *flow) hold(p parcel) {
	f.held = append(f.held, p)
	f.waiting += p.size
}

// acks maps the acknowledgement ids that this edge put into packets for one client to the requests of app instances.
type acks struct {
	next   uint64
	oldest uint64 // no open id is lower
	open   map[uint64]ackRequest
}

type ackRequest struct {
	instance *appInstance
	request  uint64
}

// add returns the id for a request. At limit the oldest open request gives way, and is returned to be failed.
func (a *acks) add(r ackRequest, limit int) (id uint64, failed *ackRequest) {
	if a.open == nil {
		a.open = map[uint64]ackRequest{}
	}
	if len(a.open) >= limit {
		for {
			old, ok := a.open[a.oldest]
			delete(a.open, a.oldest)
			a.oldest++
			if ok {
				failed = &old
				break
			}
		}
	}
	id = a.next
	a.next++
	a.open[id] = r
	return id, failed
}

// take ends the request of an id.
func (a *acks) take(id uint64) (ackRequest, bool) {
	r, ok := a.open[id]
	delete(a.open, id)
	return r, ok
}

// drain ends all requests.
func (a *acks) drain(f func(ackRequest)) {
	for _, r := range a.open {
		f(r)
	}
	a.open, a.oldest = nil, a.next
}

// send appends a record for the socket's app instance to its link; conn.mu is held. The record is numbered unless it belongs
// to a request of the app, and so overtakes.
func (sk *socket) send(b *link.Batch, p parcel) error {
	l := sk.app.link()
	if l == nil {
		return errAppDead
	}
	r := wire.Record{
		Kind: p.kind, Socket: sk.addr, Namespace: []byte(sk.namespace), Epoch: sk.epoch,
		Ack: p.ack, ID: p.id, Body: p.body,
	}
	if p.kind != wire.KindReply && p.kind != wire.KindAckFailed {
		r.Seq = sk.flow.seq + 1
	}
	if p.kind == wire.KindDisconnect || p.kind == wire.KindAckFailed {
		r.Flags |= wire.FlagControl
	}
	if err := b.Append(l, &r); err != nil {
		return err
	}
	if r.Seq != 0 {
		sk.flow.next(p.size)
	}
	return nil
}

// failAck tells an app instance that its request will not be answered; conn.mu is held.
func (sk *socket) failAck(b *link.Batch, r ackRequest, reason string) {
	l := r.instance.link()
	if l == nil {
		return
	}
	sk.conn.s.cfg.Metrics.ackFailed()
	record := wire.Record{
		Kind: wire.KindAckFailed, Flags: wire.FlagControl, Socket: sk.addr, Namespace: []byte(sk.namespace),
		Epoch: sk.epoch, Ack: r.request, Body: []byte(reason),
	}
	if err := b.Append(l, &record); err != nil {
		sk.conn.s.log.Warn("failed request not told", slog.String("instance", r.instance.addr.Instance.String()), slog.Any("err", err))
	}
}
