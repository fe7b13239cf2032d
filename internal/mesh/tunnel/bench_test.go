package tunnel

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// BenchmarkRoundTrip sends 64 bytes and gets them back, on one stream.
func BenchmarkRoundTrip(b *testing.B) {
	here, there := newPair(b, Config{})
	ours, theirs := open(b, here, there, "")
	done := make(chan struct{})
	go func() { // ends with the stream
		defer close(done)
		buf := make([]byte, 64)
		for {
			if _, err := io.ReadFull(theirs, buf); err != nil {
				return
			}
			if _, err := theirs.Write(buf); err != nil {
				return
			}
		}
	}()
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ours.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(ours, p); err != nil {
			b.Fatal(err)
		}
	}
	_ = ours.Close()
	<-done
}

// BenchmarkRequest opens a stream with a head that is the whole request, and reads the answer to its end.
func BenchmarkRequest(b *testing.B) {
	here, there := newPair(b, Config{})
	answer := make([]byte, 64)
	there.mux.accept = func(_ mesh.Address, _ []byte, s *Stream) { there.accepted <- s }
	done := make(chan struct{})
	go func() { // ends when accepted is closed
		defer close(done)
		for s := range there.accepted {
			_, _ = s.WriteLast(answer) // the other end would say so
			_ = s.Close()
		}
	}()
	head, p := make([]byte, 64), make([]byte, 128)
	b.ReportAllocs()
	for b.Loop() {
		s, err := here.mux.Open(b.Context(), there.self, head, true)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = s.Read(p)
		}
		if err != io.EOF { //nolint:errorlint // that is what it is
			b.Fatal(err)
		}
	}
	close(there.accepted)
	<-done
}

// BenchmarkOneWay writes 64 KiB at a time.
func BenchmarkOneWay(b *testing.B) {
	here, there := newPair(b, Config{})
	ours, theirs := open(b, here, there, "")
	done := make(chan struct{})
	go func() { // ends with the stream
		defer close(done)
		buf := make([]byte, 32<<10)
		for {
			if _, err := theirs.Read(buf); err != nil {
				return
			}
		}
	}()
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ours.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	_ = ours.Close()
	<-done
}

// BenchmarkLinkRoundTrip is what a round trip costs without streams: a record there, handed to a goroutine, and one back.
func BenchmarkLinkRoundTrip(b *testing.B) {
	memory := bus.NewMemory()
	b.Cleanup(memory.Close)
	here, there := &handler{make(chan struct{}, 1)}, &handler{make(chan struct{}, 1)}
	e1, e2 := runLinks(b, memory, here), runLinks(b, memory, there)
	l, back := e1.Link(e2.Self()), e2.Link(e1.Self())
	r := &wire.Record{Kind: wire.KindStreamData, Body: make([]byte, 64)}
	done := make(chan struct{})
	go func() { // ends when came is closed
		defer close(done)
		answer := *r
		for range there.came {
			_, _ = back.Append(&answer) // one at a time is never too much
			back.Flush()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Append(r); err != nil {
			b.Fatal(err)
		}
		l.Flush()
		<-here.came
	}
	close(there.came)
	<-done
}

// handler tells a goroutine of each record.
type handler struct{ came chan struct{} }

// Record implements link.Handler.
func (h *handler) Record(mesh.Address, *wire.Record) error { h.came <- struct{}{}; return nil }

// EndFrame implements link.Handler.
func (h *handler) EndFrame() {}

// Opened implements link.Handler.
func (h *handler) Opened(mesh.Address) {}

func runLinks(b *testing.B, on bus.Bus, h link.Handler) *link.Endpoint {
	b.Helper()
	self := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	e := link.NewEndpoint(on, mesh.Subjects{}, self, h, slog.New(slog.DiscardHandler), link.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }() // waited for in the clean-up
	<-e.Ready()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Errorf("links: %v", err)
		}
	})
	return e
}

// BenchmarkIdle reports what an idle stream costs in memory, both ends together.
func BenchmarkIdle(b *testing.B) {
	here, there := newPair(b, Config{MaxStreams: 1 << 30})
	there.mux.accept = func(mesh.Address, []byte, *Stream) {}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	for b.Loop() {
		n++
		if _, err := here.mux.Open(b.Context(), there.self, nil, false); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/stream")
}
