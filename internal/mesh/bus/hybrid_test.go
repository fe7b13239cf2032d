package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

func TestHybridKeepsItsOwnMessagesInMemory(t *testing.T) {
	s := natstest.Start(t)
	h, _ := hybrid(t, s.URL())
	outside := dial(t, s.URL())
	heard := make(chan string, 16)
	hear := func(m bus.Msg) { heard <- m.Subject }
	subscribe(t, outside, "own.*", hear)
	subscribe(t, outside, "end", hear)
	subscribe(t, h, "own.*", func(m bus.Msg) {
		if m.Reply != "" {
			must(t, h.Respond(m, nil))
		}
	})
	must(t, h.Send("own.send", "", []byte("x")))
	if _, err := h.Request(within(t), "own.request", nil); err != nil {
		t.Errorf("request: %v", err)
	}
	must(t, h.Send("end", "", nil))
	if _, err := h.Request(within(t), "nobody", nil); !errors.Is(err, bus.ErrNoResponders) {
		t.Errorf("request to nobody: got error %v, want %v", err, bus.ErrNoResponders)
	}
	if got := receive(t, heard); got != "end" {
		t.Errorf("heard outside: got %q, want %q alone", got, "end")
	}
}

func TestHybridServesItsProcessDuringAnOutage(t *testing.T) {
	s := natstest.Start(t)
	h, _ := hybrid(t, s.URL())
	heard := make(chan string, 16)
	subscribe(t, h, "own.*", func(m bus.Msg) {
		heard <- m.Subject
		if m.Reply != "" {
			must(t, h.Respond(m, nil))
		}
	})
	down := make(chan bool, 4)
	defer h.Watch(func(connected bool) { down <- !connected })()
	s.Stop()
	if !receive(t, down) {
		t.Error("told that it is connected")
	}
	must(t, h.Send("own.send", "", nil))
	if _, err := h.Request(within(t), "own.request", nil); err != nil {
		t.Errorf("request: %v", err)
	}
	for _, want := range []string{"own.send", "own.request"} {
		if got := receive(t, heard); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	for err := error(nil); !errors.Is(err, bus.ErrDisconnected); { // until the control connection has noticed
		err = h.Publish("own.publish", nil)
		if got := receive(t, heard); got != "own.publish" {
			t.Fatalf("heard %q, want %q", got, "own.publish")
		}
	}
}

func TestContextCarriesTheBus(t *testing.T) {
	if b, ok := bus.FromContext(t.Context()); ok {
		t.Errorf("got %v from a plain context", b)
	}
	m := bus.NewMemory()
	if b, ok := bus.FromContext(bus.NewContext(t.Context(), m)); !ok || b != bus.Bus(m) {
		t.Errorf("got %v, %v; want the bus", b, ok)
	}
}

// subscribe runs a receiver of one subject until the test ends.
func subscribe(t *testing.T, b bus.Bus, subject string, handler func(bus.Msg)) {
	t.Helper()
	r := b.NewReceiver(bus.Data, 64)
	if err := r.Subscribe(subject, "", handler); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // the cleanup waits for it
	t.Cleanup(func() {
		cancel()
		if err := receive(t, done); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t *testing.T, c <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
	}
	return got
}
