package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// lobbyWait is how long the middleware of /lobby takes, so that clients can leave meanwhile.
const lobbyWait = 300 * time.Millisecond

// app is what the handlers share.
type app struct {
	io       *socketio.Server
	instance string
}

func register(io *socketio.Server, instance string) error {
	a := &app{io: io, instance: instance}
	plain := []string{"/", "/news", "/guarded", "/members"} // the auth service's policy guards /members
	errs := []error{
		io.Of("/guarded").Use(guard),
		io.Of("/custom").OnConnection(custom),
		io.Of("/early").Use(early),
		io.Of("/early").OnConnection(func(s *socketio.Socket) { check(s, s.Emit("late", 3)) }),
		io.Of("/waiting").OnConnection(waiting),
		io.Of("/lobby").Use(a.lobby),
		io.Of("/lobby").OnConnection(func(s *socketio.Socket) { check(s, s.Emit("in")) }),
	}
	for _, name := range plain {
		n := io.Of(name)
		errs = append(errs, n.OnConnection(func(s *socketio.Socket) { a.serve(n, s) }))
	}
	return errors.Join(errs...)
}

// check ends a socket to which something could not be sent: the scenario sees that.
func check(s *socketio.Socket, err error) {
	if err != nil {
		_ = s.Disconnect(true)
	}
}

func guard(_ context.Context, s *socketio.Socket) error {
	if s.Handshake().Auth.Get("token") == "open sesame" {
		return nil
	}
	return &socketio.ConnectError{
		Message: "not authorized",
		Data:    map[string]any{"content": "Please retry later", "retry": true},
	}
}

func custom(s *socketio.Socket) { check(s, s.Emit("auth", auth(s))) }

// early emits and joins before the client is connected.
func early(_ context.Context, s *socketio.Socket) error {
	return errors.Join(s.Emit("early", 1), s.Join("early"), s.Emit("early", 2))
}

// waiting asks the client something while it connects.
func waiting(s *socketio.Socket) {
	s.On("after", echo)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	reply, err := s.EmitWithAck(ctx, "question", "ready?")
	check(s, cmp.Or(err, s.Emit("answered", reply.Raw(0))))
}

// lobby joins a room in the middleware, takes its time, and tells the room of that name in "/" about both.
func (a *app) lobby(ctx context.Context, s *socketio.Socket) error {
	room := s.Handshake().Auth.Get("room")
	told := a.io.Of("/").To(room)
	err := errors.Join(s.Join(room), told.Emit("lobby", "entered"))
	wait := time.NewTimer(lobbyWait)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
	return errors.Join(err, told.Emit("lobby", "passed"))
}

// auth is the payload of the CONNECT packet, {} without one.
func auth(s *socketio.Socket) json.RawMessage {
	if raw := s.Handshake().Auth.JSON(); raw != nil {
		return raw
	}
	return json.RawMessage("{}")
}
