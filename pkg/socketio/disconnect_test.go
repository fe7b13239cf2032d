package socketio

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func goexit() { runtime.Goexit() }

func TestClientDisconnects(t *testing.T) {
	rooms := make(chan []string, 2)
	reasons := make(chan Disconnect, 2)
	handled := make(chan string, 4)
	r, s, failures, sockets := serve(t, func(s *Socket) {
		if err := s.Join("a", "b"); err != nil {
			t.Error(err)
		}
		s.On("e", func(_ context.Context, e *Event) error { handled <- "e"; return e.Ack() })
		s.OnDisconnecting(func(d Disconnect) { handled <- "disconnecting"; rooms <- s.Rooms() })
		s.OnDisconnect(func(d Disconnect) { handled <- "disconnect"; rooms <- s.Rooms(); reasons <- d })
	})
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	c.emit("1", "e")
	c.leave("ping timeout")
	for _, want := range []string{"e", "disconnecting", "disconnect"} { // what the client sent before is handled before
		if got := receive(t, want, handled); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	want := []string{c.id, "a", "b"}
	if got := receive(t, "rooms", rooms); !slices.Equal(got, want) { // SOC-023
		t.Errorf("disconnecting: got rooms %v, want %v", got, want)
	}
	if got := receive(t, "rooms", rooms); len(got) != 0 {
		t.Errorf("disconnect: got rooms %v, want none", got)
	}
	d := receive(t, "the reason", reasons)
	if d.Reason != "ping timeout" || d.Description != "why" || !slices.Equal(d.Rooms, want) { // SOC-027
		t.Errorf("got %+v", d)
	}
	if err := socket.Join("late"); !errors.Is(err, ErrDisconnected) || len(socket.Rooms()) > 0 { // SOC-022
		t.Errorf("join after disconnect: %v, rooms %v", err, socket.Rooms())
	}
	if err := socket.Emit("late"); !errors.Is(err, ErrDisconnected) || socket.Connected() {
		t.Errorf("emit after disconnect: %v", err)
	}
	if len(failures) > 0 { // an Ack that came too late is no failure of the handler
		t.Errorf("reported %v", <-failures)
	}
	if s.sockets.len() > 0 {
		t.Error("the socket is not forgotten")
	}
}

func TestServerDisconnects(t *testing.T) {
	ended := make(chan Disconnect, 4)
	r, s, _, sockets := serve(t, func(s *Socket) {
		s.On("bye", func(_ context.Context, e *Event) error {
			err := s.Disconnect(true)
			if s.Connected() {
				t.Error("still connected after Disconnect")
			}
			if again := s.Disconnect(false); !errors.Is(again, ErrDisconnected) {
				t.Errorf("again: %v", again)
			}
			return err
		})
		s.On("bye", func(context.Context, *Event) error { t.Error("handler after Disconnect"); return nil }) // SOC-028
		s.On("more", func(context.Context, *Event) error { t.Error("event after Disconnect"); return nil })
		s.OnDisconnect(func(d Disconnect) { ended <- d })
	})
	c := r.join(s, "/")
	receive(t, "the socket", sockets)
	c.lock(func() {}) // both events travel together
	c.emit("", "bye")
	c.emit("", "more")
	if p := c.expect(wire.KindClose); p.flags&wire.FlagClose == 0 { // SOC-025
		t.Error("the connection is not closed")
	}
	if d := receive(t, "the disconnect", ended); d.Reason != "server namespace disconnect" { // SOC-024
		t.Errorf("got %+v", d)
	}
	eventually(t, "idle", func() bool { return idle(s) })
	if len(ended) > 0 { // the edge's own record, later, says nothing new
		t.Errorf("a second disconnect %+v", <-ended)
	}
}

// TestEdgeAnswersFirst shows that the edge's answer to Disconnect may come before that has returned.
func TestEdgeAnswersFirst(t *testing.T) {
	ended := make(chan Disconnect, 4)
	queued := make(chan struct{})
	r, s, _, _ := serve(t, func(s *Socket) {
		s.On("bye", func(context.Context, *Event) error {
			<-queued
			s.finish(Disconnect{Reason: "the answer"}, inOrder)
			s.finish(Disconnect{Reason: "server namespace disconnect"}, atOnce)
			return nil
		})
		s.On("bye", func(context.Context, *Event) error { t.Error("handler after Disconnect"); return nil }) // SOC-028
		s.On("more", func(context.Context, *Event) error { t.Error("event after Disconnect"); return nil })
		s.OnDisconnect(func(d Disconnect) { ended <- d })
	})
	c := r.join(s, "/")
	c.emit("", "bye")
	c.emit("", "more")
	eventually(t, "the second event queued", func() bool {
		for _, socket := range s.sockets.all(mesh.InstanceID{}) {
			socket.mu.Lock()
			defer socket.mu.Unlock()
			return len(socket.inbox.jobs) == 1 && socket.handled.Load() == 1
		}
		return false
	})
	close(queued)
	if d := receive(t, "the disconnect", ended); d.Reason != "server namespace disconnect" {
		t.Errorf("got %+v", d)
	}
	eventually(t, "idle", func() bool { return idle(s) })
	if len(ended) > 0 {
		t.Errorf("a second disconnect %+v", <-ended)
	}
}

func TestEdgeEnds(t *testing.T) {
	ended := make(chan string, 4)
	r, s, _, sockets := serve(t, func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { ended <- s.ID() + " " + d.Reason })
		s.On("e", func(_ context.Context, e *Event) error { return e.Ack() })
	})
	under := func(lease uint64) *client {
		r.lock(func() { r.lease = lease })
		c := r.join(s, "/")
		receive(t, "the socket", sockets)
		return c
	}
	first, second, third := under(1), under(2), under(3)
	l := r.toApp(s)
	tell := func(edge mesh.InstanceID, lease uint64) {
		t.Helper()
		if _, err := l.Append(&wire.Record{Kind: wire.KindEdgeEnded, Flags: wire.FlagControl, Lease: lease, Body: []byte(edge.String())}); err != nil {
			t.Fatal(err)
		}
		l.Flush()
	}
	self := r.edge.Self().Instance
	tell(mesh.NewInstanceID(), 0) // another edge
	tell(self, 2)                 // late: sockets of lease 3 are there
	left := map[string]bool{receive(t, "a disconnect", ended): true, receive(t, "a disconnect", ended): true}
	if !left[first.id+" transport close"] || !left[second.id+" transport close"] {
		t.Errorf("got %v, want %s and %s", left, first.id, second.id)
	}
	third.emit("1", "e") // behind it
	third.expect(wire.KindAck)
	if n := s.sockets.len(); n != 1 {
		t.Errorf("got %d sockets, want that of lease 3", n)
	}
	tell(self, 0) // all
	if got, want := receive(t, "a disconnect", ended), third.id+" transport close"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	under(0) // an edge that numbers nothing
	tell(self, 1)
	receive(t, "a disconnect", ended)
}

func TestGoneWithoutDisconnect(t *testing.T) {
	ended := make(chan Disconnect, 4)
	r, s, _, sockets := serve(t, func(s *Socket) { s.OnDisconnect(func(d Disconnect) { ended <- d }) })
	c := r.join(s, "/")
	receive(t, "the socket", sockets)
	l := r.toApp(s)
	if _, err := l.Append(&wire.Record{Kind: wire.KindGone, Flags: wire.FlagControl, Socket: c.addr, Namespace: []byte("/")}); err != nil {
		t.Fatal(err)
	}
	l.Flush()
	if d := receive(t, "the disconnect", ended); d.Reason != "transport close" {
		t.Errorf("got %+v", d)
	}
}

// TestDeadEdgeThatRoomsNeverKnew: rooms announces the end of an edge, unless it has come since the edge was last there.
func TestDeadEdgeThatRoomsNeverKnew(t *testing.T) {
	ended := make(chan Disconnect, 4)
	r, s, _, sockets := serve(t, func(s *Socket) { s.OnDisconnect(func(d Disconnect) { ended <- d }) })
	r.join(s, "/")
	receive(t, "the socket", sockets)
	s.peerChanged(presence.Died, presence.Peer{Address: r.edge.Self()})
	if d := receive(t, "the disconnect", ended); d.Reason != "transport close" {
		t.Errorf("got %+v", d)
	}
	eventually(t, "forgotten", func() bool { return s.sockets.len() == 0 })
}

func TestTooManyPacketsBreakTheLink(t *testing.T) {
	ended, resume := make(chan Disconnect, 1), make(chan struct{})
	r, s, _, _ := serve(t, func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { ended <- d })
		s.On("slow", func(context.Context, *Event) error { <-resume; return nil })
	})
	c := r.join(s, "/")
	broken := make(chan error, 1)
	r.edge.Link(s.self).OnBreak(func(err error) { broken <- err })
	for range creditPackets + 3 {
		c.emit("", "slow")
	}
	if err := receive(t, "the break", broken); err == nil {
		t.Error("broken without a reason")
	}
	close(resume)
	if d := receive(t, "the disconnect", ended); d.Reason != "transport close" {
		t.Errorf("got %+v", d)
	}
}

func TestEdgeOpensANewLink(t *testing.T) {
	ended := make(chan Disconnect, 1)
	r, s, _, _ := serve(t, func(s *Socket) { s.OnDisconnect(func(d Disconnect) { ended <- d }) })
	r.join(s, "/")
	r.edge.Drop(s.self.Instance)
	r.join(s, "/") // on a new link: the edge has closed what was here before
	if d := receive(t, "the disconnect", ended); d.Reason != "transport close" {
		t.Errorf("got %+v", d)
	}
	if n := s.sockets.len(); n != 1 {
		t.Errorf("%d sockets are left, want 1", n)
	}
}

func TestForeignRecordsBreakTheLink(t *testing.T) {
	foreign := wire.SocketAddr{Edge: mesh.NewInstanceID(), Slot: 1, Generation: 1}
	for name, record := range map[string]func(*client) wire.Record{
		"socket of another edge": func(*client) wire.Record { return wire.Record{Kind: wire.KindEvent, Socket: foreign} },
		"malformed connect": func(c *client) wire.Record {
			return wire.Record{Kind: wire.KindConnect, Socket: c.addr, Body: []byte{255}}
		},
		"malformed event": func(c *client) wire.Record { return wire.Record{Kind: wire.KindEvent, Socket: c.addr} },
		"malformed reply": func(c *client) wire.Record { return wire.Record{Kind: wire.KindReply, Socket: c.addr} },
		"malformed disconnect": func(c *client) wire.Record {
			return wire.Record{Kind: wire.KindDisconnect, Socket: c.addr, Body: []byte{255}}
		},
		"operation": func(c *client) wire.Record { return wire.Record{Kind: wire.KindJoin, Socket: c.addr} },
	} {
		t.Run(name, func(t *testing.T) {
			r, s, _, _ := serve(t, nothing)
			c := r.join(s, "/")
			broken := make(chan error, 1)
			l := r.edge.Link(s.self)
			l.OnBreak(func(err error) { broken <- err })
			rec := record(c)
			if _, err := l.Append(&rec); err != nil {
				t.Fatal(err)
			}
			l.Flush()
			if err := receive(t, "the break", broken); err == nil {
				t.Error("broken without a reason")
			}
		})
	}
}

func TestHandshakeAndData(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.knock(s, "/", func(c *siomeshv1.Connect) {
		c.User, c.Data, c.Rooms = "u1", []byte(`{"role":"admin","n":3}`), []string{"vip"}
		c.Handshake = &siomeshv1.Handshake{
			Headers: []*siomeshv1.Handshake_Header{{Name: "user-agent", Values: []string{"x"}}, {Name: "accept", Values: []string{"a", "b"}}},
			Query:   map[string]string{"EIO": "4"}, Address: "1.2.3.4", Secure: true, Xdomain: true, Url: "/socket.io/?EIO=4",
			IssuedMs: 1700000000000, Auth: []byte(`{"token":"t","n":1}`),
		}
	})
	c.expect(wire.KindAccept)
	socket := receive(t, "the socket", sockets)
	h := socket.Handshake() // SOC-015, SOC-018
	if h.Headers.Get("User-Agent") != "x" || len(h.Headers["Accept"]) != 2 || h.Query["EIO"] != "4" || h.Address != "1.2.3.4" ||
		!h.Secure || !h.XDomain || h.URL != "/socket.io/?EIO=4" || h.Issued != 1700000000000 || h.Time.UnixMilli() != h.Issued {
		t.Errorf("got %+v", h)
	}
	if h.Auth.Get("token") != "t" || h.Auth.Get("n") != "" || h.Auth.Get("none") != "" || string(h.Auth.JSON()) != `{"token":"t","n":1}` {
		t.Errorf("got auth %s", h.Auth.JSON())
	}
	if socket.User() != "u1" || !slices.Equal(socket.Rooms(), []string{c.id, "vip"}) || socket.Namespace() != s.Of("/") {
		t.Errorf("got user %s, rooms %v", socket.User(), socket.Rooms())
	}
	d := socket.Data()
	var role string
	if ok, err := d.Get("role", &role); !ok || err != nil || role != "admin" {
		t.Errorf("got role %q, %v, %v", role, ok, err)
	}
	if ok, err := d.Get("none", &role); ok || err != nil {
		t.Errorf("got none: %v, %v", ok, err)
	}
	if ok, err := d.Get("role", new(int)); !ok || err == nil {
		t.Errorf("a string went into an int: %v, %v", ok, err)
	}
	if err := errors.Join(d.Set("list", []string{"<"}), d.Delete("n", "unknown")); err != nil {
		t.Error(err)
	}
	half := strings.Repeat("x", maxData/2)
	if err := errors.Join(d.Set("half", half), d.Set("half", half)); err != nil { // replaced, not added
		t.Error(err)
	}
	if err := d.Set("another half", half); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	if err := d.Delete("half"); err != nil {
		t.Error(err)
	}
	if err := d.Set("f", func() {}); err == nil {
		t.Error("a function was encoded")
	}
	if got, want := text(t, d.Keys()), `["list","role"]`; got != want {
		t.Errorf("got keys %s, want %s", got, want)
	}
	if got, want := text(t, d), `{"list":["\u003c"],"role":"admin"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	c.lock(func() {
		if len(c.data) != 1 || c.data["list"] != `["<"]` {
			t.Errorf("the edge has data %v", c.data)
		}
	})
}

func TestRooms(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c, other := r.join(s, "/"), r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	if socket.ID() != c.id {
		c, other = other, c
	}
	err := errors.Join(socket.Join("x", "y"), socket.Join(), socket.Leave("y", "unknown"), socket.Leave(), socket.Leave(c.id)) // SOC-021
	if got := socket.Rooms(); err != nil || !slices.Equal(got, []string{c.id, "x"}) {
		t.Errorf("got rooms %v, %v", got, err)
	}
	base := s.To("x")
	err = errors.Join(
		s.Emit("all"), base.Emit("x"), base.To(other.id).Emit("both"), base.Except("x").Emit("nobody"), // BRO-001, -004, -005, -008
		base.Emit("x"),                                                   // BRO-009: it was not changed
		socket.Broadcast().Emit("others"), socket.To("x").Emit("nobody"), // BRO-003, BRO-006
		s.Except("x").Emit("not x"), socket.Except(other.id).Emit("nobody"), // BRO-007
		s.Of("/").In(c.id).Emit("own room"), s.Of("/elsewhere").Emit("nobody"),
		socket.In(other.id).Volatile().Emit("volatile"), s.Volatile().Emit("v", []byte{1}), // BRO-002
		flushAll(t, s),
	)
	if err != nil {
		t.Fatal(err)
	}
	drain := func(c *client) (names []string) {
		for len(c.got) > 0 {
			p := <-c.got
			names = append(names, p.name)
		}
		return names
	}
	if got, want := drain(c), []string{"all", "x", "both", "x", "own room", "v"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := drain(other), []string{"all", "both", "others", "not x", "volatile", "v"}; !slices.Equal(got, want) {
		t.Errorf("other: got %v, want %v", got, want)
	}
	if err := s.Emit("connect"); err == nil { // NSP-032
		t.Error("a reserved name was sent")
	}
	for n, count := range map[int]func(context.Context) (int, error){
		2: s.Count, 1: s.In("x").Count, 0: s.Of("/elsewhere").Count,
	} {
		if got, err := count(t.Context()); got != n || err != nil {
			t.Errorf("got count %d, %v, want %d", got, err, n)
		}
	}
	if _, err := s.Of("/unanswerable").Count(t.Context()); err == nil {
		t.Error("an error of rooms was not returned")
	}
}
