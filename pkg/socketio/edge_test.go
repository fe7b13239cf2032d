package socketio

import (
	"cmp"
	"log/slog"
	"slices"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func textsOf(list [][]byte) (texts []string) {
	for _, b := range list {
		texts = append(texts, string(b))
	}
	return texts
}

// presence has an instance say that it is there, until the returned function is called.
func (r *ring) presence(self mesh.Address) (stop func()) {
	return background(r.tb, presence.New(r.b, mesh.Subjects{}, self, nil, slog.New(slog.DiscardHandler), fast()).Run)
}

// peerChanged does as an edge does when an instance drains.
func (r *ring) peerChanged(_ presence.Change, p presence.Peer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p.Kind != mesh.KindApp || !p.Info.GetDraining() || len(p.Info.GetNamespaces()) == 0 || r.keeps {
		return
	}
	for _, c := range r.clients {
		if c.app == p.Address {
			c.send(wire.Record{Kind: wire.KindDetach, Flags: wire.FlagControl}, nil)
		}
	}
	l := r.edge.Link(p.Address)
	if _, err := l.Append(&wire.Record{Kind: wire.KindDetach, Flags: wire.FlagControl}); err != nil {
		r.tb.Logf("no more sockets: %v", err)
	}
	l.Flush()
}

// answer has an edge answer queries, two sockets a page.
func (r *ring) answer(edge mesh.Address) {
	requests := r.b.NewReceiver(bus.Control, 16)
	if err := requests.Subscribe(mesh.Subjects{}.RPC(edge), "", r.page); err != nil {
		r.tb.Fatal(err)
	}
	background(r.tb, requests.Run)
}

func (r *ring) page(m bus.Msg) {
	var request siomeshv1.EdgeRequest
	if err := proto.Unmarshal(m.Data, &request); err != nil {
		r.tb.Errorf("query: %v", err)
	}
	q := request.GetSockets()
	reply := &siomeshv1.EdgeReply{}
	r.mu.Lock()
	clients := make([]*client, 0, len(r.clients))
	for _, c := range r.clients {
		clients = append(clients, c)
	}
	slices.SortFunc(clients, func(a, b *client) int { return cmp.Compare(a.addr.Slot, b.addr.Slot) })
	for _, c := range clients {
		slot := uint64(c.addr.Slot)
		if slot < q.GetAfter() || !c.selected(request.GetNamespace(), textsOf(q.GetRooms()), textsOf(q.GetExcept())) {
			continue
		}
		if len(reply.Sockets) == 2 {
			reply.Next = slot
			break
		}
		reply.Sockets = append(reply.Sockets, c.describe(q))
	}
	r.mu.Unlock()
	if request.GetNamespace() == "/broken" {
		reply = &siomeshv1.EdgeReply{Error: &siomeshv1.Error{Code: "too_large", Message: "a socket"}}
	}
	data, err := proto.Marshal(reply)
	if err == nil {
		err = r.b.Respond(m, data)
	}
	if err != nil {
		r.tb.Errorf("answer: %v", err)
	}
}

// describe returns what is wanted. The caller holds ring.mu.
func (c *client) describe(q *siomeshv1.SocketsQuery) *siomeshv1.SocketInfo {
	info := &siomeshv1.SocketInfo{Id: c.id, User: "u"}
	if q.GetJoined() {
		info.Rooms = append(info.Rooms, []byte(c.id))
		for room, in := range c.rooms {
			if in {
				info.Rooms = append(info.Rooms, []byte(room))
			}
		}
	}
	if q.GetHandshake() {
		info.Handshake = &siomeshv1.Handshake{Auth: []byte(`{"token":"t"}`)}
	}
	if q.GetData() {
		info.Data = []byte("{}")
		if v, ok := c.data["k"]; ok {
			info.Data = []byte(`{"k":` + v + `}`)
		}
	}
	if q.GetConnection() {
		info.Connection = &siomeshv1.ConnectionInfo{Transport: "websocket", Upgraded: true, Protocol: 4, Address: "192.0.2.1"}
	}
	return info
}

// toAll does as rooms and an edge do with an operation on all selected sockets. The caller holds ring.mu.
func (r *ring) toAll(rec *wire.Record) error {
	s, rest, err := wire.ParseSelector(rec.Body)
	if err != nil {
		return err
	}
	var rooms []string
	if rec.Kind != wire.KindCloseAll {
		if rooms, err = wire.ParseStrings(rest); err != nil {
			return err
		}
	}
	var selected []*client
	for _, c := range r.clients {
		if c.selected(string(rec.Namespace), s.Rooms, s.Except) {
			selected = append(selected, c)
		}
	}
	for _, c := range selected {
		if rec.Kind == wire.KindCloseAll {
			if err := c.apply(&wire.Record{Kind: wire.KindClose, Flags: rec.Flags, Epoch: c.epoch}); err != nil {
				return err
			}
			continue
		}
		tell := wire.Record{Kind: wire.KindJoined, Flags: wire.FlagControl, Op: c.moved, Partition: rec.Partition}
		if rec.Kind == wire.KindLeaveAll {
			tell.Kind = wire.KindLeft
		}
		for _, room := range rooms {
			c.rooms[room] = rec.Kind == wire.KindJoinAll
		}
		tell.Body = wire.AppendStrings(nil, rooms)
		c.send(tell, nil)
	}
	return nil
}
