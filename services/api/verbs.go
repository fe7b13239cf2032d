package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// verb is one subject of the API.
type verb struct {
	name, does string
	do         func(ctx context.Context, s *Service, request []byte) (result any, err error)
}

// verbs returns all there are.
func verbs() []verb {
	return []verb{
		{"emit", "send an event to clients, and wait for their acknowledgements if ack is true", emit},
		{"join", "put sockets into rooms", join},
		{"leave", "take sockets out of rooms", leave},
		{"disconnect", "disconnect sockets", disconnect},
		{"fetch", "describe sockets", fetch},
		{"count", "count sockets", count},
		{"serverSideEmit", "send an event to all instances of applications", serverSideEmit},
	}
}

// done is the result of what has none: it is confirmed.
type done struct{}

// event is what emit and serverSideEmit send.
type event struct {
	Event *string         `json:"event"` // required; any text but the reserved names
	Args  json.RawMessage `json:"args"`
}

func (e *event) values() (name string, values []any, err error) {
	if e.Event == nil {
		return "", nil, invalid("event is missing")
	}
	args, err := parseArgs(e.Args)
	if err != nil {
		return "", nil, err
	}
	return *e.Event, args.Values(), nil
}

// change answers a request that changes something: behind its confirmation.
func change(ctx context.Context, s *Service, t *target, f func(*socketio.Namespace) error) (any, error) {
	ctx, cancel, err := s.bounded(ctx, t)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := s.io.Confirmed(ctx, t.Namespace, f); err != nil {
		return nil, err
	}
	return done{}, nil
}

// errAnswered ends Confirmed where there is nothing to confirm: f has the answer.
var errAnswered = errors.New("answered")

// ask answers a request that f knows the answer to.
func ask(ctx context.Context, s *Service, t *target, f func(context.Context, *socketio.Namespace) (any, error)) (any, error) {
	ctx, cancel, err := s.bounded(ctx, t)
	if err != nil {
		return nil, err
	}
	defer cancel()
	var result any
	err = s.io.Confirmed(ctx, t.Namespace, func(n *socketio.Namespace) error {
		var err error
		if result, err = f(ctx, n); err != nil {
			return err
		}
		return errAnswered
	})
	if !errors.Is(err, errAnswered) {
		return nil, err
	}
	return result, nil
}

func join(ctx context.Context, s *Service, request []byte) (any, error) {
	var q struct {
		target
		selection
		Join []string `json:"join"` // the rooms; required
	}
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if len(q.Join) == 0 {
		return nil, invalid("join, the rooms to be in, is missing or empty")
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return change(ctx, s, &q.target, func(n *socketio.Namespace) error { return q.of(n).SocketsJoin(q.Join...) })
}

func leave(ctx context.Context, s *Service, request []byte) (any, error) {
	var q struct {
		target
		selection
		Leave []string `json:"leave"` // the rooms; required
	}
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if len(q.Leave) == 0 {
		return nil, invalid("leave, the rooms to be out of, is missing or empty")
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return change(ctx, s, &q.target, func(n *socketio.Namespace) error { return q.of(n).SocketsLeave(q.Leave...) })
}

func disconnect(ctx context.Context, s *Service, request []byte) (any, error) {
	var q struct {
		target
		selection
		Close bool `json:"close"` // their connections too, with all namespaces
	}
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return change(ctx, s, &q.target, func(n *socketio.Namespace) error { return q.of(n).DisconnectSockets(q.Close) })
}

func count(ctx context.Context, s *Service, request []byte) (any, error) {
	var q struct {
		target
		selection
	}
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	return ask(ctx, s, &q.target, func(ctx context.Context, n *socketio.Namespace) (any, error) {
		count, err := q.of(n).Count(ctx)
		return struct {
			Count int `json:"count"`
		}{count}, err
	})
}

func serverSideEmit(ctx context.Context, s *Service, request []byte) (any, error) {
	var q struct {
		target
		event
		Ack bool `json:"ack"` // refused
	}
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if q.Ack {
		return nil, invalid("serverSideEmit takes no acknowledgements here: an application's own can wait for them")
	}
	name, args, err := q.values()
	if err != nil {
		return nil, err
	}
	return change(ctx, s, &q.target, func(n *socketio.Namespace) error { return n.ServerSideEmit(name, args...) })
}
