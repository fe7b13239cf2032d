package socketio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestRunDrains(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	r.keeps = true // what is not handed over ends here
	s, _ := r.serverFor(func(c *Config) { c.DrainTimeout = 5 * time.Second })
	entered, resume := make(chan *Socket, 1), make(chan struct{})
	ended := make(chan Disconnect, 2)
	_ = s.OnConnection(func(s *Socket) {
		s.OnDisconnect(func(d Disconnect) { ended <- d })
		s.On("slow", func(ctx context.Context, e *Event) error {
			entered <- s
			<-resume
			if ctx.Err() != nil {
				t.Error("the handler's context ended")
			}
			reply, err := s.EmitWithAck(ctx, "still there?") // acknowledgements still arrive
			return errors.Join(err, s.Emit("done", reply.Len()), e.Ack())
		})
		s.On("never", func(context.Context, *Event) error { t.Error("an event after the end of Run"); return nil })
	})
	end, result := run(t, s)
	c, idle := r.join(s, "/"), r.join(s, "/")
	c.emit("1", "slow")
	c.emit("2", "never")
	busy := receive(t, "the handler", entered)
	end()
	receive(t, "the idle socket's end", ended)
	eventually(t, "the busy socket's end", busy.isCut)
	late := r.knock(s, "/") // not taken any more
	close(resume)
	c.reply(c.expect(wire.KindEmit).ack, true)
	if got := c.expect(wire.KindEmit).String(); got != "19done 1" {
		t.Errorf("got %s", got)
	}
	c.expect(wire.KindAck)
	if d := receive(t, "the end", ended); d.Reason != "server shutting down" { // SRV-004
		t.Errorf("got %+v", d)
	}
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
	if len(late.got)+len(idle.got) > 0 {
		t.Error("a client got a packet while the instance drained")
	}
	if err := s.Emit("e"); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
}

func TestDrainGivesUp(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.DrainTimeout = 20 * time.Millisecond })
	stopped := make(chan error, 1)
	entered := make(chan struct{})
	_ = s.OnConnection(func(s *Socket) {
		s.On("stubborn", func(ctx context.Context, _ *Event) error {
			close(entered)
			<-ctx.Done()
			stopped <- s.Emit("too late")
			return nil
		})
	})
	end, result := run(t, s)
	r.join(s, "/").emit("", "stubborn")
	receive(t, "the handler", entered)
	end()
	if err := receive(t, "Run", result); !errors.Is(err, ErrDrain) {
		t.Errorf("got %v, want %v", err, ErrDrain)
	}
	if err := s.Close(t.Context()); !errors.Is(err, ErrDrain) {
		t.Errorf("Close: got %v, want %v", err, ErrDrain)
	}
	if err := receive(t, "the handler's end", stopped); err == nil {
		t.Error("it could still emit")
	}
}

func TestCloseWaitsForHandlers(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor()
	entered, resume, finished := make(chan struct{}), make(chan struct{}), make(chan struct{})
	_ = s.OnConnection(func(*Socket) {
		close(entered)
		<-resume
		close(finished)
	})
	_, result := run(t, s)
	r.knock(s, "/")
	receive(t, "the handler", entered)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("impatient"))
	defer cancel()
	if err := s.Close(ctx); err == nil || err.Error() != "close: impatient" {
		t.Errorf("got %v, want close: impatient", err)
	}
	close(resume)
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-finished:
	default:
		t.Error("Close returned before the handler")
	}
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
}

func TestManySockets(t *testing.T) {
	const sockets, events = 400, 5
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	_ = s.OnConnection(func(s *Socket) {
		next := 0 // no lock: the handlers of one socket run one at a time
		s.On("n", func(_ context.Context, e *Event) error {
			var n int
			if err := e.Bind(&n); err != nil || n != next {
				return fmt.Errorf("got %d, want %d: %w", n, next, err)
			}
			next++
			return errors.Join(s.Join(fmt.Sprint("room", n)), e.Ack(n), s.To("empty").Emit("x"))
		})
	})
	run(t, s)
	var wg sync.WaitGroup
	var clients []*client
	for range sockets {
		c := r.knock(s, "/")
		clients = append(clients, c)
		wg.Go(func() {
			for n := range events {
				c.emit(fmt.Sprint(n), "n", n)
			}
			for n := 0; n < events; {
				p := receive(t, "a packet", c.got)
				if p.kind == wire.KindAck {
					if p.id != fmt.Sprint(n) {
						t.Errorf("got acknowledgement %s, want %d", p.id, n)
					}
					n++
				}
			}
		})
	}
	wg.Wait()
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	if n, err := s.Count(t.Context()); err != nil || n != sockets {
		t.Errorf("got count %d, %v, want %d", n, err, sockets)
	}
	if len(failures) > 0 {
		t.Errorf("reported %v", <-failures)
	}
	for _, c := range clients {
		c.leave("transport close")
	}
	eventually(t, "all forgotten", func() bool { return s.sockets.len() == 0 })
}
