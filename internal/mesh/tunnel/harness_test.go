package tunnel

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end is one instance with a mux.
type end struct {
	tb       testing.TB
	self     mesh.Address
	links    *link.Endpoint
	mux      *Mux
	accepted chan *Stream
	heads    chan string
	kinds    [64]atomic.Int64 // records received
	refuse   atomic.Bool      // all of them
}

func (e *end) count(k wire.Kind) int64 { return e.kinds[k].Load() }

// Record implements link.Handler.
func (e *end) Record(from mesh.Address, r *wire.Record) error {
	e.kinds[r.Kind].Add(1)
	if e.refuse.Load() {
		return errMalformed
	}
	return e.mux.Record(from, r)
}

// EndFrame implements link.Handler.
func (e *end) EndFrame() { e.mux.EndFrame() }

// Opened implements link.Handler.
func (e *end) Opened(from mesh.Address) { e.mux.Opened(from) }

func newEnd(tb testing.TB, b bus.Bus, cfg Config) *end {
	tb.Helper()
	return newEndOn(tb, b, cfg, link.Config{})
}

func newEndOn(tb testing.TB, b bus.Bus, cfg Config, links link.Config) *end {
	tb.Helper()
	e := &end{
		tb: tb, self: mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()},
		accepted: make(chan *Stream, 1000), heads: make(chan string, 1000),
	}
	e.links = link.NewEndpoint(b, mesh.Subjects{}, e.self, e, slog.New(slog.DiscardHandler), links)
	e.mux = New(e.links, func(_ mesh.Address, head []byte, s *Stream) {
		e.heads <- string(head)
		e.accepted <- s
	}, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.links.Run(ctx) }() // waited for in the clean-up
	get(tb, e.links.Ready())
	tb.Cleanup(func() {
		e.mux.Close()
		cancel()
		if err := get(tb, done); err != nil {
			tb.Errorf("links: %v", err)
		}
	})
	return e
}

// newPair returns two ends on one bus inside the process.
func newPair(tb testing.TB, cfg Config) (a, b *end) {
	tb.Helper()
	memory := bus.NewMemory()
	tb.Cleanup(memory.Close)
	return newEnd(tb, memory, cfg), newEnd(tb, memory, cfg)
}

// open opens a stream from a to b and returns both its ends.
func open(tb testing.TB, a, b *end, head string) (ours, theirs *Stream) {
	tb.Helper()
	ours, err := a.mux.Open(tb.Context(), b.self, []byte(head), false)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	return ours, get(tb, b.accepted)
}

func get[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

func wantRead(tb testing.TB, s *Stream, want string) {
	tb.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		tb.Errorf("read %q (%v), want %q", b, err, want)
	}
}

func write(tb testing.TB, s *Stream, text string) {
	tb.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		tb.Errorf("write: %v", err)
	}
}

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	end := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(end) {
			tb.Fatalf("no %s", what)
		}
		<-time.After(time.Millisecond)
	}
}
