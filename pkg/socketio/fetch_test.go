package socketio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func ids(sockets []*RemoteSocket) (list []string) {
	for _, s := range sockets {
		list = append(list, s.ID())
	}
	slices.Sort(list)
	return list
}

func TestFetchSockets(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	_ = s.Of("/other")
	var all []string
	clients := map[string]*client{}
	mine := map[string]*Socket{}
	for range 5 {
		c := r.join(s, "/")
		all, clients[c.id] = append(all, c.id), c
		mine[c.id] = receive(t, "the socket", sockets)
	}
	first := mine[all[0]]
	if err := errors.Join(first.Join("a", "\xff"), first.Data().Set("k", 7), mine[all[1]].Join("a")); err != nil {
		t.Fatal(err)
	}
	got, err := s.FetchSockets(t.Context())
	if err != nil || !slices.Equal(ids(got), all) { // BRO-022, in three pages
		t.Errorf("got %v, %v, want %v", ids(got), err, all)
	}
	got, err = s.To("a").Except(all[1]).FetchSockets(t.Context()) // BRO-022; it comes after Join and Set
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", ids(got), err)
	}
	one := got[0]
	var k int
	if found, err := one.Data().Get("k", &k); one.ID() != all[0] || one.User() != "u" || one.Namespace() != s.Of("/") || // BRO-023, CLU-016
		len(one.Rooms()) != 3 || !slices.Contains(one.Rooms(), "\xff") || one.Handshake().Auth.Get("token") != "t" ||
		!found || err != nil || k != 7 || text(t, one.Data()) != `{"k":7}` || !slices.Equal(one.Data().Keys(), []string{"k"}) {
		t.Errorf("got %+v", one)
	}
	if found, err := one.Data().Get("none", &k); found || err != nil {
		t.Errorf("got none: %v, %v", found, err)
	}
	if got, err := s.In(all[2]).FetchSockets(t.Context()); err != nil || !slices.Equal(ids(got), all[2:3]) { // by id
		t.Errorf("got %v, %v", ids(got), err)
	}
	if got, err := s.SocketIDs(t.Context()); err != nil || !slices.Equal(got, all) { // NSP-016
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := s.To("a").SocketIDs(t.Context()); err != nil || !slices.Equal(got, all[:2]) { // NSP-016
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := s.To("none").FetchSockets(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", ids(got), err)
	}
	n := 0
	for one, err := range s.Of("/").EachSocket(t.Context(), WithRooms) {
		if err != nil || len(one.Rooms()) == 0 || len(one.Data().Keys()) > 0 || one.Handshake().Auth.JSON() != nil {
			t.Errorf("got %+v, %v", one, err)
		}
		if n++; n == 3 {
			break
		}
	}
	counts, err := s.Counts(t.Context(), "a", "none", all[0])
	if want := fmt.Sprint(map[string]int{"a": 2, "none": 0, all[0]: 1}); err != nil || fmt.Sprint(counts) != want {
		t.Errorf("got %v, %v, want %s", counts, err, want)
	}
	if err := errors.Join(one.Emit("e", 1), one.Send(2), one.Join("b"), one.Leave("a")); err != nil {
		t.Fatal(err)
	}
	c := clients[one.ID()]
	for _, want := range []string{"24e 1", "24message 2"} {
		if got := c.expect(wire.KindBroadcast).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	eventually(t, "the owner hears of it", func() bool { return slices.Equal(first.Rooms(), []string{first.ID(), "b", "\xff"}) })
	if err := one.Disconnect(false); err != nil {
		t.Fatal(err)
	}
	c.expect(wire.KindClose)
	eventually(t, "the owner's disconnect", func() bool { return !first.Connected() })
}

// TestRoomsOfAnyBytes: a room's name need not be UTF-8.
func TestRoomsOfAnyBytes(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	if err := errors.Join(socket.Join("\xff"), flushAll(t, s)); err != nil { // the double answers out of order
		t.Fatal(err)
	}
	n, err := s.In("\xff").Count(t.Context())
	none, failed := s.Except("\xff").Count(t.Context())
	if err = errors.Join(err, failed); n != 1 || none != 0 || err != nil {
		t.Errorf("counted %d and %d, %v", n, none, err)
	}
	counts, err := s.Counts(t.Context(), "\xff")
	found, failed := s.In("\xff").FetchSockets(t.Context())
	if err = errors.Join(err, failed); counts["\xff"] != 1 || len(found) != 1 || err != nil || !slices.Contains(found[0].Rooms(), "\xff") {
		t.Errorf("got %v, %d sockets, %v", counts, len(found), err)
	}
}

// TestSlowWalk: who takes long over each socket has the time, unless it was bounded.
func TestSlowWalk(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.EmitTimeout = time.Second })
	_ = s.OnConnection(nothing)
	run(t, s)
	for range 5 { // three pages
		r.join(s, "/")
	}
	walk := func(of BroadcastOperator) (n int, failure error) {
		for _, err := range of.EachSocket(t.Context(), 0) {
			if err != nil {
				return n, err
			}
			n++
			<-time.After(s.cfg.EmitTimeout * 6 / 10) // longer than it for a page
		}
		return n, nil
	}
	var both sync.WaitGroup // they take long
	both.Go(func() {
		if n, err := walk(s.Of("/").all()); n != 5 || err != nil {
			t.Errorf("got %d sockets, %v", n, err)
		}
	})
	both.Go(func() {
		if n, err := walk(s.Timeout(s.cfg.EmitTimeout)); n != 2 || !errors.Is(err, ErrTimeout) {
			t.Errorf("bounded: got %d sockets, %v", n, err)
		}
	})
	both.Wait()
}

func TestLocalSockets(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	other, _ := r.serverFor()
	if err := errors.Join(socket.Join("a"), socket.Data().Set("k", "v"), flushAll(t, s)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "rooms is known", func() bool { n, err := other.Count(t.Context()); return n == 1 && err == nil })
	for name, c := range map[string]struct {
		io   *Server
		want int
	}{"owner": {s, 1}, "other": {other, 0}} { // CLU-017
		local := c.io.Local().To("a")
		got, err := local.FetchSockets(t.Context())
		n, failed := local.Count(t.Context())
		if len(got) != c.want || n != c.want || errors.Join(err, failed) != nil || len(c.io.Sockets()) != c.want {
			t.Errorf("%s: got %d sockets, count %d, %v, %v", name, len(got), n, err, failed)
		}
		if len(got) == 1 && (text(t, got[0].Data()) != `{"k":"v"}` || got[0].Handshake().Auth.Get("token") != "t" || len(got[0].Rooms()) != 2) {
			t.Errorf("got %+v", got[0])
		}
		if n, err := c.io.Local().Except("a").Count(t.Context()); n != 0 || err != nil {
			t.Errorf("%s: got %d, %v", name, n, err)
		}
		if err := errors.Join(local.SocketsJoin("from "+name), local.SocketsLeave("none"), local.Emit(name), c.io.Local().Except(socket.ID()).DisconnectSockets(true)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := socket.Local().Count(t.Context()); n != 0 || err != nil { // all but itself
		t.Errorf("got %d, %v", n, err)
	}
	if got, want := socket.Rooms(), []string{socket.ID(), "a", "from owner"}; !slices.Equal(got, want) {
		t.Errorf("got rooms %v, want %v", got, want)
	}
	for range 2 { // CLU-004: the edge knows whose they are
		if p := c.expect(wire.KindBroadcast); p.flags&wire.FlagLocal == 0 {
			t.Errorf("got %v, flags %b", p, p.flags)
		}
	}
	if err := s.Local().DisconnectSockets(false); err != nil || len(s.Sockets()) > 0 {
		t.Errorf("got %v, %d sockets", err, len(s.Sockets()))
	}
	c.expect(wire.KindClose)
}

func TestSocketsMissingInMiddleware(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.Use(func(context.Context, *Socket) error {
		if n := len(s.Sockets()); n != 0 { // MID-007
			t.Errorf("got %d sockets", n)
		}
		return nil
	})
	joined := make(chan int, 1)
	_ = s.OnConnection(func(*Socket) { joined <- len(s.Sockets()) })
	run(t, s)
	r.join(s, "/")
	if n := receive(t, "the connection", joined); n != 1 { // MID-007
		t.Errorf("got %d sockets, want 1", n)
	}
}

// TestSocketsHaveWhoJoined: who tells others that it has joined is found here, and gets what is done to it from then on.
func TestSocketsHaveWhoJoined(t *testing.T) {
	const clients = 500
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.OnConnection(nothing)
	run(t, s)
	told := make(chan *client, clients)
	r.accept = func(c *client) {
		if !slices.ContainsFunc(s.Sockets(), func(s *Socket) bool { return s.ID() == c.id }) {
			t.Errorf("%s has joined and is not among the sockets", c.id)
		}
		told <- c
	}
	for range clients {
		c := r.knock(s, "/")
		receive(t, "an accept", told)
		if err := s.Local().To(c.id).Emit("hi"); err != nil {
			t.Fatal(err)
		}
		c.expect(wire.KindAccept)
		if p := receive(t, "an event", c.got); p.name != "hi" {
			t.Fatalf("got %v", p)
		}
		c.leave("transport close")
		eventually(t, "it has left", func() bool { return s.sockets.len() == 0 })
	}
}

func TestOperationsOnAll(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	a, b := r.join(s, "/"), r.join(s, "/")
	byID := map[string]*Socket{}
	for range 2 {
		socket := receive(t, "the socket", sockets)
		byID[socket.ID()] = socket
	}
	sa, sb := byID[a.id], byID[b.id]
	if err := errors.Join(
		s.SocketsJoin("all"), s.To(a.id).SocketsJoin("one", "two"), s.Of("/").Except(a.id).SocketsLeave("all", "none"),
		s.SocketsJoin(), flushAll(t, s),
	); err != nil { // BRO-024, BRO-025, CLU-011, CLU-012
		t.Fatal(err)
	}
	eventually(t, "the owner hears of it", func() bool {
		return slices.Equal(sa.Rooms(), []string{a.id, "all", "one", "two"}) && slices.Equal(sb.Rooms(), []string{b.id})
	})
	if err := errors.Join(s.Emit("last"), s.DisconnectSockets(true)); err != nil { // BRO-026, CLU-013
		t.Fatal(err)
	}
	for _, c := range []*client{a, b} {
		c.expect(wire.KindBroadcast) // CLU-014: before the disconnect
		if p := c.expect(wire.KindClose); p.flags&wire.FlagClose == 0 {
			t.Error("the connection is kept")
		}
	}
	eventually(t, "all are gone", func() bool { return s.sockets.len() == 0 })
}

// TestMoves checks that what others did and the own changes end in the order of the ring.
func TestMoves(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	settle(t, s, c) // the next operations follow one another
	if err := errors.Join(socket.Join("kept", "lost"), socket.Leave("left", "back"), flushAll(t, s)); err != nil {
		t.Fatal(err)
	}
	var applied uint64
	c.lock(func() { applied = c.moved })
	tell := func(kind wire.Kind, after uint64, rooms ...string) {
		c.lock(func() {
			c.send(wire.Record{Kind: kind, Flags: wire.FlagControl, Op: after, Body: wire.AppendStrings(nil, rooms)}, nil)
		})
	}
	tell(wire.KindLeft, applied-2, "kept") // was overtaken by the own join
	tell(wire.KindLeft, applied, "lost")
	tell(wire.KindJoined, applied-1, "left") // was overtaken by the own leave
	tell(wire.KindJoined, applied, "back", "new")
	eventually(t, "the last is heard", func() bool { return slices.Contains(socket.Rooms(), "new") })
	if got, want := socket.Rooms(), []string{c.id, "back", "kept", "new"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	socket.mu.Lock()
	socket.altering = true
	socket.moved(move{joins: true, after: math.MaxUint64, rooms: []string{"late"}})
	socket.moved(move{joins: true, after: applied, rooms: []string{"early"}})
	if len(socket.late) != 2 {
		t.Error("it was carried out while the number of the own operation is unknown")
	}
	socket.mu.Unlock()
	if err := socket.Leave("late", "early"); err != nil {
		t.Fatal(err)
	}
	if got, want := socket.Rooms(), []string{c.id, "back", "kept", "late", "new"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range 2 * maxParted {
		if err := errors.Join(socket.Leave(fmt.Sprint("r", i)), flushAll(t, s)); err != nil {
			t.Fatal(err)
		}
	}
	socket.mu.Lock()
	defer socket.mu.Unlock()
	if n := len(socket.parted); n > maxParted {
		t.Errorf("%d rooms that were left are kept in mind", n)
	}
}

func TestCurrentConn(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	want := Conn{Transport: "websocket", Upgraded: true, Protocol: 4, RemoteAddress: "192.0.2.1", Edge: c.addr.Edge.String()}
	if got, err := socket.CurrentConn(t.Context()); got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	r.lock(func() { delete(r.clients, c.addr) })
	if _, err := socket.CurrentConn(t.Context()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
	c.leave(ReasonTransportClose)
	eventually(t, "gone", func() bool { return !socket.Connected() })
	if _, err := socket.CurrentConn(t.Context()); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v", err)
	}
}

// TestCurrentConnInOrder: the edge is asked only when it knows what this instance did, that the client may join before all.
func TestCurrentConnInOrder(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	r.lock(func() { r.hold = true })
	if err := socket.Emit("e"); err != nil {
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() { // received below
		_, err := socket.CurrentConn(t.Context())
		asked <- err
	}()
	eventually(t, "the query waits", func() bool {
		p := &s.out.parts[s.Of("/").partition]
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.flushes) == 1
	})
	r.release()
	if err := receive(t, "the answer", asked); err != nil {
		t.Error(err)
	}
}

func TestFetchFails(t *testing.T) {
	r, s, _, _ := serve(t, nothing)
	c := r.join(s, "/")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r.lock(func() { r.edges = []string{mesh.NewInstanceID().String()} })
	if got, err := s.FetchSockets(ctx); err != nil || !slices.Equal(ids(got), []string{c.id}) { // CLU-021: a dead edge has no sockets
		t.Errorf("got %v, %v", ids(got), err)
	}
	silent := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	peers := r.presence(silent)
	eventually(t, "the silent edge is known", func() bool { _, ok := s.peers.Peer(silent.Instance); return ok })
	r.lock(func() { r.edges = []string{silent.Instance.String()} })
	bounded := s.Timeout(2 * time.Second) // the other edge answers
	var both sync.WaitGroup               // they take that long
	both.Go(func() {
		var failure *EdgeError
		got, err := bounded.FetchSockets(t.Context())
		if !errors.As(err, &failure) || failure.Edge != silent.Instance.String() || !errors.Is(err, ErrTimeout) ||
			!slices.Equal(ids(got), []string{c.id}) { // CLU-027, with what there is
			t.Errorf("got %v, %v", ids(got), err)
		}
	})
	both.Go(func() {
		n := 0
		for one, err := range bounded.EachSocket(t.Context(), 0) {
			if (err != nil) == (one != nil) {
				t.Errorf("got %v, %v", one, err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("got %d results, want a socket and an error", n)
		}
	})
	both.Wait()
	fetched := make(chan error, 1)
	go func() { // ends with the death of the edge
		_, err := s.FetchSockets(ctx)
		fetched <- err
	}()
	peers()
	if err := receive(t, "the answer", fetched); err != nil { // CLU-021, CLU-024
		t.Errorf("got %v", err)
	}
	r.lock(func() { r.edges = []string{"?"} })
	if _, err := s.FetchSockets(ctx); err == nil {
		t.Error("an unreadable edge id was taken")
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FetchSockets(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(s.SocketsJoin("x"), s.DisconnectSockets(false), s.Local().SocketsJoin("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v", err)
	}
	for one, err := range s.EachSocket(ctx, 0) {
		if one != nil || !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, %v", one, err)
		}
	}
}

func TestFetchFromBrokenEdge(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	broken := s.Of("/broken")
	_ = broken.OnConnection(nothing)
	run(t, s)
	r.join(s, "/broken")
	var failure *EdgeError
	if _, err := broken.FetchSockets(t.Context()); !errors.As(err, &failure) {
		t.Errorf("got %v", err)
	}
}

// TestFetchAfterLoss checks that a query does not hide that something done before was lost.
func TestFetchAfterLoss(t *testing.T) {
	r, s, failures, _ := serve(t, nothing)
	r.join(s, "/")
	r.lock(func() { r.hold = true })
	if err := s.Emit("e"); err != nil {
		t.Fatal(err)
	}
	fetched := make(chan error, 1)
	go func() { // ends with the loss
		_, err := s.FetchSockets(t.Context())
		fetched <- err
	}()
	eventually(t, "the query waits", func() bool {
		p := &s.out.parts[s.Of("/").partition]
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.flushes) == 1
	})
	r.stopRooms()
	if err := receive(t, "the answer", fetched); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	if err := receive(t, "the report", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v", err)
	}
	if err := flushAll(t, s); !errors.Is(err, ErrLost) {
		t.Errorf("Flush says %v", err)
	}
}
