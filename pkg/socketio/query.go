package socketio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// query asks the owner of the namespace's partition.
func (s *Server) query(ctx context.Context, n *Namespace, q *siomeshv1.RoomsRequest) (*siomeshv1.RoomsReply, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	ctx, cancel := s.patient(ctx)
	defer cancel()
	if err := s.out.awaitOwner(ctx, n.partition); err != nil {
		return nil, err
	}
	owner, op := s.out.parts[n.partition].sent()
	q.Namespace, q.Instance, q.Operation = n.name, s.self.Instance.String(), op
	data, err := proto.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode query: %w", err)
	}
	answer, err := s.bus.Request(ctx, s.subjects.RPC(owner), data)
	if errors.Is(err, bus.ErrNoResponders) {
		s.peers.Suspect(owner.Instance)
		return nil, fmt.Errorf("%w: %w", ErrNoRooms, err)
	}
	switch {
	case errors.Is(err, bus.ErrTooLarge):
		return nil, fmt.Errorf("%w: a question of %d bytes", ErrTooLarge, len(data))
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	}
	reply := new(siomeshv1.RoomsReply)
	if err := proto.Unmarshal(answer, reply); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if e := reply.GetError(); e != nil {
		return nil, roomsError(e)
	}
	return reply, nil
}

// roomsError is what rooms answers instead.
func roomsError(e *siomeshv1.Error) error {
	switch e.GetCode() {
	case "timeout":
		return fmt.Errorf("%w: rooms answers: %s", ErrTimeout, e.GetMessage())
	case "not_owner":
		return fmt.Errorf("%w: rooms answers: %s", ErrNoRooms, e.GetMessage())
	default:
		return fmt.Errorf("rooms answers %s: %s", e.GetCode(), e.GetMessage())
	}
}

// awaitOwner waits until somebody owns the partition, at most for the timeout.
func (o *outbox) awaitOwner(ctx context.Context, number uint8) error {
	p := &o.parts[number]
	if owner := p.ownerNow(); !owner.Instance.IsZero() {
		return nil
	}
	w := newWaiter()
	p.mu.Lock()
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	defer p.leave(w)
	timer := time.NewTimer(o.timeout)
	defer timer.Stop()
	for {
		if owner := p.ownerNow(); !owner.Instance.IsZero() {
			return nil
		}
		select {
		case <-w.wake:
		case <-timer.C:
			return ErrNoRooms
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrNoRooms, context.Cause(ctx))
		case <-o.closed:
			return ErrClosed
		}
	}
}

// patient returns ctx with a deadline: its own, or Config.EmitTimeout from now.
func (s *Server) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, s.cfg.EmitTimeout, ErrTimeout)
}

// settled waits until the edges have applied what this Server did to a partition so far. ctx must have a deadline.
func (o *outbox) settled(ctx context.Context, number uint8) error {
	f := o.parts[number].flush()
	if f == nil {
		return nil
	}
	var err error
	select {
	case err = <-f.done:
	case <-o.closed:
		return ErrClosed
	case <-ctx.Done():
		select {
		case err = <-f.done: // as well
		default:
			return fmt.Errorf("wait for what was done before: %w", context.Cause(ctx))
		}
	}
	if err != nil {
		o.keep(err)
	}
	return err
}

// goneCheck is how often an edge that nobody answers for is asked again.
const goneCheck = 50 * time.Millisecond

// firstTry is how long an edge may take to answer before it is asked again, if it lives; each try takes twice as long.
const firstTry = time.Second

// errEdgeGone says that an edge is dead, and its sockets with it.
var errEdgeGone = errors.New("the edge is gone")

// askEdge asks an edge. While there is no answer it tries again, until ctx ends or the edge is known to be dead: errEdgeGone.
func (s *Server) askEdge(ctx context.Context, edge mesh.InstanceID, q *siomeshv1.EdgeRequest) (*siomeshv1.EdgeReply, error) {
	data, err := proto.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("encode query: %w", err)
	}
	subject := s.subjects.RPC(mesh.Address{Kind: mesh.KindEdge, Instance: edge})
	for patience := firstTry; ; patience *= 2 {
		answer, err := s.try(ctx, patience, subject, data)
		switch {
		case err == nil:
			return edgeReply(answer)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, bus.ErrNoResponders):
			s.peers.Suspect(edge)
			patience = firstTry / 2
		case errors.Is(err, bus.ErrTooLarge):
			return nil, fmt.Errorf("%w: a question of %d bytes", ErrTooLarge, len(data))
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, err
		}
		if _, alive := s.peers.Peer(edge); !alive {
			return nil, errEdgeGone
		}
		select {
		case <-time.After(goneCheck):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *Server) try(ctx context.Context, patience time.Duration, subject string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return s.bus.Request(ctx, subject, data)
}

func edgeReply(answer []byte) (*siomeshv1.EdgeReply, error) {
	reply := new(siomeshv1.EdgeReply)
	if err := proto.Unmarshal(answer, reply); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if e := reply.GetError(); e != nil {
		return nil, fmt.Errorf("it answers %s: %s", e.GetCode(), e.GetMessage())
	}
	return reply, nil
}
