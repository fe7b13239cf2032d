package socketio

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestThinnestPath(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	chat := s.Of("chat")
	if err := chat.OnConnection(func(s *Socket) {
		if !s.Connected() { // MID-007
			t.Error("not connected in the connection handler")
		}
		s.On("say", func(_ context.Context, e *Event) error {
			var room, words string
			if err := e.Bind(&room, &words); err != nil {
				return err
			}
			if err := s.To(room).Emit("said", s.ID(), words); err != nil {
				return err
			}
			return e.Ack("ok", []byte{1})
		})
		if err := errors.Join(s.Join("lobby"), s.Emit("welcome", s.Rooms())); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	run(t, s)
	a, b := r.join(s, "/chat"), r.join(s, "/chat")
	if got, want := a.expect(wire.KindEmit).String(), `19welcome ["id0001","lobby"]`; got != want { // SOC-020
		t.Errorf("got %s, want %s", got, want)
	}
	b.expect(wire.KindEmit)
	a.emit("7", "say", "lobby", "hi")
	if got, want := b.expect(wire.KindBroadcast).String(), `24said "id0001" "hi"`; got != want { // BRO-006
		t.Errorf("got %s, want %s", got, want)
	}
	ack := a.expect(wire.KindAck) // SOC-005: with several arguments, binary too
	if got, want := ack.String(), `20 "ok" {"_placeholder":true,"num":0}`; ack.id != "7" || got != want {
		t.Errorf("got ack %s: %s, want 7: %s", ack.id, got, want)
	}
	eventually(t, "all packets reported as handled", func() (all bool) {
		a.lock(func() { all = a.handled == a.seq && b.handled == b.seq })
		return all
	})
	if n, err := chat.To("lobby", "id0001").Except("id0002").Count(t.Context()); n != 1 || err != nil {
		t.Errorf("got count %d, %v, want 1", n, err)
	}
}

func TestEventsInOrder(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	const n = 500
	got := make(chan int, n)
	_ = s.OnConnection(func(s *Socket) {
		s.On("n", func(_ context.Context, e *Event) error {
			var i int
			err := e.Bind(&i)
			got <- i
			return errors.Join(err, s.Emit("n", i), e.Ack(i))
		})
	})
	run(t, s)
	c := r.join(s, "/")
	for i := range n {
		eventually(t, "credit", func() (ok bool) {
			c.lock(func() { ok = c.seq-c.handled < creditPackets })
			return ok
		})
		c.emit(fmt.Sprint(i), "n", i)
	}
	for i := range n { // SOC-011
		if j := receive(t, "an event", got); j != i {
			t.Fatalf("got event %d, want %d", j, i)
		}
		if p := c.expect(wire.KindEmit); p.String() != fmt.Sprint("19n ", i) {
			t.Fatalf("got %v, want %d", p, i)
		}
		if p := c.expect(wire.KindAck); p.id != fmt.Sprint(i) {
			t.Fatalf("got acknowledgement %s, want %d", p.id, i)
		}
	}
}

func TestMiddlewares(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	order := make(chan string, 16)
	step := func(name string) Middleware {
		return func(_ context.Context, s *Socket) error {
			if s.Connected() { // MID-007
				t.Error("connected in a middleware")
			}
			order <- name
			return nil
		}
	}
	admin := s.Of("/admin")
	_ = s.Use(step("root"))
	_ = admin.Use(step("first"))
	_ = admin.Use(func(_ context.Context, s *Socket) error {
		switch s.User() {
		case "refused":
			return fmt.Errorf("wrapped: %w", &ConnectError{Message: "not authorized", Data: map[string]any{"retry": true}})
		case "failing":
			return errors.New("plain")
		case "panicking":
			panic("oh")
		}
		return errors.Join(s.Join("early"), s.Emit("early"), s.Data().Set("k", 1))
	})
	_ = admin.Use(step("last"))
	_ = admin.OnConnection(func(*Socket) { order <- "connection" })
	run(t, s)
	as := func(user string) func(*siomeshv1.Connect) { return func(c *siomeshv1.Connect) { c.User = user } }

	good := r.knock(s, "/admin", as("good"))
	good.expect(wire.KindEmit) // MID-011: before the CONNECT reply
	good.expect(wire.KindAccept)
	good.lock(func() {
		if !good.rooms["early"] || good.data["k"] != "1" { // MID-009, MID-008
			t.Errorf("got rooms %v, data %v", good.rooms, good.data)
		}
	})
	eventually(t, "the connection handler", func() bool { return len(order) == 3 }) // it runs behind the accept
	for user, want := range map[string]string{                                      // MID-003, MID-004: data only if there is some
		"refused": `"not authorized" {"retry":true}`, "failing": `"plain" `, "panicking": `"internal server error" `,
	} {
		c := r.knock(s, "/admin", as(user))
		var refusal siomeshv1.Refuse
		if err := proto.Unmarshal(c.expect(wire.KindRefuse).body, &refusal); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%q %s", refusal.GetMessage(), refusal.GetData()); got != want {
			t.Errorf("%s: got refusal %s, want %s", user, got, want)
		}
	}
	var panicked *PanicError
	if err := receive(t, "the panic", failures); !errors.As(err, &panicked) || len(panicked.Stack) == 0 {
		t.Errorf("got %v, want a panic with its stack", err)
	}
	eventually(t, "refused sockets forgotten", func() bool { return s.sockets.len() == 1 })
	eventually(t, "idle", func() bool { return idle(s) })
	close(order)
	for _, want := range []string{"first", "last", "connection", "first", "first", "first"} { // MID-001, MID-003, MID-005
		if got := <-order; got != want {
			t.Errorf("got step %q, want %q", got, want)
		}
	}
	if got, more := <-order; more {
		t.Errorf("got one more step %q", got)
	}
}

func TestUnknownNamespace(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.Of("/known").OnConnection(nothing)
	s.Of("/nobody")
	run(t, s)
	if p := r.knock(s, "/nobody").expect(wire.KindUnknown); len(p.body) > 0 { // NSP-005: the edge says the rest
		t.Errorf("got %q", p.body)
	}
	r.join(s, "/known")
}

func TestClientLeavesDuringMiddleware(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	entered, resume := make(chan *Socket), make(chan struct{})
	_ = s.Use(func(_ context.Context, s *Socket) error {
		s.OnDisconnect(func(Disconnect) { t.Error("disconnect of a socket that never was connected") })
		entered <- s
		<-resume
		return nil
	})
	_ = s.OnConnection(func(*Socket) { t.Error("connection after the client left") }) // MID-006
	run(t, s)
	c := r.knock(s, "/")
	socket := receive(t, "the middleware", entered)
	c.leave("transport close")
	eventually(t, "gone", socket.gone.Load)
	close(resume)
	eventually(t, "forgotten", func() bool { return s.sockets.len() == 0 && idle(s) })
	if n := len(c.got); n > 0 {
		t.Errorf("the client got %d packets", n)
	}
}

func TestNamespaces(t *testing.T) {
	r := newRing(t)
	s, failures := r.serverFor()
	if s.Of("") != s.Of("/") || s.Of("a") != s.Of("/a") || s.Of("/a").Name() != "/a" { // NSP-001
		t.Error("the same namespace has several objects")
	}
	_ = s.Of("/a").OnConnection(func(*Socket) {})
	run(t, s)
	if err := s.Use(func(context.Context, *Socket) error { return nil }); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want %v", err, ErrRunning)
	}
	if err := s.Of("/b").OnConnection(func(*Socket) {}); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want %v", err, ErrRunning)
	}
	for range 2 {
		if err := receive(t, "an error", failures); !errors.Is(err, ErrRunning) {
			t.Errorf("got %v, want %v", err, ErrRunning)
		}
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want %v", err, ErrRunning)
	}
	var p siomeshv1.Presence
	s.describe(&p)
	if len(p.GetNamespaces()) != 1 || p.GetNamespaces()[0].GetName() != "/a" || p.GetDraining() {
		t.Errorf("announced %v", &p)
	}
}
