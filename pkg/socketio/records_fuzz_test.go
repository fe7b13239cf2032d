package socketio

import (
	"encoding/json"
	"log/slog"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// FuzzRecords lets edges and rooms send whatever records there may be. What waits for a handler stays within the credit, and
// at the end of its edge a socket ends.
func FuzzRecords(f *testing.F) {
	edge := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.InstanceID([]byte("edge000001"))}
	rooms := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.InstanceID([]byte("rooms00001"))}
	body := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	add := func(records ...*wire.Record) {
		var b []byte
		for i, r := range records {
			r.Namespace, r.Socket, r.Epoch, r.Seq = []byte("/"), wire.SocketAddr{Edge: edge.Instance, Slot: 1, Generation: 1}, 1, uint64(i+1)
			b = r.Append(b)
		}
		f.Add(b)
	}
	connect := &wire.Record{Kind: wire.KindConnect, Body: body(&siomeshv1.Connect{
		SocketId: "id", User: "ann", Data: []byte(`{"a":1}`), Rooms: []string{"r"}, Handshake: &siomeshv1.Handshake{Url: "/"},
	})}
	packet := wire.AppendPacket(nil, wire.Packet{JSON: []byte(`["e",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}})
	names := wire.AppendStrings(nil, []string{"a", "b"})
	add(connect, &wire.Record{Kind: wire.KindEvent, ID: []byte("7"), Body: packet}, &wire.Record{Kind: wire.KindReply, Ack: 1, Body: packet})
	add(connect, &wire.Record{Kind: wire.KindCopy, Body: packet}, &wire.Record{Kind: wire.KindJoined, Op: 3, Body: names})
	add(connect, &wire.Record{Kind: wire.KindDisconnect, Body: body(&siomeshv1.Disconnect{Reason: "transport close", Rooms: []string{"r"}})})
	add(&wire.Record{Kind: wire.KindConfirm, Op: 5}, &wire.Record{Kind: wire.KindOpFailed, Op: 6, Body: []byte("why")}, &wire.Record{Kind: wire.KindGone})
	add(connect, &wire.Record{Kind: wire.KindEdgeEnded, Lease: 1, Body: []byte("edge000001")}, connect)
	f.Fuzz(func(t *testing.T, data []byte) {
		b := bus.NewMemory()
		defer b.Close()
		cfg, err := Config{App: "test", Log: slog.New(slog.DiscardHandler)}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		self := mesh.Address{Kind: mesh.KindApp, App: cfg.App, Instance: mesh.NewInstanceID()}
		s := newServer(cfg, mesh.Subjects{}, self, b, func() {}, fast(), link.Config{})
		s.phase = running
		s.workers.closed = true // no handler runs
		h := receiver{server: s}
		connects := 0
		for n := 0; len(data) > 0 && n < 256; n++ {
			var r wire.Record
			rest, err := r.Parse(data)
			if err != nil {
				break
			}
			data = rest
			from := edge
			switch r.Kind {
			case wire.KindConfirm, wire.KindOpFailed, wire.KindGone, wire.KindEdgeEnded, wire.KindAskEdges:
				from = rooms
			case wire.KindConnect:
				connects++
			default:
			}
			if h.Record(from, &r) != nil {
				h.Opened(from) // the link is broken, and another begins
			}
		}
		sockets := s.sockets.all(mesh.InstanceID{})
		if len(sockets) > connects {
			t.Errorf("%d sockets of %d connects", len(sockets), connects)
		}
		s.edgeEnded(edge.Instance, everyLease)
		for _, socket := range sockets {
			in := &socket.inbox
			if in.end == nil && socket.addr.Edge == edge.Instance {
				t.Error("a socket has not ended with its edge")
			}
			if n := len(in.jobs) - in.copies; n > creditPackets+1 || in.copies > maxCopies {
				t.Errorf("%d jobs and %d copies wait", n, in.copies)
			}
			for _, j := range in.jobs {
				if !j.connect {
					_, _, _ = decodeEvent(nil, j.body) // an error is for the handler of errors
				}
			}
		}
	})
}

// FuzzData reads whatever auth may have given as the data of a socket: it is the object that encoding/json reads.
func FuzzData(f *testing.F) {
	for _, text := range []string{`{"a":1,"b":{"c":[]}}`, ` {} `, `null`, `[]`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		data, err := parseData(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(data)
		if err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		second, err := parseData(again)
		if err != nil || len(second) != len(data) {
			t.Errorf("%s became %s: %v", raw, again, err)
		}
	})
}
