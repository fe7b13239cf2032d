package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// single adds handlers for what can be done to one socket.
func (c *client) single() {
	for event, h := range map[string]socketio.Handler{
		"message": c.message, "volatile": c.volatile, "plain": c.plain, "late": c.late, "twice": twice,
		"set": c.set, "unset": c.unset, "conn": c.conn, "fails": fails, "panics": panics, "names": c.names, "stop": c.stop,
	} {
		c.s.On(event, h)
	}
	c.s.Once("once", echo)
	socketio.On(c.s, "add", add)
}

// message sends back what was sent.
func (c *client) message(_ context.Context, e *socketio.Event) error {
	return c.s.Send(e.Args.Values()...)
}

// volatile(event, …) says that if the client can take it at once.
func (c *client) volatile(_ context.Context, e *socketio.Event) error {
	var event string
	return errors.Join(e.Bind(&event), c.s.Volatile().Emit(event, e.Args.Values()[1:]...))
}

// plain(event, …) says that and does not compress it.
func (c *client) plain(_ context.Context, e *socketio.Event) error {
	var event string
	return errors.Join(e.Bind(&event), c.s.Compress(false).Emit(event, e.Args.Values()[1:]...))
}

// late answers after the handler has returned: with the next event of that name.
func (c *client) late(_ context.Context, e *socketio.Event) error {
	if c.kept == nil {
		c.kept = e
		return nil
	}
	return errors.Join(c.kept.Ack("first"), e.Ack("second"))
}

func twice(_ context.Context, e *socketio.Event) error {
	return errors.Join(e.Ack("once"), e.Ack("twice"))
}

func (c *client) set(_ context.Context, e *socketio.Event) error {
	var key string
	var value any
	return errors.Join(e.Bind(&key, &value), c.s.Data().Set(key, value), e.Ack())
}

func (c *client) unset(_ context.Context, e *socketio.Event) error {
	var key string
	return errors.Join(e.Bind(&key), c.s.Data().Delete(key), e.Ack())
}

// conn answers with the connection as it was when the client joined, and as it is now.
func (c *client) conn(ctx context.Context, e *socketio.Event) error {
	now, err := c.s.CurrentConn(ctx)
	if err != nil {
		return err
	}
	return e.Ack(c.s.Conn(), now, c.s.User(), c.s.Recovered(), c.s.Connected())
}

func fails(context.Context, *socketio.Event) error { return errors.New("a handler that fails") }

func panics(context.Context, *socketio.Event) error { panic("a handler that panics") } //nolint:forbidigo // as applications do

// names answers which events have handlers.
func (c *client) names(_ context.Context, e *socketio.Event) error { return e.Ack(c.s.EventNames()) }

// stop(event) removes the handlers of an event.
func (c *client) stop(_ context.Context, e *socketio.Event) error {
	var event string
	err := e.Bind(&event)
	c.s.Off(event)
	return errors.Join(err, e.Ack())
}

type summands struct{ A, B int }

// add is a handler with types.
func add(_ context.Context, in summands) (map[string]int, error) {
	if in.A < 0 {
		return nil, fmt.Errorf("%d is below zero", in.A)
	}
	return map[string]int{"sum": in.A + in.B}, nil
}

// spied adds listeners of every kind, each of which notes what it sees; "trace" answers with that.
func spied(s *socketio.Socket) {
	var seen []string // by the socket's own goroutine
	note := func(who string) socketio.Handler {
		return func(_ context.Context, e *socketio.Event) error {
			if e.Name != "trace" {
				seen = append(seen, who+" "+e.Name)
			}
			return nil
		}
	}
	noteOut := func(who string) socketio.OutgoingHandler {
		return func(event string, args socketio.Args) {
			var binary []byte
			if args.Bind(&binary) == nil {
				event += fmt.Sprintf(" %x", binary)
			}
			seen = append(seen, who+" "+event)
		}
	}
	s.OnAny(note("any"))
	s.PrependAny(note("first"))
	s.OnAny(note("removed"))()
	s.OnAnyOutgoing(noteOut("out"))
	s.PrependAnyOutgoing(noteOut("first out"))
	s.OnAnyOutgoing(noteOut("removed"))()
	s.Use(func(_ context.Context, e *socketio.Event) error {
		switch e.Name {
		case "refused":
			return errors.New("a packet middleware refuses")
		case "renamed":
			e.Name = "said"
			return e.SetArgs(append([]any{"renamed"}, e.Args.Values()...)...)
		}
		return nil
	})
	s.Use(socketio.PacketMiddleware(note("second middleware")))
	s.OnError(func(err error) { seen = append(seen, "error "+err.Error()) })
	s.On("said", note("handler"))
	s.On("said", func(_ context.Context, e *socketio.Event) error {
		return errors.Join(s.Emit("heard", e.Args.Values()...), e.Ack(e.Name))
	})
	s.On("refused", note("handler"))
	s.On("say", func(_ context.Context, e *socketio.Event) error { return s.Namespace().Emit("all", e.Args.Values()...) })
	s.On("trace", func(_ context.Context, e *socketio.Event) error { return e.Ack(append([]string{}, seen...)) })
	s.On("not any", func(_ context.Context, e *socketio.Event) error {
		s.OffAny()
		s.OffAnyOutgoing()
		return e.Ack(len(s.ListenersAny()) + len(s.ListenersAnyOutgoing()))
	})
}

// odd answers events of any name, by an event of that name and an acknowledgement.
func odd(s *socketio.Socket) {
	s.OnAny(func(_ context.Context, e *socketio.Event) error {
		return errors.Join(s.Emit(e.Name, e.Args.Values()...), e.Ack(e.Name))
	})
}
