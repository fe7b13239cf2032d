package edge

import (
	"context"
	"log/slog"
	"sync/atomic"

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
	namespace []byte // never written to
	id        string // public, random, unrelated to the sid
	auth      []byte // payload of the CONNECT packet, a copy

	// Guarded by conn.mu.
	state    state
	addr     wire.SocketAddr     // another one when the socket has to join again
	cancel   context.CancelFunc  // ends the join under way
	verdict  *authn.ConnectReply // nil until auth has answered
	buckets  *buckets            // nil if nothing limits what the client sends
	expiry   *alarm              // nil if the permission has no end
	app      *appInstance        // the instance that owns the socket; nil while joining
	epoch    uint32              // of this assignment
	moved    uint64              // number of the owner's newest operation that changed rooms
	flow     flow
	declined []string // apps that do not know the namespace; never changed in place
	acks     acks
	data     map[string][]byte // socket.data: raw JSON by top-level key

	watched atomic.Bool // the app instance wants copies of broadcasts

	// Guarded by index.mu.
	user    string              // from the auth verdict, "" before add
	rooms   map[string]struct{} // joined rooms without its own
	indexed bool                // in the index: accepted and not removed
	removed bool
	visit   uint64
}

// send appends a record for the socket's app instance to its link; conn.mu is held. The record is numbered unless it belongs
// to a request of the app, and so overtakes.
func (sk *socket) send(b *link.Batch, p *parcel) error {
	if sk.app.dead.Load() {
		return errAppDead
	}
	r := wire.Record{
		Kind: p.kind, Socket: sk.addr, Namespace: sk.namespace, Epoch: sk.epoch,
		Ack: p.ack, ID: p.id, Body: p.body,
	}
	switch p.kind {
	case wire.KindReply:
	case wire.KindConnect, wire.KindAttach:
		r.Seq, r.Lease = sk.flow.seq+1, sk.conn.s.leaseNow()
	case wire.KindDisconnect:
		r.Seq, r.Flags = sk.flow.seq+1, wire.FlagControl
	default:
		r.Seq = sk.flow.seq + 1
	}
	if err := b.Append(sk.app.link, &r); err != nil {
		return err
	}
	if r.Seq != 0 {
		sk.flow.next(p.size)
	}
	return nil
}

// copy tells the app instance of a broadcast that reached the socket. While the link is full, copies are left out.
func (sk *socket) copy(b *link.Batch, body []byte) {
	sk.conn.mu.Lock()
	defer sk.conn.mu.Unlock()
	if sk.state != joined || sk.app.dead.Load() {
		return
	}
	r := wire.Record{Kind: wire.KindCopy, Socket: sk.addr, Namespace: sk.namespace, Epoch: sk.epoch, Body: body}
	if err := b.Append(sk.app.link, &r); err != nil {
		sk.conn.s.cfg.Metrics.dropped(1)
	}
}

// failAck tells the app instance that its request will not be answered; conn.mu is held.
func (sk *socket) failAck(b *link.Batch, request uint64, reason string) {
	sk.conn.s.cfg.Metrics.ackFailed()
	if sk.app.dead.Load() {
		return
	}
	record := wire.Record{
		Kind: wire.KindAckFailed, Flags: wire.FlagControl, Socket: sk.addr, Namespace: sk.namespace,
		Epoch: sk.epoch, Ack: request, Body: []byte(reason),
	}
	if err := b.Append(sk.app.link, &record); err != nil {
		sk.conn.s.log.Warn("failed request not told", slog.String("instance", sk.app.addr.Instance.String()), slog.Any("err", err))
	}
}
