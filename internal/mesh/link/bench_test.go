package link

import (
	"fmt"
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// BenchmarkRoundTrip sends batches of records, one frame each, which the other end sends back as one frame.
func BenchmarkRoundTrip(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			memory := bus.NewMemory()
			back := make(chan struct{}, 1)
			here, there := &echo{back: back}, &echo{}
			e1, _ := run(b, memory, mesh.KindEdge, here, Config{})
			e2, _ := run(b, memory, mesh.KindApp, there, Config{})
			there.link = e2.Link(e1.Self())
			l := e1.Link(e2.Self())
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

// BenchmarkOneWay sends as fast as the window allows.
func BenchmarkOneWay(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			memory := bus.NewMemory()
			e1, _ := run(b, memory, mesh.KindEdge, &echo{}, Config{})
			e2, _ := run(b, memory, mesh.KindApp, &echo{}, Config{})
			l := e1.Link(e2.Self())
			r := numbered(0, 64)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, err := l.AppendWait(b.Context(), r); err != nil {
					b.Fatal(err)
				}
				if n%batch == 0 {
					l.Flush()
				}
			}
			l.Flush()
			if err := e1.Drain(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// echo is a handler that sends back what it gets if it has a link, and tells of each frame if it has a channel.
type echo struct {
	link  *Link
	batch Batch
	back  chan struct{}
}

func (e *echo) Record(_ mesh.Address, r *wire.Record) error {
	if e.link == nil {
		return nil
	}
	return e.batch.Append(e.link, r)
}

func (e *echo) EndFrame() {
	e.batch.Flush()
	if e.back != nil {
		wake(e.back)
	}
}

func (e *echo) Opened(mesh.Address) {}
