package link

import (
	"testing"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// FuzzReceive gives an endpoint whatever the bus may bring. Nothing of it disturbs another peer, and a handler gets no more
// than came.
func FuzzReceive(f *testing.F) {
	peer := address(mesh.KindEdge)
	frame := func(fr wire.Frame) []byte {
		fr.Sender = peer.Instance
		return fr.Append(nil)
	}
	of := func(records ...*wire.Record) (b []byte) {
		for _, r := range records {
			b = r.Append(b)
		}
		return b
	}
	two := frame(wire.Frame{Kind: wire.FrameData, Link: 1, First: 1, Count: 2, Records: of(numbered(0, 8), numbered(1, 8))})
	third := frame(wire.Frame{Kind: wire.FrameData, Link: 1, First: 3, Count: 1, Records: of(numbered(2, 8))})
	begin := &wire.Record{Kind: wire.KindEvent, Fragment: wire.Fragment{Count: 2}, Body: make([]byte, 20)}
	f.Add("edge", two, third)
	f.Add("rooms", two, two)
	f.Add("app-chat", third, two)
	f.Add("edge", frame(wire.Frame{Kind: wire.FrameBreak, Link: 1}), two)
	f.Add("edge", frame(wire.Frame{Kind: wire.FrameMark, Mark: wire.Mark{Link: 1, Seq: 9, Gap: true}}), []byte{})
	f.Add("edge", frame(wire.Frame{Kind: wire.FrameData, Link: 1, First: 1, Count: 1, Records: of(begin)}), third)
	f.Add("nobody-"+peer.Instance.String(), []byte{}, []byte("x"))
	f.Fuzz(func(t *testing.T, from string, first, second []byte) {
		l := newLone()
		l.Link(l.peer) // has something to be marked, and to break
		got := 0
		l.got.each = func(_ mesh.Address, r *wire.Record) error {
			if got += len(r.Body); got > len(first)+len(second) {
				t.Errorf("%d bytes of records from %d", got, len(first)+len(second))
			}
			return nil
		}
		subject := mesh.Subjects{}.In(l.self, from)
		for _, data := range [][]byte{first, second} {
			l.receive(bus.Msg{Subject: subject, Data: data})
		}
		before := l.got.count()
		l.got.each = nil
		l.peer = address(mesh.KindEdge)
		l.data(1, 3)
		if n := l.got.count() - before; n != 2 {
			t.Errorf("another peer: got %d records, want 2", n)
		}
	})
}
