package link

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestUnreadableRecordBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		errUnreadable := errors.New("no such namespace")
		p.there.each = func(_ mesh.Address, r *wire.Record) error {
			if number(r.Body) == 3 {
				return errUnreadable
			}
			return nil
		}
		broken := make(chan error, 1)
		p.link.OnBreak(func(err error) { broken <- err })
		p.send(t, 0, 5)
		if err := <-broken; !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "no such namespace") {
			t.Errorf("got %v, want ErrRefused with the reason", err)
		}
		p.there.inOrder(t, 3)
		if got := p.yonder.BreaksRead.Load(); got != 1 {
			t.Errorf("breaks counted: got %d, want 1", got)
		}

		old := p.link
		p.link = p.from.Link(p.to.Self())
		if p.link == old || p.from.Link(p.to.Self()) != p.link {
			t.Fatal("after a break: want one new link")
		}
		p.there.each = nil
		p.send(t, 3, 6)
		p.there.await(t.Context(), t, 6)
		p.there.inOrder(t, 6)
		if p.there.opened != 2 {
			t.Errorf("opened: got %d times, want 2", p.there.opened)
		}
	})
}

func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		back := p.to.Link(p.from.Self())
		p.send(t, 0, 2)
		p.there.await(t.Context(), t, 2)
		broken := make(chan error, 1)
		back.OnBreak(func(err error) { broken <- err })
		p.to.Drop(p.from.Self().Instance) // wrongly
		if !errors.Is(back.Broken(), ErrPeerDead) {
			t.Errorf("at once: got %v, want ErrPeerDead", back.Broken())
		}
		if err := <-broken; !errors.Is(err, ErrPeerDead) {
			t.Errorf("told: got %v, want ErrPeerDead", err)
		}
		p.link.OnBreak(func(err error) { broken <- err })
		p.send(t, 2, 3)
		if err := <-broken; !errors.Is(err, ErrRefused) {
			t.Errorf("the dropped one: got %v, want ErrRefused", err)
		}
		p.there.inOrder(t, 2)
		p.link = p.from.Link(p.to.Self())
		p.send(t, 2, 3)
		p.there.await(t.Context(), t, 3)
		if p.there.opened != 2 {
			t.Errorf("opened: got %d times, want 2", p.there.opened)
		}
	})
}

// TestRefuse: what was taken was before, nothing comes after, and the sender hears of it even if the connection is lost.
func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		here := newCollector()
		p.from.handler = here
		back := p.to.Link(p.from.Self())
		say := func(l *Link, n uint64) {
			if _, err := l.Append(numbered(n, 20)); err != nil {
				t.Errorf("append %d: %v", n, err)
			}
			l.Flush()
		}
		say(back, 0)
		here.await(t.Context(), t, 1)

		p.wire.losing(func(f wire.Frame) bool { return f.Kind == wire.FrameBreak })
		taken := 0
		p.from.Refuse(p.to.Self().Instance, "enough", func() { taken = here.count() })
		synctest.Wait()
		if taken != 1 || back.Broken() != nil {
			t.Errorf("%d records taken, and the sender heard %v, want 1 and nothing yet", taken, back.Broken())
		}
		p.wire.connect(false)
		p.wire.losing(nil)
		p.wire.connect(true)
		synctest.Wait()
		if !errors.Is(back.Broken(), ErrRefused) {
			t.Errorf("got %v, want %v", back.Broken(), ErrRefused)
		}

		next := p.to.Link(p.from.Self())
		say(next, 1)
		here.await(t.Context(), t, 2)
		here.inOrder(t, 2)
		p.wire.connect(true)
		synctest.Wait()
		if next.Broken() != nil {
			t.Errorf("the next link: %v", next.Broken())
		}
	})
}

// TestRefusalIsRepeated: nothing is outstanding, so that the sender does not ask; and it does not go on for ever.
func TestRefusalIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		back := p.to.Link(p.from.Self())
		if _, err := back.Append(numbered(0, 20)); err != nil {
			t.Fatal(err)
		}
		back.Flush()
		pass(time.Second)

		sent := 0
		p.wire.losing(func(f wire.Frame) bool {
			if f.Kind == wire.FrameBreak {
				sent++
			}
			return sent == 1
		})
		heard := make(chan error, 1)
		back.OnBreak(func(err error) { heard <- err })
		start := time.Now()
		p.from.Refuse(p.to.Self().Instance, "enough", func() {})
		if err := <-heard; !errors.Is(err, ErrRefused) {
			t.Errorf("got %v, want %v", err, ErrRefused)
		}
		wantWithin(t, "heard", start, 100*time.Millisecond, time.Second)
		pass(time.Hour)
		if sent < 5 || sent > 10 { // the peer opens no other link
			t.Errorf("refused %d times in an hour", sent)
		}
	})
}

func TestTheDeadAreForgottenInTheEnd(t *testing.T) {
	e := NewEndpoint(bus.NewMemory(), mesh.Subjects{}, address(mesh.KindRooms), newCollector(), discard(), Config{})
	for range maxDropped + 100 {
		sender := address(mesh.KindEdge)
		f := wire.Frame{Kind: wire.FrameData, Sender: sender.Instance, Link: 1, First: 1, Count: 1, Records: numbered(0, 8).Append(nil)}
		e.receive(bus.Msg{Subject: mesh.Subjects{}.In(e.self, mesh.From(sender)), Data: f.Append(nil)})
		e.Drop(sender.Instance)
		e.Drop(sender.Instance)
	}
	e.turn.Lock()
	e.endTurn()
	if got := len(e.peers); got != maxDropped {
		t.Errorf("peers remembered: got %d, want %d", got, maxDropped)
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := bus.NewMemory()
		e, stop := run(t, memory, mesh.KindEdge, newCollector(), Config{WindowRecords: 1})
		nobodyThere := address(mesh.KindApp)
		l := e.Link(nobodyThere)
		told := 0
		l.OnBreak(func(error) { told++ })
		if _, err := l.Append(numbered(0, 8)); err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() { // waiting says when
			_, err := l.AppendWait(context.Background(), numbered(1, 8))
			waiting <- err
		}()
		synctest.Wait()
		stop()
		if err := <-waiting; !errors.Is(err, ErrStopped) {
			t.Errorf("waiting: got %v, want ErrStopped", err)
		}
		if told != 1 {
			t.Errorf("told of the break %d times, want 1", told)
		}
		if err := e.Link(address(mesh.KindApp)).Broken(); !errors.Is(err, ErrStopped) {
			t.Errorf("link opened later: got %v, want ErrStopped", err)
		}
		e.Do(func() { t.Error("ran after Run") })
		if err := e.Drain(t.Context()); err != nil {
			t.Errorf("drain: got %v, want nil", err)
		}
	})
}

func TestNoResponders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missing := make(chan mesh.InstanceID)
		metrics := &Metrics{}
		var dead atomic.Bool
		e, _ := run(t, bus.NewMemory(), mesh.KindEdge, newCollector(), Config{
			NoResponders: func(id mesh.InstanceID) bool { missing <- id; return dead.Load() }, Metrics: metrics,
		})
		to := address(mesh.KindApp)
		l := e.Link(to)
		if _, err := l.Append(numbered(0, 8)); err != nil {
			t.Fatal(err)
		}
		l.Flush()
		if got := <-missing; got != to.Instance {
			t.Errorf("got %v, want %v", got, to.Instance)
		}
		if metrics.NoResponders.Load() == 0 {
			t.Error("not counted")
		}
		synctest.Wait()
		if err := l.Broken(); err != nil {
			t.Errorf("got %v of an instance that may live", err)
		}
		dead.Store(true)
		<-missing // of what is sent again
		synctest.Wait()
		if err := l.Broken(); !errors.Is(err, ErrPeerDead) {
			t.Errorf("got %v, want %v", err, ErrPeerDead)
		}
	})
}

// TestBackBeforeTheVerdict shows that the word of somebody's death breaks no link that was opened since it is back.
func TestBackBeforeTheVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := address(mesh.KindApp)
		var e *Endpoint
		back := make(chan *Link, 1)
		e, _ = run(t, bus.NewMemory(), mesh.KindEdge, newCollector(), Config{
			NoResponders: func(id mesh.InstanceID) (dead bool) {
				if len(back) == 0 {
					e.Drop(id) // presence says that it is dead, and then that it is there
					back <- e.Link(to)
					return true
				}
				return false
			},
		})
		l := e.Link(to)
		if _, err := l.Append(numbered(0, 8)); err != nil {
			t.Fatal(err)
		}
		l.Flush()
		fresh := <-back
		synctest.Wait()
		if err := fresh.Broken(); err != nil || !errors.Is(l.Broken(), ErrPeerDead) {
			t.Errorf("the new link: %v, the old one: %v, want only that broken", err, l.Broken())
		}
	})
}

func TestForeignMessagesAreCounted(t *testing.T) {
	metrics := &Metrics{}
	c := newCollector()
	e := NewEndpoint(bus.NewMemory(), mesh.Subjects{}, address(mesh.KindRooms), c, discard(), Config{Metrics: metrics})
	valid := wire.Frame{Kind: wire.FrameData, Sender: address(mesh.KindEdge).Instance, Link: 1, First: 1, Count: 1, Records: numbered(0, 8).Append(nil)}
	subject := func(from string) string { return mesh.Subjects{}.In(e.self, from) }
	for i, m := range []bus.Msg{
		{Subject: subject("edge"), Data: []byte("hello")},
		{Subject: subject("edge"), Data: valid.Append(nil)[:40]},
		{Subject: subject("thief"), Data: valid.Append(nil)},
		{Subject: subject("edge")},
		{Subject: subject("nobody-1")},
	} {
		e.receive(m)
		if got := metrics.Malformed.Load(); got != uint64(i+1) {
			t.Errorf("message %d: got %d malformed, want %d", i, got, i+1)
		}
	}
	if len(e.peers) != 0 || c.count() != 0 {
		t.Errorf("got %d peers and %d records, want none", len(e.peers), c.count())
	}
}

func TestUnknownKindIsSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		if _, err := p.link.Append(&wire.Record{Kind: 201, Flags: wire.FlagSkippable, Body: bytes.Repeat([]byte("x"), 3<<20)}); err != nil {
			t.Fatal(err)
		}
		p.send(t, 0, 1)
		p.there.await(t.Context(), t, 1)
		p.there.inOrder(t, 1)
		if got := p.yonder.Skipped.Load(); got != 1 {
			t.Errorf("skipped: got %d, want 1", got)
		}

		broken := make(chan error, 1)
		p.link.OnBreak(func(err error) { broken <- err })
		if _, err := p.link.Append(&wire.Record{Kind: 202}); err != nil {
			t.Fatal(err)
		}
		p.link.Flush()
		if err := <-broken; !errors.Is(err, ErrRefused) {
			t.Errorf("unknown kind that may not be skipped: got %v, want ErrRefused", err)
		}
	})
}

func TestLargeRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{WindowBytes: 1 << 20})
		large := numbered(0, 16<<20)
		for i := range large.Body[8:] {
			large.Body[8+i] = byte(i * 7)
		}
		seq, err := p.link.Append(large)
		if err != nil {
			t.Fatalf("larger than the window: %v", err)
		}
		if _, err := p.link.Append(numbered(1, 8)); !errors.Is(err, ErrFull) {
			t.Errorf("behind it: got %v, want ErrFull", err)
		}
		p.link.Flush()
		p.there.await(t.Context(), t, 1)
		if !bytes.Equal(p.there.bodies[0], large.Body) {
			t.Error("the body came out different")
		}
		pass(10 * time.Millisecond)
		if got := p.link.Marked(); got != seq {
			t.Errorf("marked: got %d, want %d", got, seq)
		}
		if _, err := p.link.Append(numbered(1, 18<<20)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("above the limit: got %v, want ErrTooLarge", err)
		}
	})
}

func TestDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		var inside int // touched in turns only: the race detector watches
		p.there.each = func(mesh.Address, *wire.Record) error { inside++; return nil }
		var group sync.WaitGroup
		var order []int
		group.Go(func() {
			for i := range 3 * maxJobs {
				p.to.Do(func() { inside++; order = append(order, i) })
			}
		})
		for i := range 100 {
			p.send(t, i, i+1)
		}
		group.Wait()
		p.there.await(t.Context(), t, 100)
		done := make(chan struct{})
		p.to.Do(func() {
			if want := 3*maxJobs + 100; inside != want {
				t.Errorf("turns: got %d, want %d", inside, want)
			}
			for i, got := range order {
				if got != i {
					t.Errorf("function %d ran as number %d", got, i)
				}
			}
			close(done)
		})
		<-done
	})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
