package rooms

import (
	"log/slog"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// FuzzRecords gives rooms whatever records an app may send about sockets of two edges, and an edge may send; at the end of
// the edges nothing of it is left.
func FuzzRecords(f *testing.F) {
	edges := [2]mesh.Address{
		{Kind: mesh.KindEdge, Instance: mesh.InstanceID([]byte("edge000001"))},
		{Kind: mesh.KindEdge, Instance: mesh.InstanceID([]byte("edge000002"))},
	}
	accept, err := proto.Marshal(&siomeshv1.Accept{SocketId: "id", User: "ann", Rooms: []string{"early"}})
	if err != nil {
		f.Fatal(err)
	}
	addr := wire.SocketAddr{Edge: edges[0].Instance, Slot: 1, Generation: 1}
	add := func(records ...wire.Record) {
		var b []byte
		for i, r := range records {
			r.Namespace, r.Partition, r.Op = []byte("/"), mesh.Partition("/"), uint64(i+1)
			b = r.Append(b)
		}
		f.Add(b)
	}
	join := wire.Record{Kind: wire.KindJoin, Socket: addr, Body: wire.AppendStrings(nil, []string{"a", "b"})}
	leave := wire.Record{Kind: wire.KindLeave, Socket: addr, Body: wire.AppendStrings(nil, []string{"a"})}
	broadcast := wire.Record{
		Kind: wire.KindBroadcast,
		Body: wire.AppendPacket(wire.AppendSelector(nil, wire.Selector{Rooms: []string{"b"}, Except: []string{"c"}}), wire.Packet{JSON: []byte(`["e"]`)}),
	}
	add(join, wire.Record{Kind: wire.KindAccept, Socket: addr, Body: accept}, leave, broadcast)
	add(wire.Record{Kind: wire.KindAccept, Socket: addr, Body: accept}, broadcast, wire.Record{Kind: wire.KindClose, Socket: addr}, join)
	add(wire.Record{Kind: wire.KindGone, Socket: addr}, wire.Record{Kind: wire.KindHello, Lease: 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bus.NewMemory()
		defer b.Close()
		s := New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{Metrics: &Metrics{}})
		s.owning = true
		for _, e := range edges {
			if err := s.Record(e, &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 1}); err != nil {
				t.Fatal(err)
			}
		}
		app := mesh.Address{Kind: mesh.KindApp, App: "a", Instance: mesh.NewInstanceID()}
		for n := 0; len(data) > 0 && n < 64; n++ {
			var r wire.Record
			rest, err := r.Parse(data)
			if err != nil {
				break
			}
			data = rest
			from := app
			if r.Kind == wire.KindGone || r.Kind == wire.KindHello {
				from = edges[n%2]
			}
			if s.Record(from, &r) != nil {
				s.Opened(from) // its link is broken, and another begins
			}
			s.EndFrame()
		}
		for id, e := range s.index.edges {
			if len(e.sockets) > 64 {
				t.Errorf("%d sockets of 64 records", len(e.sockets))
			}
			if s.edgeEnded(e); s.index.edges[id] != nil {
				t.Errorf("edge %s has not ended", id)
			}
		}
		if n := len(s.index.namespaces); n != 0 {
			t.Errorf("%d namespaces without an edge", n)
		}
	})
}

// FuzzRequest asks rooms whatever may come as a query; every question is answered or waits.
func FuzzRequest(f *testing.F) {
	for _, q := range []*siomeshv1.RoomsRequest{
		{Namespace: "/", Query: &siomeshv1.RoomsRequest_Count{Count: &siomeshv1.CountQuery{Rooms: [][]byte{[]byte("a")}, Except: [][]byte{[]byte("b")}}}},
		{Namespace: "/", Instance: "0123456789", Operation: 3},
		{Instance: "x", Operation: 1},
	} {
		b, err := proto.Marshal(q)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bus.NewMemory()
		defer b.Close()
		s := New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{Metrics: &Metrics{}})
		s.owning = true
		var q siomeshv1.RoomsRequest
		if proto.Unmarshal(data, &q) != nil {
			return
		}
		s.query(bus.Msg{Subject: "q", Data: data}, &q)
		if len(s.origins) > 1 {
			t.Errorf("one query introduced %d instances", len(s.origins))
		}
	})
}
