package edge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func toAll(kind wire.Kind, flags wire.Flags, s wire.Selector, rooms ...string) *wire.Record {
	body := wire.AppendSelector(nil, s)
	if kind != wire.KindCloseAll {
		body = wire.AppendStrings(body, rooms)
	}
	return &wire.Record{Kind: kind, Flags: flags, Body: body}
}

// TestOperationsOnAll checks joins, leaves and closes by selector, and what the owners are told.
func TestOperationsOnAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/other")
		a := w.join("/")
		of, first := app.connect()
		b := w.join("/", "/other")
		app.records()
		one := wire.Selector{Rooms: []string{first.GetSocketId()}}
		own := &wire.Record{Kind: wire.KindJoin, Op: 5, Body: wire.AppendStrings(nil, []string{"x"})}
		app.op(of, own)
		w.ring.append(w.edge.Self(), &wire.Record{ // as from the API
			Kind: wire.KindJoin, Flags: wire.FlagNonOwner, Socket: of.Socket, Namespace: of.Namespace, Body: wire.AppendStrings(nil, []string{"api"}),
		})
		raw := func(r *wire.Record) *wire.Record { r.Namespace = []byte("/"); return r }
		w.ring.append(w.edge.Self(),
			raw(toAll(wire.KindJoinAll, 0, wire.Selector{}, "x", "y")),
			raw(toAll(wire.KindLeaveAll, 0, one, "x", "none")),
			raw(broadcast(0, wire.Selector{Rooms: []string{"x"}}, `["in x"]`)),
			raw(broadcast(0, wire.Selector{Rooms: []string{"y"}}, `["in y"]`)),
		)
		a.expect(`42["in y"]`)
		b.expect(`42["in x"]`, `42["in y"]`)
		told := map[string]int{}
		for _, r := range app.records() {
			rooms, err := wire.ParseStrings(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			who := "b"
			if r.Socket == of.Socket {
				who = "a"
			}
			told[fmt.Sprint(who, " ", r.Kind, rooms, r.Op)]++
		}
		for _, want := range []string{ // a was in x by its owner's operation 5
			"a 7 [api] 5", "a 7 [y] 5", "b 7 [x y] 0", "a 8 [x] 5",
		} {
			if told[want] != 1 {
				t.Errorf("told %v, want %s once", told, want)
			}
			delete(told, want)
		}
		if len(told) > 0 {
			t.Errorf("told %v too", told)
		}
		w.ring.append(w.edge.Self(), raw(toAll(wire.KindCloseAll, 0, one)))
		a.expect("41")
		a.wantOpen()
		if d := disconnect(t, &app.expect(wire.KindDisconnect)[0]); d.GetReason() != reasonServerDisconnect { // BRO-026
			t.Errorf("got %v", d)
		}
		w.ring.append(w.edge.Self(), raw(toAll(wire.KindCloseAll, wire.FlagClose, wire.Selector{})))
		b.expect("41", "41/other,")
		b.wantClosed()
		app.expect(wire.KindDisconnect, wire.KindDisconnect)
		if n := len(w.edge.table.all()); n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	})
}

// TestLocalBroadcast checks that it reaches the sockets of the instance that makes it.
func TestLocalBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		a := w.join("/")
		of, _ := app.connect()
		local := broadcast(wire.FlagLocal, wire.Selector{}, `["e"]`)
		app.do(of, local)
		a.expect(`42["e"]`) // CLU-004
		foreign := broadcast(wire.FlagLocal, wire.Selector{}, `["e"]`)
		foreign.Namespace, foreign.Origin = []byte("/"), mesh.NewInstanceID()
		w.ring.append(w.edge.Self(), foreign)
		a.expect()
	})
}

func (w *world) ask(q *siomeshv1.EdgeRequest) *siomeshv1.EdgeReply {
	w.tb.Helper()
	data, err := proto.Marshal(q)
	if err != nil {
		w.tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	answer, err := w.bus.Request(ctx, mesh.Subjects{}.RPC(w.edge.Self()), data)
	if err != nil {
		w.tb.Fatalf("ask: %v", err)
	}
	reply := &siomeshv1.EdgeReply{}
	if err := proto.Unmarshal(answer, reply); err != nil {
		w.tb.Fatal(err)
	}
	return reply
}

func sockets(q *siomeshv1.SocketsQuery) *siomeshv1.EdgeRequest {
	return &siomeshv1.EdgeRequest{Namespace: "/", Query: &siomeshv1.EdgeRequest_Sockets{Sockets: q}}
}

func TestSocketsQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		w.newRing(1)
		w.auth(func(authn.ConnectRequest) string { return `{"allow":true,"user":"u1","data":{"n":1}}` })
		w.pass(time.Second)
		app := w.newApp(true, "/", "/other")
		c := w.open()
		c.send(`40{"token":"t"}`)
		w.settle()
		of, connect := app.connect()
		app.do(of,
			&wire.Record{Kind: wire.KindJoin, Body: wire.AppendStrings(nil, []string{"\xff", "a"})},
			&wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, []string{"k", `"<v>"`, "broken", "{"})})
		w.join("/other", "/")
		got := w.ask(sockets(&siomeshv1.SocketsQuery{
			Rooms: [][]byte{[]byte("\xff"), []byte("a")}, Handshake: true, Data: true, Joined: true, Connection: true,
		}))
		if len(got.GetSockets()) != 1 || got.GetNext() != 0 || got.GetError() != nil {
			t.Fatalf("got %v", got)
		}
		s := got.GetSockets()[0]
		if s.GetId() != connect.GetSocketId() || s.GetUser() != "u1" || string(s.GetHandshake().GetAuth()) != `{"token":"t"}` ||
			s.GetHandshake().GetQuery()["token"] != "a b" || len(s.GetRooms()) != 3 || string(s.GetRooms()[2]) != "\xff" ||
			s.GetConnection().GetTransport() != "websocket" || s.GetConnection().GetProtocol() != 4 { // CLU-016
			t.Errorf("got %v", s)
		}
		if s.GetData() != nil { // the app has set what is no JSON
			t.Errorf("got data %s", s.GetData())
		}
		app.do(of, &wire.Record{Kind: wire.KindData, Body: wire.AppendStrings(nil, []string{"broken", ""})})
		all := w.ask(sockets(&siomeshv1.SocketsQuery{Data: true}))
		if n := len(all.GetSockets()); n != 2 || string(all.GetSockets()[0].GetData()) != `{"k":"<v>","n":1}` || all.GetSockets()[0].GetHandshake() != nil {
			t.Errorf("got %v", all)
		}
		rest := w.ask(sockets(&siomeshv1.SocketsQuery{Except: [][]byte{[]byte("a")}}))
		if len(rest.GetSockets()) != 1 || rest.GetSockets()[0].GetId() == connect.GetSocketId() {
			t.Errorf("got %v", rest)
		}
		if e := w.ask(&siomeshv1.EdgeRequest{Namespace: "/"}).GetError(); e.GetCode() != "bad_request" {
			t.Errorf("got %v", e)
		}
	})
}

// TestPages checks that pages hold each socket once, whatever they select.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		big := wire.AppendStrings(nil, []string{"k", `"` + strings.Repeat("x", maxPage/2) + `"`})
		for range 5 {
			w.join("/")
			of, _ := app.connect()
			app.do(of, &wire.Record{Kind: wire.KindData, Body: big}, &wire.Record{Kind: wire.KindJoin, Body: wire.AppendStrings(nil, []string{"r"})})
		}
		for _, rooms := range [][][]byte{nil, {[]byte("r")}} {
			seen, pages := map[string]bool{}, 0
			for q := (&siomeshv1.SocketsQuery{Rooms: rooms, Data: true}); pages == 0 || q.GetAfter() > 0; pages++ {
				reply := w.ask(sockets(q))
				for _, s := range reply.GetSockets() {
					if seen[s.GetId()] {
						t.Errorf("%s twice", s.GetId())
					}
					seen[s.GetId()] = true
				}
				q.After = reply.GetNext()
			}
			if len(seen) != 5 || pages != 3 {
				t.Errorf("rooms %q: got %d sockets in %d pages, want 5 in 3", rooms, len(seen), pages)
			}
		}
	})
}
