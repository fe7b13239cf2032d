package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Sockets returns the connected sockets of the namespace that this instance has, in no order, without asking anybody; see
// FetchSockets for all.
func (n *Namespace) Sockets() []*Socket { return n.all().Local().ours() }

// ours returns the selected sockets that this instance has.
func (b BroadcastOperator) ours() []*Socket {
	covers := func(n *Namespace) bool { return n.name == b.namespace.name }
	if b.parent != nil {
		children := map[*Namespace]bool{}
		for _, n := range b.parent.Children() {
			children[n] = true
		}
		covers = func(n *Namespace) bool { return children[n] }
	}
	var sockets []*Socket
	for _, s := range b.server().sockets.all(mesh.InstanceID{}) {
		if covers(s.ns) && s.Connected() && s.isIn(b.rooms, b.except) {
			sockets = append(sockets, s)
		}
	}
	return sockets
}

// isIn reports whether the socket is in one of the rooms, if there are any, and in none of the excepted ones.
func (s *Socket) isIn(rooms, except []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := func(room string) bool {
		_, joined := s.rooms[room]
		return joined || room == s.id || s.user != "" && room == wire.UserRoom(s.user)
	}
	return (len(rooms) == 0 || slices.ContainsFunc(rooms, in)) && !slices.ContainsFunc(except, in)
}

// SocketsJoin puts the selected sockets into rooms, wherever they are. What this Server does afterwards sees them there
// (BRO-024, CLU-011); sockets that connect later are not concerned. It returns what Emit returns, and ErrReservedRoom.
func (b BroadcastOperator) SocketsJoin(rooms ...string) error {
	if err := joinable(rooms); err != nil {
		return err
	}
	return b.change(wire.KindJoinAll, rooms, func(s *Socket) error { return s.Join(rooms...) })
}

// SocketsLeave takes the selected sockets out of rooms, wherever they are (BRO-025, CLU-012); see SocketsJoin.
func (b BroadcastOperator) SocketsLeave(rooms ...string) error {
	return b.change(wire.KindLeaveAll, rooms, func(s *Socket) error { return s.Leave(rooms...) })
}

// change sends a change of rooms of all selected sockets; if these are local ones it is done to each.
func (b BroadcastOperator) change(kind wire.Kind, rooms []string, each func(*Socket) error) error {
	if len(rooms) == 0 {
		return nil
	}
	if b.local {
		return b.forEach(each)
	}
	body := wire.AppendSelector(nil, wire.Selector{Rooms: b.rooms, Except: b.except})
	return b.operate(wire.Record{Kind: kind, Body: wire.AppendStrings(body, rooms)})
}

// DisconnectSockets takes the selected sockets out of the namespace, behind everything done to them before (BRO-026,
// CLU-013, CLU-014); with closeConnections their clients leave all namespaces and their connections are closed. Stock
// clients hear "io server disconnect", and do not come back by themselves. It returns what Emit returns.
func (b BroadcastOperator) DisconnectSockets(closeConnections bool) error {
	if b.local {
		return b.forEach(func(s *Socket) error { return s.Disconnect(closeConnections) })
	}
	r := wire.Record{Kind: wire.KindCloseAll, Body: wire.AppendSelector(nil, wire.Selector{Rooms: b.rooms, Except: b.except})}
	if closeConnections {
		r.Flags |= wire.FlagClose
	}
	return b.operate(r)
}

// forEach does something to every selected socket of this instance. One that has left or moved meanwhile is
// no error.
func (b BroadcastOperator) forEach(each func(*Socket) error) error {
	if err := b.server().usable(); err != nil {
		return err
	}
	var failures []error
	for _, s := range b.ours() {
		if err := each(s); err != nil && !isLost(err) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// Counts returns how many sockets of the namespace are in each of the rooms, after everything this Server did to it before.
// The context is that of Count.
func (n *Namespace) Counts(ctx context.Context, rooms ...string) (map[string]int, error) {
	reply, err := n.server.query(ctx, n, &siomeshv1.RoomsRequest{
		Query: &siomeshv1.RoomsRequest_Counts{Counts: &siomeshv1.CountsQuery{Rooms: bytesOf(rooms)}},
	})
	if err == nil && len(reply.GetCounts()) != len(rooms) {
		err = fmt.Errorf("rooms answers %d counts for %d rooms", len(reply.GetCounts()), len(rooms))
	}
	if err != nil {
		return nil, fmt.Errorf("count sockets in rooms of namespace %.80q: %w", n.name, err)
	}
	counts := make(map[string]int, len(rooms))
	for i, room := range rooms {
		counts[room] = int(reply.GetCounts()[i]) //nolint:gosec // a number of sockets
	}
	return counts, nil
}
