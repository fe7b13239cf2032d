package link

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// pair is two endpoints in a bubble, of which the first can be cut off, and a link from it to the second.
type pair struct {
	wire         *faulty
	there        *collector
	link         *Link
	from, to     *Endpoint
	here, yonder *Metrics
}

func newPair(t *testing.T, cfg Config) *pair {
	t.Helper()
	memory := bus.NewMemory()
	p := &pair{wire: &faulty{Bus: memory}, there: newCollector(), here: &Metrics{}, yonder: &Metrics{}}
	cfg.Metrics = p.here
	p.from, _ = run(t, p.wire, mesh.KindApp, newCollector(), cfg)
	p.to, _ = run(t, memory, mesh.KindRooms, p.there, Config{Metrics: p.yonder, WindowBytes: cfg.WindowBytes, WindowRecords: cfg.WindowRecords})
	p.link = p.from.Link(p.to.Self())
	return p
}

func (p *pair) send(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := p.link.Append(numbered(uint64(i), 20)); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	p.link.Flush()
}

// wantWithin fails unless what takes from least to most.
func wantWithin(t *testing.T, what string, since time.Time, least, most time.Duration) {
	t.Helper()
	if took := time.Since(since); took < least || took > most {
		t.Errorf("%s after %v, want %v to %v", what, took, least, most)
	}
}

// pass lets time pass in a bubble, and what is due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestResendAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		var sent []time.Time
		p.wire.losing(func(f wire.Frame) bool {
			sent = append(sent, time.Now())
			return isData(f) && len(sent) < 4
		})
		start := time.Now()
		p.send(t, 0, 1)
		p.there.await(t.Context(), t, 1)
		p.there.inOrder(t, 1)
		least := []time.Duration{0, 150, 450, 950}
		for i, at := range sent {
			if got := at.Sub(start); got < least[i]*time.Millisecond || got > (least[i]+200)*time.Millisecond {
				t.Errorf("time %d: sent after %v, want %v ms and at most 50 ms later each time", i, got, least[i])
			}
		}
		if got := p.here.Resends.Load(); got != 3 {
			t.Errorf("resends: got %d, want 3", got)
		}
	})
}

func TestGapIsFilledAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		p.send(t, 0, 1)
		p.wire.losing(isData)
		p.send(t, 1, 4)
		p.wire.losing(nil)
		start := time.Now()
		p.send(t, 4, 6)
		p.there.await(t.Context(), t, 6)
		p.there.inOrder(t, 6)
		wantWithin(t, "filled", start, 0, time.Millisecond)
		if gaps, resends := p.yonder.Gaps.Load(), p.here.Resends.Load(); gaps != 1 || resends == 0 {
			t.Errorf("got %d gaps and %d resends, want 1 and some", gaps, resends)
		}
	})
}

func TestFirstFrameLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		p.wire.losing(isData)
		p.send(t, 0, 3)
		p.wire.losing(nil)
		p.send(t, 3, 5)
		p.there.await(t.Context(), t, 5)
		p.there.inOrder(t, 5)
	})
}

func TestReconnectResendsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		p.wire.losing(isData)
		p.send(t, 0, 2) // in the socket when the connection is cut
		p.wire.losing(nil)
		p.wire.connect(false)
		p.send(t, 2, 5)
		pass(time.Minute)
		if got := p.there.count(); got != 0 || p.link.Broken() != nil {
			t.Errorf("disconnected: got %d records, link %v", got, p.link.Broken())
		}
		start := time.Now()
		p.wire.connect(true)
		p.there.await(t.Context(), t, 5)
		p.there.inOrder(t, 5)
		wantWithin(t, "resent", start, 0, time.Millisecond)
	})
}

func TestMarkWaitsForTheTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		marked := make(chan uint64, 10)
		p.link.OnMark(func(seq uint64) { marked <- seq })
		start := time.Now()
		p.send(t, 0, 3)
		p.send(t, 3, 4)
		if got := <-marked; got != 4 {
			t.Errorf("marked: got %d, want 4 at once", got)
		}
		wantWithin(t, "marked", start, 5*time.Millisecond, 5*time.Millisecond)
		if got := p.yonder.MarksSent.Load(); got != 1 {
			t.Errorf("bare marks: got %d, want 1", got)
		}
	})
}

func TestHalfTheWindowIsMarkedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{WindowRecords: 10})
		start := time.Now()
		for i := range 100 {
			p.send(t, i, i+1)
			synctest.Wait() // both ends
		}
		wantWithin(t, "sent ten windows", start, 0, 0)
		if got := p.link.Marked(); got != 100 {
			t.Errorf("marked: got %d, want 100", got)
		}
	})
}

func TestMarkRidesOnReverseFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		back := p.to.Link(p.from.Self())
		var echo Batch
		p.there.each = func(_ mesh.Address, r *wire.Record) error { return echo.Append(back, r) }
		p.there.end = echo.Flush
		for i := range 100 {
			p.send(t, i, i+1)
			synctest.Wait()
		}
		if got := p.link.Marked(); got != 100 {
			t.Errorf("marked: got %d, want 100", got)
		}
		pass(time.Second)
		if got := p.yonder.MarksSent.Load(); got != 0 {
			t.Errorf("bare marks: got %d, want 0", got)
		}
	})
}

func TestStuckLinkBreaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var healthy atomic.Bool
		p := newPair(t, Config{Healthy: func(mesh.InstanceID) bool { return healthy.Load() }})
		broken := make(chan error, 2)
		p.link.OnBreak(func(err error) { broken <- err })
		p.wire.losing(isData)
		p.send(t, 0, 1)
		pass(time.Minute) // its heartbeats do not arrive: no verdict
		if err := p.link.Broken(); err != nil {
			t.Fatalf("unhealthy peer: got %v", err)
		}
		start := time.Now()
		healthy.Store(true)
		p.wire.connect(false)
		pass(time.Minute) // nor do we judge while we are disconnected
		if err := p.link.Broken(); err != nil {
			t.Fatalf("disconnected: got %v", err)
		}
		wantWithin(t, "still whole", start, time.Minute, time.Minute)
		p.wire.connect(true)
		start = time.Now()
		if err := <-broken; !errors.Is(err, ErrStuck) || !errors.Is(err, ErrBroken) {
			t.Errorf("got %v, want ErrStuck", err)
		}
		wantWithin(t, "stuck", start, 2*time.Second-100*time.Millisecond, 2*time.Second+200*time.Millisecond)
		if _, err := p.link.Append(numbered(1, 8)); !errors.Is(err, ErrBroken) {
			t.Errorf("append: got %v, want ErrBroken", err)
		}
		if got := p.here.BreaksStuck.Load(); got != 1 || len(broken) != 0 {
			t.Errorf("breaks: got %d counted and %d more told, want 1 and none", got, len(broken))
		}
	})
}

func TestProgressKeepsTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		n := 0
		p.wire.losing(func(f wire.Frame) bool { n++; return isData(f) && n%3 != 0 })
		for i := range 20 {
			p.send(t, i, i+1)
			pass(time.Second)
		}
		p.wire.losing(nil)
		p.there.await(t.Context(), t, 20)
		if err := p.link.Broken(); err != nil {
			t.Errorf("got %v, want a whole link", err)
		}
	})
}

func TestLostMarkIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		behind := &faulty{Bus: p.to.bus}
		p.to.bus = behind
		behind.losing(isMark)
		p.send(t, 0, 3)
		pass(100 * time.Millisecond)
		behind.losing(nil)
		pass(200 * time.Millisecond)
		if got := p.link.Marked(); got != 3 {
			t.Errorf("marked: got %d, want 3", got)
		}
		p.there.inOrder(t, 3)
	})
}

func TestIdleEndpointSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		p.send(t, 0, 100)
		pass(time.Second)
		if p.from.tick.armed.Load() {
			t.Error("the ticker runs with nothing outstanding")
		}
		p.link.mu.Lock()
		defer p.link.mu.Unlock()
		if p.link.s.filling != nil {
			t.Error("an idle link holds memory")
		}
	})
}
