package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is a handler that keeps the bodies it gets.
type collector struct {
	mu     sync.Mutex
	bodies [][]byte // guarded by mu
	frames int      // guarded by mu
	opened int      // guarded by mu
	news   chan struct{}
	each   func(from mesh.Address, r *wire.Record) error // nil: accept
	end    func()                                        // nil: nothing
}

func newCollector() *collector { return &collector{news: make(chan struct{}, 1)} }

func (c *collector) Record(from mesh.Address, r *wire.Record) error {
	if c.each != nil {
		if err := c.each(from, r); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bodies = append(c.bodies, append([]byte(nil), r.Body...))
	return nil
}

func (c *collector) EndFrame() {
	if c.end != nil {
		c.end()
	}
	c.mu.Lock()
	c.frames++
	c.mu.Unlock()
	wake(c.news)
}

func (c *collector) Opened(mesh.Address) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bodies)
}

// await waits until n records have come.
func (c *collector) await(ctx context.Context, tb testing.TB, n int) {
	tb.Helper()
	for c.count() < n {
		select {
		case <-c.news:
		case <-ctx.Done():
			tb.Fatalf("records: got %d, want %d: %v", c.count(), n, ctx.Err())
		}
	}
}

// inOrder fails unless the bodies are those of numbered(0) to numbered(n-1).
func (c *collector) inOrder(tb testing.TB, n int) {
	tb.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.bodies) != n {
		tb.Errorf("records: got %d, want %d", len(c.bodies), n)
	}
	for i, body := range c.bodies {
		if got := number(body); got != uint64(i) {
			tb.Fatalf("record %d: got number %d", i, got)
		}
	}
}

// numbered returns a record with a body of size bytes, at least 8, that begins with n.
func numbered(n uint64, size int) *wire.Record {
	body := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(body, n)
	return &wire.Record{Kind: wire.KindEvent, Body: body}
}

func number(body []byte) uint64 { return binary.BigEndian.Uint64(body) }

// run runs an endpoint until the returned function is called, or the test ends.
func run(tb testing.TB, b bus.Bus, kind mesh.Kind, h Handler, cfg Config) (*Endpoint, func()) {
	tb.Helper()
	e := NewEndpoint(b, mesh.Subjects{}, address(kind), h, discard(), cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }() // ended says when
	stop := sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, bus.ErrClosed) {
				tb.Errorf("run: %v", err)
			}
		case <-time.After(20 * time.Second):
			tb.Error("run: no end within 20 s")
		}
	})
	tb.Cleanup(stop)
	select {
	case <-e.Ready():
	case err := <-ended:
		tb.Fatalf("run: %v", err)
	}
	return e, stop
}

func address(kind mesh.Kind) mesh.Address {
	a := mesh.Address{Kind: kind, Instance: mesh.NewInstanceID()}
	if kind == mesh.KindApp {
		a.App = "chat"
	}
	return a
}

// appendAll appends records from to to-1, waiting for room, and flushes.
func appendAll(ctx context.Context, l *Link, from, to, size int) error {
	for i := from; i < to; i++ {
		if _, err := l.AppendWait(ctx, numbered(uint64(i), size)); err != nil {
			return fmt.Errorf("append %d: %w", i, err)
		}
		if i%16 == 15 {
			l.Flush()
		}
	}
	l.Flush()
	return nil
}
