package link

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestAppendWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{WindowRecords: 2})
		p.wire.losing(isData)
		p.send(t, 0, 2)
		if _, err := p.link.Append(numbered(2, 8)); !errors.Is(err, ErrFull) {
			t.Fatalf("full: got %v, want ErrFull", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := p.link.AppendWait(ctx, numbered(2, 8)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a deadline", err)
		}
		wantWithin(t, "gave up", start, 100*time.Millisecond, 100*time.Millisecond)

		failed := make(chan error, 8)
		for i := 2; i < 10; i++ { // one behind the other
			go func() { // failed says when
				_, err := p.link.AppendWait(t.Context(), numbered(uint64(i), 8))
				p.link.Flush()
				failed <- err
			}()
			synctest.Wait()
		}
		control := numbered(100, 8)
		control.Flags = wire.FlagControl
		p.there.each = func(_ mesh.Address, r *wire.Record) error {
			if number(r.Body) == 100 {
				r.Body = numbered(2, 8).Body // keeps inOrder simple: it comes third
			}
			return nil
		}
		if _, err := p.link.AppendWait(ctx, control); err != nil {
			t.Errorf("control: got %v, want nil", err)
		}
		p.wire.losing(nil)
		for range 8 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
		p.there.await(t.Context(), t, 11)
		for i, body := range p.there.bodies {
			if want := uint64(max(i-1, min(i, 2))); number(body) != want {
				t.Errorf("record %d: got %d, want %d", i, number(body), want)
			}
		}
	})
}

func TestWaitersGoBeforeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{WindowBytes: 1000})
		p.wire.losing(isData)
		p.send(t, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error, 1)
		go func() { // waiting says when
			_, err := p.link.AppendWait(ctx, numbered(1, 2000)) // passes when nothing is outstanding
			waiting <- err
		}()
		synctest.Wait()
		if _, err := p.link.Append(numbered(1, 8)); !errors.Is(err, ErrFull) {
			t.Errorf("small record behind a waiting large one: got %v, want ErrFull", err)
		}
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
		if _, err := p.link.Append(numbered(1, 8)); err != nil {
			t.Errorf("after the one who waited left: %v", err)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, Config{})
		if err := p.from.Drain(t.Context()); err != nil {
			t.Fatalf("nothing appended: %v", err)
		}
		p.wire.losing(isData)
		if _, err := p.link.Append(numbered(0, 8)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.from.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing arrives: got %v, want a deadline", err)
		}
		p.wire.losing(nil)
		start := time.Now()
		if err := p.from.Drain(t.Context()); err != nil || p.there.count() != 1 {
			t.Errorf("got %v and %d records, want 1", err, p.there.count())
		}
		wantWithin(t, "drained", start, 0, 200*time.Millisecond)
	})
}

// TestManyWriters: one link, many goroutines; whoever flushes writes for all, and nothing stays behind.
func TestManyWriters(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	b := bus.NewMemory()
	there := newCollector()
	last := map[uint64]uint64{}
	there.each = func(_ mesh.Address, r *wire.Record) error {
		writer, n := number(r.Body)>>32, number(r.Body)&0xffffffff
		if n != last[writer] {
			t.Errorf("writer %d: got record %d, want %d", writer, n, last[writer])
		}
		last[writer] = n + 1
		return nil
	}
	e1, _ := run(t, b, mesh.KindEdge, newCollector(), Config{WindowRecords: 64})
	e2, _ := run(t, b, mesh.KindApp, there, Config{WindowRecords: 64})
	const writers, each = 16, 500
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			var batch Batch
			l := e1.Link(e2.Self())
			for n := range each {
				r := numbered(uint64(writer)<<32|uint64(n), 16)
				if err := batch.Append(l, r); errors.Is(err, ErrFull) {
					if _, err := l.AppendWait(ctx, r); err != nil {
						t.Error(err)
						return
					}
					batch.Add(l)
				}
				if n%3 == 0 {
					batch.Flush()
				}
			}
			batch.Flush()
		})
	}
	group.Wait()
	there.await(ctx, t, writers*each)
}
