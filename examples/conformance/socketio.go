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
// Clients of Socket.IO 2.x are served if protocol 3 of Engine.IO is allowed.
func program(allowEIO3 bool) serve.Program {
	return serve.Program{
		Name:     "conformance",
		Register: register,
		Tune: func(c *siomesh.Config) {
			c.PingInterval = 300 * time.Millisecond
			c.PingTimeout = 200 * time.Millisecond
			c.ConnectTimeout = time.Second
			c.AppWait = 500 * time.Millisecond // must be below the connect timeout
			c.CORSOrigins = []string{"*"}
			c.AllowEIO3 = allowEIO3
		},
	}
}

func register(io *socketio.Server) error {
	return errors.Join(
		io.Of("/").OnConnection(func(s *socketio.Socket) {
			s.On("message", func(_ context.Context, e *socketio.Event) error {
				return s.Emit("message-back", e.Args.Values()...)
			})
			s.On("message-with-ack", func(_ context.Context, e *socketio.Event) error {
				return e.Ack(e.Args.Values()...)
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
