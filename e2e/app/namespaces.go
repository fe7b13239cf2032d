package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// lobbyWait is how long the middleware of /lobby takes, so that clients can leave meanwhile.
const lobbyWait = time.Second

// app is what the handlers share.
type app struct {
	io       *socketio.Server
	instance string
	dynamic  *socketio.ParentNamespace
}

func register(io *socketio.Server, instance string) error {
	a := &app{io: io, instance: instance, dynamic: io.OfRegexp(regexp.MustCompile(`^/dynamic-`))}
	function := io.OfFunc(allowed)
	plain := []string{"/", "/news", "/guarded", "/members"} // the auth service's policy guards /members
	errs := []error{
		io.Of("/guarded").Use(guard),
		io.Of("/custom").OnConnection(custom),
		io.Of("/early").Use(early),
		io.Of("/early").OnConnection(func(s *socketio.Socket) { check(s, s.Emit("late", 3)) }),
		io.Of("/waiting").OnConnection(waiting),
		io.Of("/lobby").Use(a.lobby),
		io.Of("/lobby").OnConnection(func(s *socketio.Socket) { check(s, s.Emit("in")) }),
		io.Of("/spied").OnConnection(spied),
		a.between(io.Of("/between")),
		a.dynamic.Use(first), a.dynamic.Use(second),
		a.dynamic.OnConnection(func(s *socketio.Socket) { a.serve(s.Namespace(), s) }),
		a.dynamic.OnConnection(func(s *socketio.Socket) {
			if strings.HasPrefix(s.Namespace().Name(), "/dynamic-odd") {
				odd(s)
			}
		}),
		function.OnConnection(func(s *socketio.Socket) { a.serve(s.Namespace(), s) }),
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

// allowed decides about namespaces whose names begin with /if-.
func allowed(_ context.Context, name string, h socketio.Handshake) (bool, error) {
	if !strings.HasPrefix(name, "/if-") {
		return false, nil
	}
	if h.Auth.Get("may") == "fail" {
		return false, errors.New("a function that fails")
	}
	return h.Auth.Get("may") == "come", nil
}

// first and second are the middlewares of dynamic namespaces: they leave traces in data, and refuse who asks for it.
func first(_ context.Context, s *socketio.Socket) error {
	if by := s.Handshake().Auth.Get("refuse"); by == "first" {
		return errors.New("refused by the first")
	}
	return s.Data().Set("passed", []string{"first"})
}

func second(_ context.Context, s *socketio.Socket) error {
	var passed []string
	_, err := s.Data().Get("passed", &passed)
	if s.Handshake().Auth.Get("refuse") == "second" {
		return errors.Join(s.Join("refused"), errors.New("refused by the second"))
	}
	return errors.Join(err, s.Data().Set("passed", append(passed, "second")))
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
