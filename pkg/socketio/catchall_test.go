package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestOnAny(t *testing.T) {
	seen := make(chan string, 16)
	note := func(name string) Handler {
		return func(_ context.Context, e *Event) error { seen <- name + " " + e.Name; return nil }
	}
	r, s, failures, _ := serve(t, func(s *Socket) {
		s.OnAny(note("one"))
		off := s.OnAny(note("removed"))
		s.OnAny(func(context.Context, *Event) error { return errors.New("stops nothing") })
		s.PrependAny(note("first"))
		off()
		if n := len(s.ListenersAny()); n != 3 {
			t.Errorf("got %d listeners, want 3", n)
		}
		s.On("a", note("handler"))
		s.On("off", func(context.Context, *Event) error { s.OffAny(); return nil })
		s.On("a", note("second handler"))
		if got, want := s.EventNames(), []string{"a", "off"}; !slices.Equal(got, want) {
			t.Errorf("got events %q, want %q", got, want)
		}
	})
	c := r.join(s, "/")
	for _, event := range []string{"a", "unknown", "off", "a"} {
		c.emit("", event)
	}
	for _, want := range []string{ // SOC-033
		"first a", "one a", "handler a", "second handler a", "first unknown", "one unknown", "first off", "one off",
		"handler a", "second handler a",
	} {
		if got := receive(t, "a listener", seen); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if err := receive(t, "the error", failures); !strings.HasSuffix(err.Error(), "stops nothing") {
		t.Errorf("got %v", err)
	}
}

func TestPacketMiddlewares(t *testing.T) {
	seen := make(chan string, 16)
	refusal := errors.New("unauthorized event")
	r, s, failures, _ := serve(t, func(s *Socket) {
		s.OnAny(func(_ context.Context, e *Event) error { seen <- "any " + e.Name; return nil })
		s.Use(func(_ context.Context, e *Event) error {
			switch e.Name {
			case "refused":
				return refusal
			case "panics":
				panic("oh")
			}
			if e.Socket() != s {
				t.Error("an event of another socket")
			}
			return nil
		})
		s.Use(func(_ context.Context, e *Event) error {
			e.Name = strings.ToLower(e.Name)
			return e.SetArgs(append([]any{"added", []byte{7}}, e.Args.Values()...)...)
		})
		s.On("e", func(_ context.Context, e *Event) error {
			var word string
			var data, more []byte
			err := e.Bind(&word, &data, &more)
			seen <- fmt.Sprintf("e %s %x %x", word, data, more)
			if unsendable := e.SetArgs(func() {}); unsendable == nil || e.Args.Len() != 3 {
				t.Errorf("got %v, %d arguments", unsendable, e.Args.Len())
			}
			return errors.Join(err, e.Ack("done"))
		})
		s.On("refused", func(context.Context, *Event) error { t.Error("the handler was called"); return nil })
	})
	c := r.join(s, "/")
	c.emit("1", "refused")
	c.emit("2", "panics")
	c.emit("3", "E", []byte{8})
	for _, want := range []string{"any refused", "any panics", "any E", "e added 07 08"} { // SOC-031: it sees and changes events
		if got := receive(t, "what is seen", seen); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	if p := c.expect(wire.KindAck); p.id != "3" { // SOC-032: the refused ones are not answered, the connection is kept
		t.Errorf("got acknowledgement %s, want 3", p.id)
	}
	if err := receive(t, "the refusal", failures); !errors.Is(err, refusal) { // SOC-030: nobody listens on the socket
		t.Errorf("got %v", err)
	}
	var panicked *PanicError
	if err := receive(t, "the panic", failures); !errors.As(err, &panicked) {
		t.Errorf("got %v", err)
	}
	eventually(t, "credit for refused packets too", c.credited)
}

func TestSocketErrors(t *testing.T) {
	heard := make(chan error, 4)
	refusal := errors.New("unauthorized event")
	r, s, failures, _ := serve(t, func(s *Socket) {
		s.OnError(func(error) { panic("in OnError") })
		s.OnError(func(err error) { heard <- err })
		s.Use(func(_ context.Context, e *Event) error {
			if e.Name == "refused" {
				return refusal
			}
			return nil
		})
		s.On("fails", func(context.Context, *Event) error { return errors.New("handler") })
	})
	c := r.join(s, "/")
	c.emit("", "refused")
	var failure *HandlerError
	if err := receive(t, "the refusal", heard); !errors.Is(err, refusal) || !errors.As(err, &failure) || failure.Event != "refused" { // SOC-032
		t.Errorf("got %v", err)
	}
	c.emit("", "fails")
	if err := receive(t, "the handler's error", heard); err.Error() != `handle "fails" in namespace "/": handler` {
		t.Errorf("got %v", err)
	}
	for range 2 { // what fails in OnError has nobody but the Server
		var panicked *PanicError
		if err := receive(t, "the panic", failures); !errors.As(err, &panicked) {
			t.Errorf("got %v", err)
		}
	}
}

func TestMiddlewareDisconnects(t *testing.T) {
	r, s, _, sockets := serve(t, func(s *Socket) {
		s.Use(func(context.Context, *Event) error { return s.Disconnect(false) })
		s.On("e", func(context.Context, *Event) error { t.Error("an event after the disconnect"); return nil }) // SOC-028
	})
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	c.emit("", "e")
	c.expect(wire.KindClose)
	eventually(t, "the end", func() bool { return !socket.Connected() && idle(s) })
}

func TestOnAnyOutgoing(t *testing.T) {
	seen := make(chan string, 32)
	note := func(name string) OutgoingHandler {
		return func(event string, args Args) {
			var n int
			var data []byte
			if err := args.Bind(&n, &data); err != nil {
				t.Error(err)
			}
			seen <- fmt.Sprintf("%s %s %d %x", name, event, n, data)
		}
	}
	r, s, _, sockets := serve(t, func(s *Socket) {
		s.On("ask", func(_ context.Context, e *Event) error { return e.Ack(1, []byte{2}) })
	})
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	expect := func(want ...string) {
		t.Helper()
		for _, w := range want {
			if got := receive(t, w, seen); got != w {
				t.Fatalf("got %s, want %s", got, w)
			}
		}
	}
	socket.OnAnyOutgoing(note("b"))
	off := socket.PrependAnyOutgoing(note("a"))
	socket.PrependAnyOutgoing(func(string, Args) { panic("stops nothing") })
	if n := len(socket.ListenersAnyOutgoing()); n != 3 {
		t.Errorf("got %d listeners, want 3", n)
	}
	c.emit("1", "ask")
	c.expect(wire.KindAck) // SOC-035: not seen, as what follows shows
	if err := socket.Emit("direct", 3, []byte{4}); err != nil {
		t.Fatal(err)
	}
	expect("a direct 3 04", "b direct 3 04") // SOC-034: prepended, with binary
	if err := s.To(c.id).Emit("broad", 5, []byte{6}); err != nil {
		t.Fatal(err)
	}
	expect("a broad 5 06", "b broad 5 06") // SOC-034: broadcasts too
	off()
	if err := s.Emit("broad", 7, []byte{8}); err != nil {
		t.Fatal(err)
	}
	expect("b broad 7 08")
	socket.OffAnyOutgoing()
	eventually(t, "the edge sends no more copies", func() (off bool) {
		c.lock(func() { off = !c.watched })
		return off
	})
	if err := errors.Join(socket.Emit("unseen", 9), s.Emit("unseen", 9), flushAll(t, s)); err != nil {
		t.Fatal(err)
	}
	if len(seen) > 0 {
		t.Errorf("got %s after the listeners were removed", <-seen)
	}
}

func TestCopiesAreBounded(t *testing.T) {
	hold, seen := make(chan struct{}), make(chan struct{}, 2*maxCopies)
	r, s, failures, sockets := serve(t, func(s *Socket) {
		s.OnAnyOutgoing(func(string, Args) { seen <- struct{}{} })
		s.On("hold", func(context.Context, *Event) error { <-hold; return nil })
	})
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	c.emit("", "hold")
	body, err := newEncoder().event(nil, "e", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.lock(func() {
		for range maxCopies + 10 {
			c.send(wire.Record{Kind: wire.KindCopy, Body: body}, nil)
		}
	})
	if err := receive(t, "the error", failures); !errors.Is(err, errMissed) {
		t.Errorf("got %v", err)
	}
	close(hold)
	for range maxCopies {
		receive(t, "a copy", seen)
	}
	if !socket.Connected() {
		t.Error("the socket was lost over copies")
	}
	eventually(t, "credit for the event", c.credited)
}

// TestCopiesAreBoundedInBytes: few large ones are too many, but one is not.
func TestCopiesAreBoundedInBytes(t *testing.T) {
	begun, hold, seen := make(chan struct{}), make(chan struct{}), make(chan int, 16)
	r, s, failures, sockets := serve(t, func(s *Socket) {
		s.OnAnyOutgoing(func(_ string, args Args) { seen <- len(args.Raw(0)) })
		s.On("hold", func(context.Context, *Event) error { close(begun); <-hold; return nil })
	})
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	c.emit("", "hold")
	receive(t, "the handler", begun)
	large, err := (&encoder{maxPacket: maxPacket}).event(nil, "e", []any{strings.Repeat("x", maxCopied/8*5)})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		socket.pushCopy(large)
	}
	if err := receive(t, "the error", failures); !errors.Is(err, errMissed) {
		t.Errorf("got %v", err)
	}
	close(hold)
	receive(t, "a copy", seen)
	eventually(t, "credit for the event", c.credited)
	socket.pushCopy(large)
	receive(t, "a copy", seen) // there is room again
	if n := len(seen); n > 0 {
		t.Errorf("%d copies are seen that were to be left out", n)
	}
}

func TestSend(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	if err := errors.Join( // SOC-003
		socket.Send(nil), socket.Volatile().Send(1), s.Send("a"), s.Of("/").Send("b"), s.To(c.id).Send("c"),
	); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"19message null", "19message 1", `24message "a"`, `24message "b"`, `24message "c"`} {
		if got := receive(t, want, c.got).String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestCompressFlag(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	plain := socket.Compress(false)
	if err := errors.Join(
		socket.Emit("e"), plain.Emit("e"), plain.Compress(true).Emit("e"), plain.Volatile().Emit("e"), socket.Emit("e"),
		s.Emit("e"), s.Compress(false).Emit("e"), s.Of("/").Compress(false).To(c.id).Emit("e"), s.Emit("e"),
	); err != nil {
		t.Fatal(err)
	}
	// SOC-036 and BRO-012: compressed by default. SOC-037: an option holds for its own emitter only.
	for i, want := range []wire.Flags{
		0, wire.FlagNoCompress, 0, wire.FlagNoCompress | wire.FlagVolatile, 0, 0, wire.FlagNoCompress, wire.FlagNoCompress, 0,
	} {
		if got := receive(t, "a packet", c.got).flags; got != want {
			t.Errorf("packet %d: got flags %b, want %b", i, got, want)
		}
	}
}

func TestWhatASocketKnows(t *testing.T) {
	again := make(chan bool, 2)
	r, s, _, sockets := serve(t, func(s *Socket) {
		s.On("e", func(_ context.Context, e *Event) error { again <- e.Redelivered(); return nil })
	})
	c := r.knock(s, "/", func(c *siomeshv1.Connect) {
		c.Transport, c.Upgraded, c.Protocol, c.Handshake.Address = "websocket", true, 4, "192.0.2.1"
	})
	c.expect(wire.KindAccept)
	socket := receive(t, "the socket", sockets)
	want := Conn{Transport: "websocket", Upgraded: true, Protocol: 4, RemoteAddress: "192.0.2.1", Edge: c.addr.Edge.String()}
	if got := socket.Conn(); got != want { // SOC-017
		t.Errorf("got %+v, want %+v", got, want)
	}
	if socket.Recovered() {
		t.Error("recovered, without an earlier connection")
	}
	body, err := newEncoder().event(nil, "e", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, flags := range []wire.Flags{0, wire.FlagRedelivered} {
		c.lock(func() { c.send(wire.Record{Kind: wire.KindEvent, Flags: flags, Body: body}, nil) })
		if got, want := receive(t, "the event", again), flags != 0; got != want {
			t.Errorf("redelivered: got %v, want %v", got, want)
		}
	}
}
