package socketio

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// arrive has an event of another instance arrive.
func arrive(t *testing.T, s *Server, ns, event string) {
	t.Helper()
	body, err := newEncoder().event(nil, event, nil)
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
	begun, hold, seen := make(chan struct{}), make(chan struct{}), make(chan struct{}, maxServerEvents)
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
	for range maxServerEvents + 5 {
		arrive(t, s, "/", "e")
	}
	if err := receive(t, "the report", failures); !errors.Is(err, errServerEvents) {
		t.Errorf("got %v", err)
	}
	close(hold)
	for range maxServerEvents {
		receive(t, "an event", seen)
	}
	if err := receive(t, "the handler's error", failures); !strings.HasSuffix(err.Error(), "late") {
		t.Errorf("got %v", err)
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
