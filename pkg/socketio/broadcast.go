package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// BroadcastOperator selects sockets of one namespace, or of the children of a parent, on all edges, for one or many broadcasts. It is a value: every method
// returns a new one and leaves it as it was, so it may be kept and shared (BRO-009).
type BroadcastOperator struct {
	namespace     *Namespace
	parent        *ParentNamespace // instead of namespace: all its children
	rooms, except []string
	volatile      bool
	flags         wire.Flags
	local         bool
	timeout       time.Duration
	timed         bool
}

// To adds rooms: a socket in any of them is selected, once (BRO-005). Every socket id is a room. Without rooms everybody in
// the namespace is selected.
func (b BroadcastOperator) To(rooms ...string) BroadcastOperator {
	b.rooms = slices.Concat(b.rooms, rooms)
	return b
}

// In is To.
func (b BroadcastOperator) In(rooms ...string) BroadcastOperator { return b.To(rooms...) }

// Except adds rooms whose sockets are not selected, even if To names them too (BRO-007, BRO-008).
func (b BroadcastOperator) Except(rooms ...string) BroadcastOperator {
	b.except = slices.Concat(b.except, rooms)
	return b
}

// Local selects only sockets that this instance has, on whatever edges their clients are (CLU-004, CLU-017). Those of a
// program that never calls Run are none.
func (b BroadcastOperator) Local() BroadcastOperator {
	b.local = true
	b.flags |= wire.FlagLocal
	return b
}

// Timeout bounds what waits for answers: EmitWithAck, EachAck, Count, FetchSockets, SocketIDs and EachSocket, in place of
// Config.EmitTimeout. What does not wait it does not change.
func (b BroadcastOperator) Timeout(d time.Duration) BroadcastOperator {
	b.timeout, b.timed = d, true
	return b
}

// Volatile lets the packet be dropped, without an error: for each client that cannot take it at once, and as a whole while
// the window of operations is full or no rooms service is known.
func (b BroadcastOperator) Volatile() BroadcastOperator {
	b.volatile = true
	return b
}

// Compress has the packets compressed, which is the default where a connection does that, or with false not (BRO-012).
func (b BroadcastOperator) Compress(compress bool) BroadcastOperator {
	b.flags = compressed(b.flags, compress)
	return b
}

// Send is Emit of the event "message" (SOC-003).
func (b BroadcastOperator) Send(args ...any) error { return b.Emit(message, args...) }

// Emit sends an event to the selected sockets, wherever they are. It returns once the operation is in the window; the error
// tells a reserved name, what cannot be encoded, a packet too large, and a wait longer than Config.EmitTimeout. Later
// failures go to OnError and Flush. Who is selected is decided where all operations pass in order: after all that this
// Server did before, so a socket that it had join gets the event. A client that connects later, or comes back, does not.
func (b BroadcastOperator) Emit(event string, args ...any) error {
	s := b.server()
	body := s.encoder.body()
	defer s.encoder.release(body)
	encoded := wire.AppendSelector(*body, wire.Selector{Rooms: b.rooms, Except: b.except})
	encoded, err := s.encoder.event(encoded, event, args)
	*body = encoded
	if err != nil {
		return err
	}
	return b.operate(wire.Record{Kind: wire.KindBroadcast, Flags: b.flags, Body: encoded})
}

func (b BroadcastOperator) server() *Server {
	if b.parent != nil {
		return b.parent.server
	}
	return b.namespace.server
}

// operate sends an operation to the namespace, or to each child of the parent.
func (b BroadcastOperator) operate(r wire.Record) error {
	if b.parent == nil {
		return b.operateOn(b.namespace, r)
	}
	if err := b.parent.server.usable(); err != nil {
		return err // there may be no children
	}
	var failures []error
	for _, n := range b.parent.Children() {
		failures = append(failures, b.operateOn(n, r))
	}
	return errors.Join(failures...)
}

func (b BroadcastOperator) operateOn(n *Namespace, r wire.Record) error {
	r.Namespace, r.Partition = n.nameBytes, n.partition
	_, err := n.server.send(n.context(), &r, b.volatile)
	return err
}

// child is the same selection in a child of the parent.
func (b BroadcastOperator) child(n *Namespace) BroadcastOperator {
	b.parent, b.namespace = nil, n
	return b
}

// Count returns how many sockets are selected now, on all edges, after everything this Server did to the namespace before.
// If ctx has no deadline, Config.EmitTimeout bounds the wait; without a rooms service it returns ErrNoRooms, after a
// timeout ErrTimeout. For a parent it is the sum over the children that this instance knows, one after the other.
func (b BroadcastOperator) Count(ctx context.Context) (int, error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	if b.local {
		return len(b.ours()), b.server().usable()
	}
	if b.parent == nil {
		return b.count(ctx)
	}
	sum := 0
	for _, n := range b.parent.Children() {
		count, err := b.child(n).count(ctx)
		if err != nil {
			return 0, err
		}
		sum += count
	}
	return sum, b.server().usable()
}

func (b BroadcastOperator) count(ctx context.Context) (int, error) {
	n := b.namespace
	reply, err := n.server.query(ctx, n, &siomeshv1.RoomsRequest{
		Query: &siomeshv1.RoomsRequest_Count{Count: &siomeshv1.CountQuery{Rooms: bytesOf(b.rooms), Except: bytesOf(b.except)}},
	})
	if err != nil {
		return 0, fmt.Errorf("count sockets of namespace %.80q: %w", n.name, err)
	}
	return int(reply.GetCount()), nil //nolint:gosec // a number of sockets
}
