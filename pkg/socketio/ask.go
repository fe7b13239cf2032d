package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Reply is what one client acknowledged a broadcast with: its first argument; further ones are dropped (BRO-018).
type Reply struct {
	SocketID string
	args     Args
}

// Bind decodes the argument into target, by the rules of Args.Bind: ErrMissingArgument if the client sent none.
func (r Reply) Bind(target any) error { return r.args.Bind(target) }

// Raw returns the argument as JSON, binary as placeholders; nil if there is none. It must not be changed.
func (r Reply) Raw() json.RawMessage { return r.args.Raw(0) }

// Args returns the argument alone.
func (r Reply) Args() Args { return r.args }

// MissingError says that clients did not acknowledge a broadcast.
type MissingError struct {
	SocketIDs []string // of those that are known to have been asked, sorted
	// Err is ErrTimeout; ErrDisconnected if all of them were known in time to have left, or not to have been asked; or what
	// ended the wait.
	Err error
}

// Error returns the text of Err, which for a timeout is the reference's, and how many are missing.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%v: %d clients did not acknowledge", e.Err, len(e.SocketIDs))
}

// Unwrap returns Err.
func (e *MissingError) Unwrap() error { return e.Err }

// EmitWithAck sends an event to the selected sockets and waits until each of them has acknowledged it, or is gone (BRO-013,
// CLU-006); without any it returns at once (BRO-016). After the Timeout, the deadline of ctx or else Config.EmitTimeout, and if
// some will never answer, it returns the replies there are and a *MissingError (BRO-014, BRO-015). For a parent all children
// that this instance knows are asked at the same time.
func (b BroadcastOperator) EmitWithAck(ctx context.Context, event string, args ...any) ([]Reply, error) {
	var replies []Reply
	for reply, err := range b.EachAck(ctx, event, args...) {
		if err != nil {
			return replies, err
		}
		replies = append(replies, reply)
	}
	return replies, nil
}

// EachAck is EmitWithAck that yields the replies as they come, and the error last. The event is sent when the walk begins.
func (b BroadcastOperator) EachAck(ctx context.Context, event string, args ...any) iter.Seq2[Reply, error] {
	return func(yield func(Reply, error) bool) {
		ctx, cancel := b.bounded(ctx)
		defer cancel()
		if b.parent != nil {
			b.askChildren(ctx, event, args, yield)
			return
		}
		server := b.server()
		id := server.requests.Add(1)
		k := server.asks.add(id, b.namespace.partition)
		defer server.asks.remove(id)
		if err := b.sendAsk(ctx, id, event, args); err != nil {
			yield(Reply{}, err)
			return
		}
		for {
			over := server.await(ctx, k.wake)
			replies, end, missing := k.take(over)
			for _, r := range replies {
				if !yield(r, nil) {
					return
				}
			}
			if missing != nil {
				if errors.Is(missing.Err, ErrLost) && server.usable() != nil { // it is lost because the Server has ended
					missing.Err = ErrClosed
				}
				yield(Reply{}, missing)
			}
			if end {
				return
			}
		}
	}
}

// askChildren asks the children of the parent at the same time, and joins their errors.
func (b BroadcastOperator) askChildren(ctx context.Context, event string, args []any, yield func(Reply, error) bool) {
	if err := b.server().usable(); err != nil {
		yield(Reply{}, err)
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends those that go on when nobody listens
	children := b.parent.Children()
	replies, failures := make(chan Reply), make(chan error, len(children))
	var asking sync.WaitGroup
	for _, n := range children {
		asking.Go(func() { // the last closes replies
			for reply, err := range b.child(n).EachAck(ctx, event, args...) {
				if err != nil {
					failures <- err // has room: one of each
					return
				}
				select {
				case replies <- reply:
				case <-ctx.Done():
				}
			}
		})
	}
	go func() { // received below, or ends soon after cancel
		asking.Wait()
		close(replies)
	}()
	for reply := range replies {
		if !yield(reply, nil) {
			return
		}
	}
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	if err := missingOf(all); err != nil {
		yield(Reply{}, err)
	}
}

// missingOf makes one error of those of children: one *MissingError, if they are such.
func missingOf(all []error) error {
	var missing MissingError
	for _, err := range all {
		var one *MissingError
		if !errors.As(err, &one) {
			return errors.Join(all...)
		}
		missing.SocketIDs = append(missing.SocketIDs, one.SocketIDs...)
		if missing.Err == nil || !errors.Is(one.Err, ErrDisconnected) {
			missing.Err = one.Err
		}
	}
	if len(all) == 0 {
		return nil
	}
	slices.Sort(missing.SocketIDs)
	return &missing
}

// await waits until something has happened, and returns why to wait no longer. What has happened by the deadline and is seen
// later comes with ErrTimeout, though the timer of ctx may be late too. ctx must have a deadline.
func (s *Server) await(ctx context.Context, wake <-chan struct{}) (over error) {
	select {
	case <-wake:
	case <-s.out.closed:
		return ErrClosed
	case <-ctx.Done():
	}
	deadline, _ := ctx.Deadline()
	switch cause := context.Cause(ctx); {
	case cause == nil && time.Now().Before(deadline):
		return nil
	case cause == nil, errors.Is(cause, context.DeadlineExceeded):
		return ErrTimeout
	default:
		return cause
	}
}

// askSlack is by how much the edges' time is longer than ours, so that what they say of the silent before is that they left.
const askSlack = 250 * time.Millisecond

// sendAsk sends the event.
func (b BroadcastOperator) sendAsk(ctx context.Context, id uint64, event string, args []any) error {
	n := b.namespace
	encoder := n.server.encoder
	body := encoder.body()
	defer encoder.release(body)
	deadline, _ := ctx.Deadline() // there is one
	encoded := wire.AppendAsk(*body, wire.Selector{Rooms: b.rooms, Except: b.except}, time.Until(deadline)+askSlack)
	encoded, err := encoder.event(encoded, event, args)
	*body = encoded
	if err != nil {
		return err
	}
	r := wire.Record{
		Kind: wire.KindAsk, Flags: b.flags, Namespace: n.nameBytes, Partition: n.partition, Ack: id, Body: encoded,
	}
	sent, err := n.server.send(ctx, &r, b.volatile)
	if err == nil && !sent {
		return fmt.Errorf("emit %.80q: %w", event, ErrDropped)
	}
	return err
}

// RemoteEmitter emits to one socket and waits for its acknowledgement. It is a value.
type RemoteEmitter struct{ to BroadcastOperator }

// Timeout returns an emitter whose EmitWithAck fails with ErrTimeout after d.
func (s *RemoteSocket) Timeout(d time.Duration) RemoteEmitter {
	return RemoteEmitter{to: s.self().Timeout(d)}
}

// EmitWithAck sends an event to the client and waits for its acknowledgement, of which the first argument comes back (BRO-027,
// CLU-010). It returns ErrTimeout when the Timeout has passed, and ErrDisconnected if the client has left before.
func (e RemoteEmitter) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	replies, err := e.to.EmitWithAck(ctx, event, args...)
	var missing *MissingError
	switch {
	case errors.As(err, &missing):
		return Args{}, missing.Err
	case err != nil:
		return Args{}, err
	case len(replies) == 0:
		return Args{}, ErrDisconnected
	default:
		return replies[0].args, nil
	}
}
