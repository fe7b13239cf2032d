package socketio

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Emitter emits to one socket with options. It is a value: every method returns a new one, and options hold for what is
// emitted through it only (SOC-037).
type Emitter struct {
	socket   *Socket
	timeout  time.Duration
	timed    bool
	volatile bool
	flags    wire.Flags
}

// Timeout bounds EmitWithAck; 0 or less fails once the event is sent (SOC-038).
func (e Emitter) Timeout(d time.Duration) Emitter {
	e.timeout, e.timed = d, true
	return e
}

// Volatile lets the packet be dropped if the client cannot take it at once, or while the window of operations is full or no
// rooms service is known.
func (e Emitter) Volatile() Emitter {
	e.volatile = true
	return e
}

// Compress has the packets compressed, which is the default where the connection does that, or with false not (SOC-036).
func (e Emitter) Compress(compress bool) Emitter {
	e.flags = compressed(e.flags, compress)
	return e
}

func compressed(flags wire.Flags, compress bool) wire.Flags {
	if compress {
		return flags &^ wire.FlagNoCompress
	}
	return flags | wire.FlagNoCompress
}

// Send is Emit of the event "message" (SOC-003).
func (e Emitter) Send(args ...any) error { return e.Emit(message, args...) }

// Emit sends an event to the client, with the emitter's options; see Socket.Emit. That a volatile one was dropped is no
// error.
func (e Emitter) Emit(event string, args ...any) error {
	return e.emit(context.Background(), 0, event, args)
}

// EmitWithAck sends an event to the client and waits for its acknowledgement, which may come while the socket's handlers
// are busy: a handler may wait here. It returns what Emit returns, ErrTimeout when the Timeout has passed, ErrDisconnected
// when the client has left - it is not asked again when it comes back -, ErrDropped if a volatile packet was not sent,
// ErrAckFailed if the edge gave it up, and the cause of ctx when that ends; without any of these it waits as long as the
// client stays. A late acknowledgement is ignored (SOC-041).
func (e Emitter) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	s := e.socket
	if e.timed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, e.timeout, ErrTimeout)
		defer cancel()
	}
	id, reply, err := s.expect()
	if err != nil {
		return Args{}, err
	}
	defer s.forget(id)
	if err := e.emit(ctx, id, event, args); err != nil {
		return Args{}, err
	}
	select {
	case a := <-reply:
		return a.decode()
	case <-ctx.Done():
		select {
		case a := <-reply:
			return a.decode()
		default:
			return Args{}, context.Cause(ctx)
		}
	}
}

func (e Emitter) emit(ctx context.Context, ack uint64, event string, args []any) error {
	encoder := e.socket.ns.server.encoder
	body := encoder.body()
	defer encoder.release(body)
	encoded, err := encoder.event(*body, event, args)
	*body = encoded
	if err != nil {
		return err
	}
	r := wire.Record{Kind: wire.KindEmit, Flags: e.flags, Ack: ack, Body: encoded}
	sent, err := e.socket.operate(ctx, &r, e.volatile)
	if listeners := e.socket.outgoing(); sent && len(listeners) > 0 {
		e.socket.tellOutgoing(listeners, bytes.Clone(encoded))
	}
	if err == nil && !sent && ack != 0 {
		return fmt.Errorf("emit %.80q: %w", event, ErrDropped)
	}
	return err
}

// reply is what a request for an acknowledgement gets: the body of a packet, or an error.
type reply struct {
	body []byte
	err  error
}

func (r reply) decode() (Args, error) {
	if r.err != nil {
		return Args{}, r.err
	}
	return decodeAck(r.body)
}

// expect makes a request for an acknowledgement. Its channel gets one reply, unless it is forgotten before.
func (s *Socket) expect() (id uint64, answer <-chan reply, err error) {
	id = s.ns.server.requests.Add(1)
	c := make(chan reply, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lost(); err != nil {
		return 0, nil, err
	}
	if s.requests == nil {
		s.requests = map[uint64]chan reply{}
	}
	s.requests[id] = c
	return id, c, nil
}

func (s *Socket) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.requests, id)
	s.forgetMoved()
}

// unanswered is why an acknowledgement never comes, for the reason that the edge gives.
func (s *Socket) unanswered(reason string) error {
	if reason == wire.AckDeparted && !s.away.Load() {
		return ErrDisconnected // the disconnect is on its way
	}
	return fmt.Errorf("%w: %.80s", ErrAckFailed, reason)
}

// answer gives a request its reply; an unknown one is ignored.
func (s *Socket) answer(id uint64, r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.requests[id]; c != nil {
		delete(s.requests, id)
		c <- r // has room: one reply to each
		s.forgetMoved()
	}
}
