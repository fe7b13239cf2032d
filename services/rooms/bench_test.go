package rooms

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// quietBus is a bus that carries nothing.
type quietBus struct{ bus.Bus }

func (quietBus) Send(string, string, []byte) error { return nil }

// BenchmarkOperation measures what rooms does for one operation in frames of 16, between reading it and writing it to the
// one edge concerned, marks and confirmations included.
func BenchmarkOperation(b *testing.B) {
	at := wire.SocketAddr{Edge: mesh.NewInstanceID(), Slot: 1, Generation: 1}
	emit := &wire.Record{
		Kind: wire.KindEmit, Socket: at, Epoch: 1, Handled: 7,
		Body: wire.AppendPacket(nil, wire.Packet{JSON: []byte(`["message","a text of about the length that people write"]`)}),
	}
	for name, r := range map[string]*wire.Record{"emit": emit, "broadcast": broadcast(), "broadcast to a room": broadcast("x")} {
		b.Run(name, func(b *testing.B) {
			s := New(quietBus{bus.NewMemory()}, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
			address := mesh.Address{Kind: mesh.KindEdge, Instance: at.Edge}
			app := mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
			r.Namespace, r.Partition = []byte("/"), mesh.Partition("/")
			var op uint64
			take := func(r *wire.Record) {
				op++
				r.Op = op
				if err := s.Record(app, r); err != nil {
					b.Fatal(err)
				}
			}
			var seq uint64 // of the last record to the edge
			register := func() *edge {
				s.hello(address, 1)
				first := accept(b, at, "id", "x")
				first.Namespace, first.Partition = r.Namespace, r.Partition
				take(first)
				s.EndFrame()
				seq = 2
				return s.index.edges[at.Edge]
			}
			e := register()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				take(r)
				if seq++; i%16 == 15 {
					s.EndFrame()
					s.marked(e, seq)
				}
				if i%(1<<16) == 1<<16-1 { // nobody marks the link itself: begin another before it is full
					b.StopTimer()
					s.links.Drop(at.Edge)
					e = register()
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// BenchmarkRing measures the whole way app, rooms, edge over the bus inside a process, links and marks included, in CPU time
// of all three together.
func BenchmarkRing(b *testing.B) {
	for _, kind := range []wire.Kind{wire.KindEmit, wire.KindBroadcast} {
		name := map[wire.Kind]string{wire.KindEmit: "emit", wire.KindBroadcast: "broadcast"}[kind]
		b.Run(name, func(b *testing.B) {
			m := bus.NewMemory()
			b.Cleanup(m.Close)
			log := slog.New(slog.DiscardHandler)
			s := New(m, mesh.Subjects{}, log, Config{})
			runs(b, s.Run)
			<-s.Ready()
			edge := &sink{}
			at := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
			edgeLinks := link.NewEndpoint(m, mesh.Subjects{}, at, edge, log, link.Config{})
			runs(b, edgeLinks.Run)
			app := mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
			appLinks := link.NewEndpoint(m, mesh.Subjects{}, app, &sink{}, log, link.Config{})
			runs(b, appLinks.Run)
			<-edgeLinks.Ready()
			<-appLinks.Ready()
			hello := edgeLinks.Link(s.self)
			if _, err := hello.Append(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 1}); err != nil {
				b.Fatal(err)
			}
			hello.Flush()
			edge.await(1)
			socket := wire.SocketAddr{Edge: at.Instance, Slot: 1, Generation: 1}
			r := accept(b, socket, "id", "x")
			l := appLinks.Link(s.self)
			send := func(op int) {
				r.Namespace, r.Partition, r.Op = []byte("/"), mesh.Partition("/"), uint64(op)
				if _, err := l.AppendWait(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				if op%16 == 0 {
					l.Flush()
				}
			}
			send(1)
			l.Flush()
			edge.await(2)
			if r = broadcast(); kind == wire.KindEmit {
				r = &wire.Record{Kind: kind, Socket: socket, Body: wire.AppendPacket(nil, wire.Packet{JSON: []byte(`["message","a text"]`)})}
			}
			start := cpu(b)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				send(n + 1)
			}
			l.Flush()
			edge.await(n + 2)
			b.ReportMetric(float64(n)/(cpu(b)-start).Seconds(), "ops/cpu-s")
		})
	}
}

// sink counts the records it gets.
type sink struct{ records atomic.Int64 }

func (k *sink) Record(mesh.Address, *wire.Record) error { k.records.Add(1); return nil }
func (k *sink) Opened(mesh.Address)                     {}
func (k *sink) EndFrame()                               {}

// await waits until n records have come in all.
func (k *sink) await(n int) {
	for k.records.Load() < int64(n) {
		<-time.After(100 * time.Microsecond)
	}
}

func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
