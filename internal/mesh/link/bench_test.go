package link

import (
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// BenchmarkRoundTrip sends batches of records that the other end sends back one by one, all in one frame.
func BenchmarkRoundTrip(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run("batch="+string(rune('0'+batch/10))+string(rune('0'+batch%10)), func(b *testing.B) {
			m := bus.NewMemory()
			here, there := newCollector(), newCollector()
			back := make(chan struct{}, 1)
			e1, _ := run(b, m, mesh.KindEdge, counting{back}, Config{})
			e2, _ := run(b, m, mesh.KindApp, there, Config{})
			_ = here
			var echo Batch
			answer := e2.Link(e1.Self())
			there.each = func(_ mesh.Address, r *wire.Record) error { return echo.Append(answer, r) }
			_ = answer
			l := e1.Link(e2.Self())
			e := &echoing{l: answer}
			e2.handler = e
			r := numbered(0, 64)
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					if _, err := l.Append(r); err != nil {
						b.Fatal(err)
					}
				}
				l.Flush()
				<-back
			}
		})
	}
}

type counting struct{ c chan struct{} }

func (counting) Record(mesh.Address, *wire.Record) error { return nil }
func (c counting) EndFrame()                             { wake(c.c) }
func (counting) Opened(mesh.Address)                     {}

type echoing struct {
	l *Link
	b Batch
}

func (e *echoing) Record(_ mesh.Address, r *wire.Record) error { return e.b.Append(e.l, r) }
func (e *echoing) EndFrame()                                   { e.b.Flush() }
func (e *echoing) Opened(mesh.Address)                         {}
