package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// outbox is a bus that keeps what is sent.
type outbox struct {
	bus.Bus
	frames []wire.Frame
}

func (o *outbox) Send(_, _ string, data []byte) error {
	f, err := wire.ParseFrame(append([]byte(nil), data...))
	o.frames = append(o.frames, f)
	return err
}

// lone is an endpoint without goroutines that gets frames of one peer from the test.
type lone struct {
	*Endpoint
	out  *outbox
	got  *collector
	peer mesh.Address
}

func newLone() *lone {
	out, got := &outbox{Bus: bus.NewMemory()}, newCollector()
	e := NewEndpoint(out, mesh.Subjects{}, address(mesh.KindRooms), got, discard(), Config{Metrics: &Metrics{}})
	return &lone{Endpoint: e, out: out, got: got, peer: address(mesh.KindEdge)}
}

func (l *lone) frame(f wire.Frame) {
	f.Sender = l.peer.Instance
	l.receive(bus.Msg{Subject: mesh.Subjects{}.In(l.self, mesh.From(l.peer)), Data: f.Append(nil)})
}

// data gets records from to to-1 in one frame of link 1.
func (l *lone) data(from, to uint64) {
	f := wire.Frame{Kind: wire.FrameData, Link: 1, First: from, Count: int(to - from)}
	for i := from; i < to; i++ {
		f.Records = numbered(i-1, 8).Append(f.Records)
	}
	l.frame(f)
}

// last is the last frame sent; the zero Frame if there was none.
func (l *lone) last() wire.Frame {
	if len(l.out.frames) == 0 {
		return wire.Frame{}
	}
	return l.out.frames[len(l.out.frames)-1]
}

func TestBrokenFrameBreaksTheLink(t *testing.T) {
	for _, tc := range []struct {
		name    string
		records []byte
		count   int
		want    int
	}{
		{"second record unreadable", append(numbered(0, 8).Append(nil), 0, 0, 0), 2, 1},
		{"fewer records than said", numbered(0, 8).Append(nil), 2, 1},
		{"more than said", append(numbered(0, 8).Append(nil), 1), 1, 1},
		{"fragment from nowhere", (&wire.Record{Kind: 1, Fragment: wire.Fragment{Index: 1, Count: 2}}).Append(nil), 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLone()
			l.frame(wire.Frame{Kind: wire.FrameData, Link: 1, First: 1, Count: tc.count, Records: tc.records})
			l.got.inOrder(t, tc.want)
			if f := l.last(); f.Kind != wire.FrameBreak || f.Mark.Link != 1 || len(f.Records) == 0 {
				t.Errorf("answer: got %+v, want a break with its reason", f)
			}
			l.data(uint64(tc.count)+1, uint64(tc.count)+2)
			l.got.inOrder(t, tc.want)
			if got := l.cfg.Metrics.BreaksRead.Load(); got != 1 {
				t.Errorf("counted: got %d, want 1", got)
			}
		})
	}
}

func TestPeerEndsItsLink(t *testing.T) {
	l := newLone()
	l.data(1, 3)
	l.frame(wire.Frame{Kind: wire.FrameBreak, Link: 7}) // another one
	l.data(3, 4)
	l.frame(wire.Frame{Kind: wire.FrameBreak, Link: 1})
	l.data(4, 5)
	l.got.inOrder(t, 3)
	if f := l.last(); f.Kind != wire.FrameBreak || f.Mark.Link != 1 {
		t.Errorf("answer: got %+v, want a break", f)
	}
}

func TestMarksAndBreaksOfOurLink(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frame  wire.Frame
		marked uint64
		broken error
	}{
		{"mark", wire.Frame{Kind: wire.FrameMark, Mark: wire.Mark{Link: 1, Seq: 2}}, 2, nil},
		{"mark of another link", wire.Frame{Kind: wire.FrameMark, Mark: wire.Mark{Link: 2, Seq: 2}}, 0, nil},
		{"mark of what was not sent", wire.Frame{Kind: wire.FrameMark, Mark: wire.Mark{Link: 1, Seq: 4}}, 0, ErrRefused},
		{"break", wire.Frame{Kind: wire.FrameBreak, Mark: wire.Mark{Link: 1}}, 0, ErrRefused},
		{"break of another link", wire.Frame{Kind: wire.FrameBreak, Mark: wire.Mark{Link: 2}}, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLone()
			out := l.Link(l.peer)
			if out.To() != l.peer {
				t.Errorf("to: got %v, want %v", out.To(), l.peer)
			}
			for i := range 3 {
				if _, err := out.Append(numbered(uint64(i), 8)); err != nil {
					t.Fatal(err)
				}
			}
			out.Flush()
			l.frame(tc.frame)
			if got := out.Marked(); got != tc.marked {
				t.Errorf("marked: got %d, want %d", got, tc.marked)
			}
			if got := out.Broken(); !errors.Is(got, tc.broken) {
				t.Errorf("broken: got %v, want %v", got, tc.broken)
			}
		})
	}
}

func TestImpossibleMarkEndsTheLinkAtThePeer(t *testing.T) {
	l := newLone()
	l.Link(l.peer)
	l.frame(wire.Frame{Kind: wire.FrameData, Link: 1, First: 1, Count: 1, Records: numbered(0, 8).Append(nil), Mark: wire.Mark{Link: 1, Seq: 4}})
	l.got.inOrder(t, 1)
	if f := l.last(); f.Kind != wire.FrameBreak || f.Link != 1 {
		t.Errorf("got %+v, want a break of our link", f)
	}
}

func TestMarkIsGivenOncePerGap(t *testing.T) {
	l := newLone()
	l.data(1, 3)
	for first := uint64(5); first < 9; first++ {
		l.data(first, first+1)
	}
	want := wire.Frame{Kind: wire.FrameMark, Sender: l.self.Instance, Mark: wire.Mark{Link: 1, Seq: 2, Gap: true}}
	if got := l.last(); len(l.out.frames) != 1 || got.Mark != want.Mark || got.Kind != want.Kind || got.Sender != want.Sender {
		t.Errorf("got %d frames, the last %+v, want one, %+v", len(l.out.frames), got, want)
	}
	l.data(3, 9)
	l.got.inOrder(t, 8)
}

// TestReceiverOverflow: the bus loses what does not fit the queue of a receiver that is busy.
func TestReceiverOverflow(t *testing.T) {
	b := bus.NewMemory()
	there := newCollector()
	metrics := &Metrics{}
	e1, _ := run(t, b, mesh.KindEdge, newCollector(), Config{})
	e2, _ := run(t, b, mesh.KindApp, there, Config{Queue: 4, Metrics: metrics})
	l := e1.Link(e2.Self())
	e2.turn.Lock()
	for i := range 100 {
		if _, err := l.Append(numbered(uint64(i), 8)); err != nil {
			t.Fatal(err)
		}
		l.Flush()
	}
	e2.turn.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	there.await(ctx, t, 100)
	there.inOrder(t, 100)
}
