package socketio

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// serve runs a server whose "/" gives each connected socket to the returned channel, after setup.
func serve(t *testing.T, setup func(*Socket)) (*ring, *Server, chan error, chan *Socket) {
	t.Helper()
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	sockets := make(chan *Socket, 16)
	if err := s.OnConnection(func(s *Socket) { setup(s); sockets <- s }); err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return r, s, failures, sockets
}

func nothing(*Socket) {}

func TestAckInsideConnectionHandler(t *testing.T) {
	got := make(chan string, 1)
	r, s, _, _ := serve(t, func(s *Socket) {
		reply, err := s.EmitWithAck(t.Context(), "ready?", []byte{1})
		var answer string
		var data []byte
		if err = errors.Join(err, reply.Bind(&answer, &data)); err != nil || string(data) != "bin" {
			t.Errorf("got %q, %v", data, err)
		}
		got <- answer
	})
	c := r.join(s, "/")
	c.emit("", "before") // waits behind the connection handler, which the reply does not
	p := c.expect(wire.KindEmit)
	c.reply(p.ack, "yes", []byte("bin")) // SOC-006
	if answer := receive(t, "the answer", got); answer != "yes" {
		t.Errorf("got %q, want yes", answer)
	}
}

func TestAckTimeouts(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)

	if _, err := socket.Timeout(0).EmitWithAck(t.Context(), "q"); !errors.Is(err, ErrTimeout) || err.Error() != "operation has timed out" { // SOC-038
		t.Errorf("got %v, want %v", err, ErrTimeout)
	}
	late := c.expect(wire.KindEmit)
	if _, err := socket.Timeout(time.Millisecond).EmitWithAck(t.Context(), "q"); !errors.Is(err, ErrTimeout) { // SOC-040
		t.Errorf("got %v, want %v", err, ErrTimeout)
	}
	c.expect(wire.KindEmit)
	c.reply(late.ack, "late")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := socket.EmitWithAck(ctx, "q"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	c.expect(wire.KindEmit)
	done := make(chan error, 1)
	go func() { // receive waits
		reply, err := socket.Timeout(patience).EmitWithAck(t.Context(), "q")
		var n int
		if err = errors.Join(err, reply.Bind(&n)); reply.Len() != 1 || n != 1 { // SOC-039
			t.Errorf("got %d arguments, %d, want 1", reply.Len(), n)
		}
		done <- err
	}()
	p := c.expect(wire.KindEmit)
	c.reply(late.ack, "later") // SOC-041: it answers nobody, and the next one still can
	if p.ack <= late.ack {
		t.Errorf("request %d after %d", p.ack, late.ack)
	}
	c.reply(p.ack, 1)
	c.reply(p.ack, 2) // the second of two is ignored
	if err := receive(t, "the answer", done); err != nil {
		t.Error(err)
	}
	if n := len(socket.requests); n > 0 {
		t.Errorf("%d requests are left", n)
	}
}

func TestAckFails(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	done := make(chan error, 2)
	ask := func() {
		_, err := socket.EmitWithAck(t.Context(), "q")
		done <- err
	}
	go ask() // receive waits
	p := c.expect(wire.KindEmit)
	c.lock(func() { c.send(wire.Record{Kind: wire.KindAckFailed, Ack: p.ack, Body: []byte("too many")}, nil) })
	if err := receive(t, "the failure", done); !errors.Is(err, ErrAckFailed) {
		t.Errorf("got %v, want %v", err, ErrAckFailed)
	}
	go ask() // receive waits
	p = c.expect(wire.KindEmit)
	c.lock(func() { // the disconnect comes behind events that wait
		c.send(wire.Record{Kind: wire.KindAckFailed, Ack: p.ack, Body: []byte(wire.AckDeparted)}, nil)
	})
	if err := receive(t, "the failure", done); !errors.Is(err, ErrDisconnected) { // SOC-042
		t.Errorf("got %v, want %v", err, ErrDisconnected)
	}
	go ask() // receive waits
	c.expect(wire.KindEmit)
	c.leave("transport close")
	if err := receive(t, "the failure", done); !errors.Is(err, ErrDisconnected) { // SOC-042
		t.Errorf("got %v, want %v", err, ErrDisconnected)
	}
	if _, err := socket.EmitWithAck(t.Context(), "q"); !errors.Is(err, ErrDisconnected) {
		t.Errorf("got %v, want %v", err, ErrDisconnected)
	}
}

func TestAckToClient(t *testing.T) {
	events := make(chan *Event, 4)
	r, s, _, _ := serve(t, func(s *Socket) {
		s.On("q", func(_ context.Context, e *Event) error {
			events <- e
			return nil
		})
	})
	c := r.join(s, "/")
	c.emit("", "q")
	e := receive(t, "the event", events)
	if e.WantsAck() || e.Ack(1) != nil {
		t.Error("an event without id wants an acknowledgement")
	}
	c.emit("12345678901234567890123", "q") // any digits, as written
	e = receive(t, "the event", events)
	if err := e.Ack(make(chan int)); err == nil || !e.WantsAck() {
		t.Error("a channel was encoded")
	}
	for range 2 { // SOC-008; after the handler, too
		if err := e.Ack(); err != nil {
			t.Error(err)
		}
	}
	p := c.expect(wire.KindAck)
	if p.id != "12345678901234567890123" || p.args.Len() != 0 { // SOC-009
		t.Errorf("got %s, %v", p.id, p)
	}
	c.emit("", "q")
	receive(t, "the event", events)
	if len(c.got) > 0 {
		t.Errorf("got a second acknowledgement %v", <-c.got)
	}
}

func TestTypedHandlers(t *testing.T) {
	type in struct {
		Name string
		Data []byte
	}
	type out struct{ Greeting string }
	r, s, failures, _ := serve(t, func(s *Socket) {
		On(s, "greet", func(_ context.Context, v in) (out, error) {
			switch v.Name {
			case "":
				return out{}, errors.New("no name")
			case "panic":
				panic("oh")
			}
			return out{"hello " + v.Name + string(v.Data)}, nil
		})
		On(s, "nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		On(s, "unencodable", func(context.Context, struct{}) (chan int, error) { return make(chan int), nil })
	})
	c := r.join(s, "/")
	for _, step := range []struct {
		event string
		args  []any
		want  string
		fails bool
	}{
		{"greet", []any{in{"Ann", []byte("!")}, "more"}, `20 {"Greeting":"hello Ann!"}`, false},
		{"greet", []any{in{}}, `20 {"error":"no name"}`, true},
		{"greet", []any{in{Name: "panic"}}, `20 {"error":"internal server error"}`, true},
		{"greet", []any{5}, `20 {"error":"argument 1: json: cannot unmarshal number into Go value of type socketio.in"}`, true},
		{"greet", nil, `20 {"error":"socketio: missing argument: 1 of 1"}`, true},
		{"nothing", nil, `20`, false},
		{"unencodable", nil, `20 {"error":"encode acknowledgement: argument 1: socketio: value cannot be encoded: json: unsupported type: chan int"}`, true},
	} {
		c.emit("1", step.event, step.args...)
		if got := c.expect(wire.KindAck).String(); got != step.want {
			t.Errorf("%s: got %s, want %s", step.event, got, step.want)
		}
		if step.fails {
			var failure *HandlerError
			if err := receive(t, "the error", failures); !errors.As(err, &failure) || failure.Event != step.event || failure.Socket.ID() != c.id {
				t.Errorf("%s: got %v", step.event, err)
			}
		}
	}
	c.emit("", "greet") // without acknowledgement only the error is reported
	if err := receive(t, "the error", failures); !errors.Is(err, ErrMissingArgument) {
		t.Errorf("got %v, want %v", err, ErrMissingArgument)
	}
}

// TestTypedHandlerCannotTell: that the client heard nothing of a failure is reported beside it.
func TestTypedHandlerCannotTell(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor(func(c *Config) { c.MaxPacket = 1000 })
	lengthy := errors.New(strings.Repeat("x", 2000))
	_ = s.OnConnection(func(s *Socket) {
		On(s, "e", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, lengthy })
	})
	run(t, s)
	r.join(s, "/").emit("1", "e")
	if err := receive(t, "the error", failures); !errors.Is(err, lengthy) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestHandlerFailures(t *testing.T) {
	r, s, failures, _ := serve(t, func(s *Socket) {
		s.On("error", func(context.Context, *Event) error { return errors.New("no") })
		s.On("panic", func(context.Context, *Event) error { panic("oh") })
		s.On("disconnect", func(context.Context, *Event) error { return nil })
		s.On("ok", func(_ context.Context, e *Event) error { return e.Ack() })
	})
	c := r.join(s, "/")
	var reserved *ReservedEventError
	if err := receive(t, "the reserved name", failures); !errors.As(err, &reserved) {
		t.Errorf("got %v, want a ReservedEventError", err)
	}
	c.emit("1", "error")
	c.emit("2", "panic")
	c.emit("3", "ok") // the socket lives on
	if p := c.expect(wire.KindAck); p.id != "3" {
		t.Errorf("got acknowledgement %s, want 3", p.id)
	}
	for _, want := range []string{`handle "error" in namespace "/": no`, `handle "panic" in namespace "/": panic: oh`} {
		if err := receive(t, "the error", failures); err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestListeners(t *testing.T) {
	order := make(chan string, 16)
	note := func(name string) Handler {
		return func(context.Context, *Event) error { order <- name; return nil }
	}
	r, s, _, _ := serve(t, func(s *Socket) {
		s.On("e", note("a"))
		off := s.On("e", note("removed"))
		s.Once("e", note("once"))
		s.On("e", note("b"))
		s.On("gone", note("gone"))
		s.Off("gone")
		off()
		s.On("end", note("end"))
	})
	c := r.join(s, "/")
	for _, event := range []string{"e", "gone", "e", "unknown", "end"} {
		c.emit("", event)
	}
	for _, want := range []string{"a", "once", "b", "a", "b", "end"} {
		if got := receive(t, "a handler", order); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func TestGoexitInHandler(t *testing.T) {
	r, s, _, _ := serve(t, func(s *Socket) {
		s.On("exit", func(context.Context, *Event) error { goexit(); return nil })
		s.On("ok", func(_ context.Context, e *Event) error { return e.Ack() })
	})
	c := r.join(s, "/")
	c.emit("1", "exit")
	c.emit("2", "ok")
	if p := c.expect(wire.KindAck); p.id != "2" {
		t.Errorf("got acknowledgement %s, want 2", p.id)
	}
	c.emit("3", "exit") // the last one is handled, too: a full window must open again
	eventually(t, "the handled mark", c.credited)
}
