// Command bench is the server that cmd/siobench measures: it echoes, joins rooms and broadcasts, and does nothing else.
package main

import (
	"context"
	"errors"

	"github.com/siomesh/siomesh/examples/serve"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func main() {
	var flags serve.Flags
	serve.Main(&flags, &flags, serve.Program{Name: "bench", Description: "The server under siobench.", Register: register})
}

func register(io *socketio.Server) error {
	n := io.Of("/")
	return n.OnConnection(func(s *socketio.Socket) {
		s.On("echo", echo)
		s.On("join", func(_ context.Context, e *socketio.Event) error {
			var rooms []string
			if err := e.Bind(&rooms); err != nil {
				return err
			}
			return errors.Join(s.Join(rooms...), e.Ack())
		})
		s.On("bcast", func(_ context.Context, e *socketio.Event) error {
			var room, payload string
			if err := e.Bind(&room, &payload); err != nil {
				return err
			}
			return errors.Join(n.To(room).Emit("msg", payload), e.Ack())
		})
	})
}

// echo answers with what came.
func echo(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) }
