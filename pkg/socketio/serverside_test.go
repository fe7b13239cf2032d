package socketio

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// arrive has an event of another instance arrive.
func arrive(t *testing.T, s *Server, ns, event string, args ...any) {
	t.Helper()
	body, err := newEncoder().event(nil, event, args)
	if err != nil {
		t.Fatal(err)
	}
	r := wire.Record{Kind: wire.KindServerEvent, Namespace: []byte(ns), Origin: mesh.NewInstanceID(), Body: body}
	if err := s.serverEvent(&r); err != nil {
		t.Error(err)
	}
}

func TestServerEventsAreBounded(t *testing.T) {
	_, s, failures, _ := serve(t, nothing)
	begun, hold, seen := make(chan struct{}), make(chan struct{}), make(chan struct{}, 32)
	s.OnServerSide("hold", func(context.Context, *ServerEvent) error { close(begun); <-hold; return errors.New("late") })
	s.OnServerSide("e", func(_ context.Context, e *ServerEvent) error {
		if e.WantsAck() {
			t.Error("nobody wants an answer")
		}
		seen <- struct{}{}
		return e.Ack("ignored")
	})
	arrive(t, s, "/", "hold")
	receive(t, "the handler", begun)
	const most = 27 // of these fit
	large := strings.Repeat("x", 600<<10)
	for range most + 5 {
		arrive(t, s, "/", "e", large)
	}
	if err := receive(t, "the report", failures); !errors.Is(err, errServerEvents) {
		t.Errorf("got %v", err)
	}
	close(hold)
	for range most {
		receive(t, "an event", seen)
	}
	if err := receive(t, "the handler's error", failures); !strings.HasSuffix(err.Error(), "late") {
		t.Errorf("got %v", err)
	}
	arrive(t, s, "/", "e") // the last that can come
	receive(t, "the next event", seen)
	if n := len(seen); n > 0 {
		t.Errorf("%d events are handled that were to be dropped", n)
	}
}

func TestServerEventHandlerGoesAway(t *testing.T) {
	_, s, _, _ := serve(t, nothing)
	seen := make(chan struct{}, 1)
	s.OnServerSide("exit", func(context.Context, *ServerEvent) error { runtime.Goexit(); return nil })
	s.OnServerSide("e", func(context.Context, *ServerEvent) error { seen <- struct{}{}; return nil })
	arrive(t, s, "/unknown", "e") // not ours
	arrive(t, s, "/", "exit")
	arrive(t, s, "/", "e")
	receive(t, "the next event", seen)
	if n := len(seen); n > 0 {
		t.Errorf("%d events too many", n)
	}
	for _, body := range []string{"", "\xff"} {
		if s.serverEvent(&wire.Record{Namespace: []byte("/"), Body: []byte(body)}) == nil ||
			s.serverAnswer(&wire.Record{Body: []byte(body)}) == nil {
			t.Errorf("%q was read", body)
		}
	}
	if s.serverTargets(&wire.Record{Body: []byte{9}}) == nil {
		t.Error("an unreadable list was read")
	}
}

// polling asks the other instances in the background.
func polling(t *testing.T, s *Server) (request uint64, result <-chan pollResult) {
	t.Helper()
	c := make(chan pollResult, 1)
	go func() { // the test receives
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		replies, err := s.ServerSideEmitWithAck(ctx, "q")
		c <- pollResult{replies, err}
	}()
	eventually(t, "the poll", func() bool {
		s.polls.mu.Lock()
		defer s.polls.mu.Unlock()
		for request = range s.polls.open {
		}
		return request != 0
	})
	return request, c
}

type pollResult struct {
	replies []ServerReply
	err     error
}

// TestPolledInstanceDies: one that died before rooms has told who was asked, or before it was asked, is not waited for.
func TestPolledInstanceDies(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint("before the request ", before), func(t *testing.T) { polledInstanceDies(t, before) })
	}
}

func polledInstanceDies(t *testing.T, before bool) {
	t.Helper()
	r, s, _, _ := serve(t, nothing)
	dead, alive := mesh.NewInstanceID(), mesh.NewInstanceID()
	stop := r.presence(mesh.Address{Kind: mesh.KindApp, App: "test", Instance: dead})
	eventually(t, "it is known", func() bool { _, known := s.peers.Peer(dead); return known && !s.peers.Dead(dead) })
	die := func() {
		stop()
		eventually(t, "it is dead", func() bool { return s.peers.Dead(dead) })
	}
	if before {
		die()
	}
	request, result := polling(t, s)
	if !before {
		die()
	}
	named := wire.AppendStrings(nil, []string{dead.String(), alive.String()})
	body, err := newEncoder().ack(nil, []any{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		s.serverTargets(&wire.Record{Ack: request, Body: named}),
		s.serverAnswer(&wire.Record{Ack: request, Origin: alive, Body: body}),
	); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, "the replies", result); got.err != nil || len(got.replies) != 1 || got.replies[0].Instance != alive.String() { // CLU-021
		t.Errorf("got %+v", got)
	}
}

// TestPollIsLost: without a rooms service that knows who was asked nobody waits for its answers.
func TestPollIsLost(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	settle(t, s, c)
	r.lock(func() { r.hold = true })
	_, result := polling(t, s)
	eventually(t, "it is sent", func() bool { return unconfirmed(s) == 1 })
	r.stopRooms()
	if got := receive(t, "the loss", result); !errors.Is(got.err, ErrLost) || len(got.replies) > 0 {
		t.Errorf("got %+v", got)
	}
	r.lock(func() { r.hold, c.handled = false, 0 })
	r.startRooms()
	eventually(t, "the mark is reported again", func() bool {
		return c.credited() && socket.reported.Load() == 1 && !socket.dirty.Load() && unconfirmed(s) == 0
	})
	sent := func() uint64 {
		p := &s.out.parts[s.Of("/").partition]
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.last
	}
	before := sent()
	request, result := polling(t, s)
	eventually(t, "it is sent", func() bool { return sent() > before })
	if err := s.serverTargets(&wire.Record{Ack: request, Body: wire.AppendStrings(nil, []string{"x"})}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil && !errors.Is(err, ErrLost) {
		t.Error(err)
	}
	got := receive(t, "the end", result)
	if want := "socketio: closed: missing 1 responses"; !errors.Is(got.err, ErrClosed) || got.err.Error() != want {
		t.Errorf("got %v, want %s", got.err, want)
	}
}
