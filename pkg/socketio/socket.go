package socketio

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Socket is one client in one namespace, for as long as it is there: a client that comes back after its connection was lost
// is a new Socket, with another id, and its rooms and data start afresh. It belongs to one instance, the one that its edge
// has assigned it to, until that ends and another takes it over; others reach it as a RemoteSocket, by its id as a room, or by rooms. Its handlers run one at a time,
// on a goroutine that may wait; its methods are safe for concurrent use.
type Socket struct {
	ns     *Namespace
	addr   wire.SocketAddr
	epoch  uint32
	lease  uint64 // the edge's registration when it assigned the socket
	misses uint64 // of its partition when it came
	id     string
	user   string
	body   []byte // of the connect record, for what is seldom asked

	accepted atomic.Bool
	gone     atomic.Bool   // nothing can be done to the client any more; set under mu
	handled  atomic.Uint64 // highest Seq whose handler has returned
	away     atomic.Bool   // another instance has the socket, or soon will; set under mu and sending
	handed   bool          // another instance had it
	reported atomic.Uint64 // highest handled mark on its way to the edge
	dirty    atomic.Bool   // in the keeper's list
	sending  sync.RWMutex  // held for reading while an operation is sent, alone for the accept and the hand-over
	changes  sync.Mutex    // held while a change of rooms or data is sent, so that ours have the order of the ring's

	owedCount int // packets handled since the last report; owned by the worker
	owedBytes int // their bodies; owned by the worker

	mu            sync.Mutex
	inbox         inbox                      // guarded by mu
	listeners     []*listener                // guarded by mu
	disconnecting []func(Disconnect)         // guarded by mu
	disconnect    []func(Disconnect)         // guarded by mu
	rooms         map[string]uint64          // guarded by mu; joined ones, its own is not here: see moves.go
	parted        map[string]uint64          // guarded by mu; rooms that were left lately
	late          []move                     // guarded by mu; what others did while altering
	altering      bool                       // guarded by mu; an own change of rooms is being sent
	left          bool                       // guarded by mu; in no room any more, not even its own
	data          map[string]json.RawMessage // guarded by mu
	requests      map[uint64]chan reply      // guarded by mu; acknowledgements the client owes
	rare          *rare                      // guarded by mu; nil if there is nothing in it
}

// Disconnect tells why and from where a socket was disconnected. The client may come back, as another Socket, unless it
// left by itself ("client namespace disconnect") or was disconnected ("server namespace disconnect").
type Disconnect struct {
	Reason      string   // by the reference server's name, such as "transport close" (SOC-027)
	Description string   // more about it, or empty
	Rooms       []string // the rooms it was in, its own included
}

// ID returns the public id, the same that the client sees. It is also the name of the socket's own room, by which any
// instance reaches it. A client that comes back has another.
func (s *Socket) ID() string { return s.id }

// User returns the user the auth service named, or "". See Namespace.ToUser for all sockets of a user.
func (s *Socket) User() string { return s.user }

// Namespace returns the namespace that the client has joined; the sockets of one client in other namespaces are others.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Connected reports whether the client is in the namespace: false in middlewares and after the disconnect (MID-007), and once
// another instance has the socket. It may
// have left already, and its edge's word of it be on the way.
func (s *Socket) Connected() bool { return s.accepted.Load() && s.lost() == nil }

// Recovered reports whether the client came back with the state of an earlier connection. It is false until the mesh has
// connection state recovery.
func (s *Socket) Recovered() bool { return false }

// Data returns socket.data, which FetchSockets shows to other instances.
func (s *Socket) Data() Data { return Data{socket: s} }

// Handshake returns what the client sent when it connected; after the disconnect, too. It is decoded anew by every call.
func (s *Socket) Handshake() Handshake {
	var c siomeshv1.Connect
	// It was decoded before, when the socket was made, so it cannot fail.
	if err := proto.Unmarshal(s.body, &c); err != nil {
		return newHandshake(nil)
	}
	return newHandshake(c.GetHandshake())
}

// Rooms returns the rooms the socket is in: its own first, then the others sorted. Own changes are seen at once, those that
// others made once its edge has told of them. It is empty after the disconnect (SOC-020, SOC-023): Disconnect.Rooms has
// what it was then.
func (s *Socket) Rooms() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomsNow()
}

// roomsNow is Rooms for who holds mu.
func (s *Socket) roomsNow() []string {
	if s.left {
		return nil
	}
	rooms := make([]string, 0, 1+len(s.rooms))
	if s.accepted.Load() {
		rooms = append(rooms, s.id)
	}
	own := len(rooms)
	for room := range s.rooms {
		rooms = append(rooms, room)
	}
	slices.Sort(rooms[own:])
	return rooms
}

// Emit sends an event to the client. It returns once the operation is in the window; the error tells ErrDisconnected, a
// reserved name, what cannot be encoded, a packet too large, and a wait longer than Config.EmitTimeout. Later failures go
// to OnError and Flush; a client that leaves meanwhile is none, and does not get the event when it comes back. What one
// goroutine emits arrives in that order, with acknowledgements, joins and broadcasts of this instance in their places.
func (s *Socket) Emit(event string, args ...any) error {
	return Emitter{socket: s}.Emit(event, args...)
}

// Send is Emit of the event "message" (SOC-003).
func (s *Socket) Send(args ...any) error { return s.Emit(message, args...) }

// message is the event of Send.
const message = "message"

// EmitWithAck sends an event and waits for the acknowledgement as long as the client stays; see Emitter.EmitWithAck.
func (s *Socket) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	return Emitter{socket: s}.EmitWithAck(ctx, event, args...)
}

// Timeout returns an emitter whose EmitWithAck fails with ErrTimeout after d, counted from its call.
func (s *Socket) Timeout(d time.Duration) Emitter { return Emitter{socket: s}.Timeout(d) }

// Volatile returns an emitter whose packets are dropped, without an error, rather than queued; see Emitter.Volatile.
func (s *Socket) Volatile() Emitter { return Emitter{socket: s}.Volatile() }

// Compress returns an emitter whose packets are compressed, where the connection does that, or with false are not.
func (s *Socket) Compress(compress bool) Emitter { return Emitter{socket: s}.Compress(compress) }

// Broadcast selects everybody in the namespace but this socket, on all edges (BRO-003).
func (s *Socket) Broadcast() BroadcastOperator { return s.ns.all().Except(s.id) }

// To selects the sockets in any of the rooms, on all edges, but not this one (BRO-006).
func (s *Socket) To(rooms ...string) BroadcastOperator { return s.Broadcast().To(rooms...) }

// In is To.
func (s *Socket) In(rooms ...string) BroadcastOperator { return s.To(rooms...) }

// Except selects the sockets in none of the rooms, on all edges, and not this one.
func (s *Socket) Except(rooms ...string) BroadcastOperator { return s.Broadcast().Except(rooms...) }

// Local selects the sockets that this instance has, but not this one; see BroadcastOperator.Local.
func (s *Socket) Local() BroadcastOperator { return s.Broadcast().Local() }

// Join puts the socket into rooms, where all instances reach it. It returns once that is on its way, like Emit, and what
// this Server does afterwards sees it there. A name that begins like those of the mesh is ErrReservedRoom. After the
// disconnect it returns ErrDisconnected and has no effect (SOC-022); a client that comes back is in no room but its own.
func (s *Socket) Join(rooms ...string) error {
	if err := joinable(rooms); err != nil || len(rooms) == 0 {
		return err
	}
	return s.alter(&wire.Record{Kind: wire.KindJoin, Body: wire.AppendStrings(nil, rooms)}, rooms)
}

// Leave takes the socket out of rooms; unknown ones are ignored (SOC-021), and its own is never left. It returns what Join
// does.
func (s *Socket) Leave(rooms ...string) error {
	if len(rooms) == 0 {
		return nil
	}
	return s.alter(&wire.Record{Kind: wire.KindLeave, Body: wire.AppendStrings(nil, rooms)}, rooms)
}

// Disconnect takes the client out of the namespace, behind everything done to it before; with closeConnection the client
// leaves all namespaces and its connection is closed (SOC-024, SOC-025). Stock clients hear "io server disconnect", and do
// not come back by themselves. The socket is disconnected at once on this side: events that wait are dropped, and the
// disconnect handlers run after the running handler, with the reason "server namespace disconnect". If the socket is not
// connected it does nothing and returns ErrDisconnected; other errors are those of Emit, and then the socket stays.
func (s *Socket) Disconnect(closeConnection bool) error {
	if !s.accepted.Load() {
		return ErrDisconnected
	}
	r := wire.Record{Kind: wire.KindClose}
	if closeConnection {
		r.Flags |= wire.FlagClose
	}
	if err := s.change(&r); err != nil {
		return err
	}
	s.finish(Disconnect{Reason: ReasonServerNamespaceDisconnect}, atOnce)
	return nil
}

// OnDisconnecting adds a handler for the disconnect that runs while the socket is still in its rooms: what it does to them
// reaches the others. Emits to the socket itself return ErrDisconnected. Its panic goes to OnError. It is not called for a
// client that a middleware has refused.
func (s *Socket) OnDisconnecting(f func(Disconnect)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnecting = append(s.disconnecting, f)
}

// OnDisconnect adds a handler for the disconnect, which runs once, after all events and the OnDisconnecting handlers,
// whatever the end was: the client's leave, a lost connection or edge ("transport close"), or the end of this Server if the
// socket is not handed over ("server shutting down"; see OnHandOver). Only the death of this process leaves it out, and handlers that Config.DrainTimeout did not
// suffice for. Its panic goes to OnError.
func (s *Socket) OnDisconnect(f func(Disconnect)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnect = append(s.disconnect, f)
}

// change sends an operation on the socket that has no options.
func (s *Socket) change(r *wire.Record) error {
	_, err := s.operate(context.Background(), r, false)
	return err
}

// operate sends an operation on the socket. It carries the handled mark.
func (s *Socket) operate(ctx context.Context, r *wire.Record, volatile bool) (sent bool, err error) {
	s.sending.RLock()
	defer s.sending.RUnlock()
	return s.put(ctx, r, volatile)
}

// put is operate for who holds sending.
func (s *Socket) put(ctx context.Context, r *wire.Record, volatile bool) (sent bool, err error) {
	if err := s.lost(); err != nil {
		return false, err
	}
	s.address(r)
	before := s.losses()
	if sent, err = s.ns.server.send(ctx, r, volatile); sent {
		s.reports(r.Handled, before)
	}
	return sent, err
}

// address makes r an operation on this socket.
func (s *Socket) address(r *wire.Record) {
	r.Socket, r.Epoch, r.Handled = s.addr, s.epoch, s.handled.Load()
	r.Namespace, r.Partition = s.ns.nameBytes, s.ns.partition
}

// foreign makes r an operation on this socket that does not need to own it.
func (s *Socket) foreign(r wire.Record) *wire.Record {
	r.Flags |= wire.FlagNonOwner
	r.Socket, r.Namespace, r.Partition = s.addr, s.ns.nameBytes, s.ns.partition
	return &r
}

// raise makes v at least n.
func raise(v *atomic.Uint64, n uint64) {
	for old := v.Load(); old < n; old = v.Load() {
		if v.CompareAndSwap(old, n) {
			return
		}
	}
}
