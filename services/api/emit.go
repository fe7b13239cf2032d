package api

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// emitRequest is what emit takes.
type emitRequest struct {
	target
	selection
	event
	Volatile bool  `json:"volatile"` // it may be dropped
	Compress *bool `json:"compress"` // true if missing
	Ack      bool  `json:"ack"`      // wait for the clients
}

// acknowledged is what emit answers if ack is true.
type acknowledged struct {
	Replies []reply `json:"replies"` // in the order in which they came
	// Missing are the clients that have not acknowledged, Reason why: timeout, or disconnected if they all have left.
	Missing   []string `json:"missing"`
	Reason    string   `json:"reason,omitempty"`
	Truncated bool     `json:"truncated"` // there are more replies than an answer holds
}

// reply is what a client has acknowledged with.
type reply struct {
	ID    string          `json:"id"`
	Reply json.RawMessage `json:"reply,omitempty"` // its first argument; absent if it sent none
}

func emit(ctx context.Context, s *Service, request []byte) (any, error) {
	var q emitRequest
	if err := decode(request, &q); err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	name, args, err := q.values()
	if err != nil {
		return nil, err
	}
	if !q.Ack {
		return change(ctx, s, &q.target, func(n *socketio.Namespace) error { return q.to(n).Emit(name, args...) })
	}
	return ask(ctx, s, &q.target, func(ctx context.Context, n *socketio.Namespace) (any, error) {
		return s.gather(ctx, q.to(n), name, args)
	})
}

// to returns whom and how.
func (q *emitRequest) to(n *socketio.Namespace) socketio.BroadcastOperator {
	b := q.of(n)
	if q.Compress != nil {
		b = b.Compress(*q.Compress)
	}
	if q.Volatile {
		b = b.Volatile()
	}
	return b
}

// gather waits for acknowledgements, and keeps as many as an answer holds.
func (s *Service) gather(ctx context.Context, to socketio.BroadcastOperator, name string, args []any) (any, error) {
	result := acknowledged{Replies: []reply{}, Missing: []string{}}
	room := room{left: s.micro.Limit()}
	for r, err := range to.EachAck(ctx, name, args...) {
		var missing *socketio.MissingError
		switch {
		case errors.As(err, &missing) && errors.Is(err, socketio.ErrTimeout):
			result.Reason = "timeout"
		case errors.As(err, &missing) && errors.Is(err, socketio.ErrDisconnected):
			result.Reason = "disconnected"
		case err != nil:
			return nil, err
		}
		if missing != nil {
			for _, id := range missing.SocketIDs {
				if result.Truncated = result.Truncated || !room.take(len(id)); !result.Truncated {
					result.Missing = append(result.Missing, id)
				}
			}
			break
		}
		one := reply{ID: r.SocketID, Reply: withBinary(r.Args())}
		if result.Truncated = result.Truncated || !room.take(len(one.ID)+len(one.Reply)); !result.Truncated {
			result.Replies = append(result.Replies, one)
		}
	}
	return result, nil
}

// room is what is left of an answer.
type room struct{ left int }

// take reports whether an element of that size, and what stands around it, fits too.
func (r *room) take(size int) bool {
	const around = 64
	r.left -= size + around
	return r.left >= around
}
