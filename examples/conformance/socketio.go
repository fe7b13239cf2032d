package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/siomesh/siomesh/examples/serve"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// program is the server that the Socket.IO v5 suite asks for: it waits for pings and time-outs, so they are short.
func program() serve.Program {
	return serve.Program{
		Name:     "conformance",
		Register: register,
		Tune: func(c *siomesh.Config) {
			c.PingInterval = 300 * time.Millisecond
			c.PingTimeout = 200 * time.Millisecond
			c.ConnectTimeout = time.Second
			c.AppWait = 500 * time.Millisecond // must be below the connect timeout
			c.CORSOrigins = []string{"*"}
		},
	}
}

func register(io *socketio.Server) error {
	return errors.Join(
		io.Of("/").OnConnection(func(s *socketio.Socket) {
			s.On("message", func(_ context.Context, e *socketio.Event) error {
				args, err := arguments(e)
				if err != nil {
					return err
				}
				return s.Emit("message-back", args...)
			})
			s.On("message-with-ack", func(_ context.Context, e *socketio.Event) error {
				args, err := arguments(e)
				if err != nil {
					return err
				}
				return e.Ack(args...)
			})
			welcome(s)
		}),
		io.Of("/custom").OnConnection(welcome),
	)
}

// welcome tells the client what it sent with its CONNECT packet.
func welcome(s *socketio.Socket) {
	auth := s.Handshake().Auth.JSON()
	if auth == nil {
		auth = json.RawMessage("{}")
	}
	if err := s.Emit("auth", auth); err != nil {
		_ = s.Disconnect(true)
	}
}

// arguments decodes what a client sent, binary included.
func arguments(e *socketio.Event) ([]any, error) {
	args := make([]any, e.Args.Len())
	targets := make([]any, len(args))
	for i := range args {
		targets[i] = &args[i]
	}
	return args, e.Bind(targets...)
}
