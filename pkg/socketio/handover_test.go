package socketio

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// attach gives a socket that another instance gave back to this one, and then the events that came back with it.
func (r *ring) attach(c *client, s *Server, back wire.Record) {
	r.tb.Helper()
	events, err := wire.ParseDetached(back.Body)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var rooms []string
	for room, in := range c.rooms {
		if in {
			rooms = append(rooms, room)
		}
	}
	data := "{"
	for key, value := range c.data {
		data += fmt.Sprintf("%q:%s", key, value)
	}
	connect, err := proto.Marshal(&siomeshv1.Connect{
		SocketId: c.id, User: "ann", Data: []byte(data + "}"), Sole: true,
		Handshake: &siomeshv1.Handshake{Auth: []byte(`{"token":"t","n":1}`)},
	})
	if err != nil {
		r.tb.Fatal(err)
	}
	c.app, c.epoch, c.seq, c.handled = s.self, c.epoch+1, 0, 0
	c.send(wire.Record{Kind: wire.KindAttach, Body: append(wire.AppendAttach(nil, rooms), connect...)}, nil)
	for _, e := range events {
		c.send(wire.Record{Kind: wire.KindEvent, ID: e.ID, Body: e.Packet}, nil)
	}
}

// TestHandOver: the running handler finishes, what it did counts, and the rest goes to another instance.
func TestHandOver(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	entered, resume := make(chan *Socket), make(chan struct{})
	asked := make(chan error, 1)
	late := make(chan *Event, 1)
	_ = s.OnConnection(func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { t.Errorf("disconnected: %+v", d) })
		s.OnHandOver(func() {
			if err := errors.Join(s.Data().Set("k", 7), s.Join("b")); err != nil {
				t.Errorf("before the hand-over: %v", err)
			}
			panic("in a hand-over") // goes to OnError and changes nothing
		})
		s.On("slow", func(ctx context.Context, e *Event) error {
			late <- e
			entered <- s
			<-resume
			reply, err := s.EmitWithAck(ctx, "still there?")
			return errors.Join(err, s.Join("a"), s.Emit("done", reply.Len()))
		})
		s.On("never", func(context.Context, *Event) error { t.Error("an event that was not begun with"); return nil })
	})
	end, result := run(t, s)
	c, idle := r.join(s, "/"), r.join(s, "/")
	c.emit("1", "slow")
	socket := receive(t, "the handler", entered)
	go func() { // received below
		_, err := socket.EmitWithAck(context.Background(), "question")
		asked <- err
	}()
	question := c.expect(wire.KindEmit)
	c.emit("2", "never", 1)
	c.emit("", "never", 2)
	end()
	back := receive(t, "the idle socket", idle.detached)
	if back.Handled != 1 || string(back.Body) != "\x00" {
		t.Errorf("the idle one came back with %d handled, %q", back.Handled, back.Body)
	}
	knocks := r.knock(s, "/") // goes elsewhere
	// The edge may ask for this one too, before or after its worker takes the connect record: then it counts as handled, or not.
	if back := receive(t, "a client that came too late", knocks.detached); back.Handled > 1 || len(knocks.got) > 0 {
		t.Errorf("it came back with %d handled, and got %d packets", back.Handled, len(knocks.got))
	}
	close(resume)
	c.reply(c.expect(wire.KindEmit).ack, true) // acknowledgements still arrive
	if got := c.expect(wire.KindEmit).String(); got != "19done 1" {
		t.Errorf("got %s", got)
	}
	back = receive(t, "the busy socket", c.detached)
	events, err := wire.ParseDetached(back.Body)
	if err != nil || back.Handled != 2 || len(events) != 2 || string(events[0].ID) != "2" || len(events[1].ID) > 0 {
		t.Errorf("it came back with %d handled, %q, %v", back.Handled, back.Body, err)
	}
	for what, err := range map[string]error{
		"emit": socket.Emit("e"), "join": socket.Join("c"), "data": socket.Data().Set("k", 8), "disconnect": socket.Disconnect(true),
	} {
		if !errors.Is(err, ErrMoved) {
			t.Errorf("%s: got %v, want %v", what, err, ErrMoved)
		}
	}
	if _, err := socket.EmitWithAck(t.Context(), "e"); !errors.Is(err, ErrMoved) || socket.Connected() {
		t.Errorf("got %v, want %v", err, ErrMoved)
	}
	if err := receive(t, "the event", late).Ack("at last"); err != nil { // the client waits for that one
		t.Error(err)
	}
	if ack := c.expect(wire.KindAck); ack.id != "1" || ack.String() != `20 "at last"` {
		t.Errorf("got acknowledgement %s: %v", ack.id, ack)
	}
	select {
	case err := <-result:
		t.Errorf("Run did not wait for the acknowledgement: %v", err)
	case <-time.After(20 * time.Millisecond): // it would have returned long ago
	}
	c.lock(func() { // as the edge does: to the instance that asked, in its epoch
		c.send(wire.Record{Kind: wire.KindReply, Ack: question.ack, Body: []byte("\x00[]")}, nil)
	})
	if err := receive(t, "the answer", asked); err != nil {
		t.Error(err)
	}
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
	for range 2 {
		var panicked *PanicError
		if err := receive(t, "a panic", failures); !errors.As(err, &panicked) {
			t.Errorf("got %v", err)
		}
	}
	if len(failures) > 0 {
		t.Errorf("reported %v", <-failures)
	}
	c.lock(func() {
		if !c.rooms["a"] || !c.rooms["b"] || c.rooms["c"] || c.data["k"] != "7" {
			t.Errorf("got rooms %v, data %v", c.rooms, c.data)
		}
	})
	r.takeOver(c, back)
}

// takeOver has another instance go on with a socket of TestHandOver.
func (r *ring) takeOver(c *client, back wire.Record) {
	t := r.tb
	s, _ := r.serverFor()
	_ = s.Use(func(context.Context, *Socket) error { t.Error("a middleware of a socket that is in"); return nil })
	got := make(chan string, 4)
	_ = s.OnConnection(func(s *Socket) {
		var k int
		known, err := s.Data().Get("k", &k)
		got <- fmt.Sprintln(s.ID() == c.id, s.User(), s.Connected(), s.HandedOver(), s.Rooms()[1:], known, k, err, s.Handshake().Auth.Get("token"))
		s.On("never", func(_ context.Context, e *Event) error {
			got <- fmt.Sprintln(e.Name, string(e.Args.Raw(0)), e.WantsAck(), e.Redelivered())
			return e.Ack("now")
		})
		s.OnDisconnect(func(d Disconnect) { got <- d.Reason })
	})
	run(t, s)
	r.attach(c, s, back)
	for _, want := range []string{"true ann true true [a b] true 7 <nil> t\n", "never 1 true false\n", "never 2 false false\n"} {
		if have := receive(t, "the other instance", got); have != want {
			t.Errorf("got %s, want %s", have, want)
		}
	}
	if ack := c.expect(wire.KindAck); ack.id != "2" {
		t.Errorf("got acknowledgement %s", ack.id)
	}
	c.leave("transport close")
	if reason := receive(t, "the end", got); reason != "transport close" {
		t.Errorf("got %s", reason)
	}
}

// TestHandOverGivesUp: an acknowledgement that does not come fails, and is no reason not to end in time.
func TestHandOverGivesUp(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.DrainTimeout = 3 * time.Second }) // a fifth of it for the word of the edge
	asked := make(chan error, 1)
	_ = s.OnConnection(func(s *Socket) {
		go func() { // received below
			_, err := s.EmitWithAck(context.Background(), "question")
			asked <- err
		}()
	})
	end, result := run(t, s)
	c := r.join(s, "/")
	c.expect(wire.KindEmit)
	end()
	receive(t, "the socket", c.detached)
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
	if err := receive(t, "the answer", asked); !errors.Is(err, ErrMoved) {
		t.Errorf("got %v, want %v", err, ErrMoved)
	}
}

// TestHandOverUnheard: an edge whose heartbeat has not arrived when this instance ends gets its sockets back all the same.
func TestHandOverUnheard(t *testing.T) {
	self := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	heard := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	r := newRingHeardAs(t, self, heard)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.DrainTimeout = 10 * time.Second }) // a fifth of it for the word of the edge that is heard
	_ = s.OnConnection(func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { t.Errorf("disconnected: %+v", d) })
	})
	end, result := run(t, s)
	c := r.join(s, "/")
	receive(t, "who is there", s.peers.Heard())
	end()
	receive(t, "the socket", c.detached)
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
}

// TestLeavesBeforeHandOver: a client that leaves while a handler holds up its hand-over is at its end here, events first.
func TestLeavesBeforeHandOver(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	entered, resume, ended := make(chan *Socket), make(chan struct{}), make(chan string, 3)
	_ = s.OnConnection(func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { ended <- d.Reason })
		s.On("slow", func(context.Context, *Event) error { entered <- s; <-resume; return nil })
		s.On("next", func(context.Context, *Event) error { ended <- "next"; return nil })
	})
	end, result := run(t, s)
	c := r.join(s, "/")
	c.emit("", "slow")
	c.emit("", "next")
	socket := receive(t, "the handler", entered)
	end()
	eventually(t, "the edge asks for it", socket.isAsked)
	c.leave("transport close")
	eventually(t, "it has left", func() bool { return !socket.Connected() })
	close(resume)
	for _, want := range []string{"next", "transport close"} {
		if got := receive(t, want, ended); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
}

// TestTakeOverUnknown: a socket of a namespace that this instance does not know is disconnected.
func TestTakeOverUnknown(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	_ = s.Of("/other").OnConnection(nothing)
	other, _ := r.serverFor()
	_ = other.OnConnection(nothing)
	end, _ := run(t, other)
	run(t, s)
	c := r.join(other, "/")
	end()
	r.attach(c, s, receive(t, "the socket", c.detached))
	c.expect(wire.KindClose)
	eventually(t, "forgotten", func() bool { return s.sockets.len() == 0 })
}
