package main

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// between is a namespace whose instances talk to one another, and hear what happens to its rooms.
type between struct {
	instance string

	mu    sync.Mutex
	heard map[string][]string // guarded by mu; by room, what happened to it
}

func (a *app) between(n *socketio.Namespace) error {
	b := &between{instance: a.instance, heard: map[string][]string{}}
	n.OnCreateRoom(func(room string) { b.hear(room, "create") })
	n.OnJoin(func(room, id string) { b.hear(room, "join", id) })
	n.OnLeave(func(room, id string) { b.hear(room, "leave", id) })
	n.OnDeleteRoom(func(room string) { b.hear(room, "delete") })
	n.OnServerSide("tell", func(_ context.Context, e *socketio.ServerEvent) error {
		var room string
		return errors.Join(e.Args.Bind(&room), n.To(room).Emit("told", append([]any{b.instance}, e.Args.Values()[1:]...)...))
	})
	n.OnServerSide("who", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack(b.instance) })
	return n.OnConnection(func(s *socketio.Socket) {
		s.On("join", func(_ context.Context, e *socketio.Event) error {
			rooms, err := roomsOf(e.Args, 0)
			return errors.Join(err, s.Join(rooms...), e.Ack())
		})
		s.On("leave", func(_ context.Context, e *socketio.Event) error {
			rooms, err := roomsOf(e.Args, 0)
			return errors.Join(err, s.Leave(rooms...), e.Ack())
		})
		s.On("whoami", func(_ context.Context, e *socketio.Event) error { return e.Ack(b.instance) })
		s.On("tell", func(_ context.Context, e *socketio.Event) error {
			return errors.Join(n.ServerSideEmit("tell", e.Args.Values()...), e.Ack())
		})
		s.On("who", func(ctx context.Context, e *socketio.Event) error {
			replies, err := n.ServerSideEmitWithAck(ctx, "who")
			others := make([]any, len(replies))
			for i, r := range replies {
				others[i] = only(r.Args)
			}
			return errors.Join(err, e.Ack(others))
		})
		s.On("heard", func(_ context.Context, e *socketio.Event) error {
			var room string
			return errors.Join(e.Bind(&room), e.Ack(b.of(room)))
		})
	})
}

func (b *between) hear(room string, what ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[room] = append(b.heard[room], strings.Join(what, " "))
}

func (b *between) of(room string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.heard[room]...)
}
