package link

import (
	"context"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

// TestServerRestarts: core NATS loses what is on its way when its server restarts, without an error; links do not.
func TestServerRestarts(t *testing.T) {
	const records, restarts = 20000, 5
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	server := natstest.Start(t)
	here, there := newCollector(), newCollector()
	metrics := &Metrics{}
	cfg := Config{WindowRecords: 1000, StuckAfter: time.Minute, Metrics: metrics}
	e1, _ := run(t, dial(t, server.URL()), mesh.KindEdge, here, cfg)
	e2, _ := run(t, dial(t, server.URL()), mesh.KindApp, there, cfg)
	failed := make(chan error, 2)
	for _, l := range []*Link{e1.Link(e2.Self()), e2.Link(e1.Self())} {
		go func() { failed <- appendAll(ctx, l, 0, records, 100) }() // failed says when
	}
	for i := range restarts {
		there.await(ctx, t, (i+1)*records/(restarts+1))
		server.Restart()
	}
	for range 2 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	here.await(ctx, t, records)
	there.await(ctx, t, records)
	here.inOrder(t, records)
	there.inOrder(t, records)
	if here.opened != 1 || there.opened != 1 {
		t.Errorf("opened: got %d and %d, want 1: a link broke", here.opened, there.opened)
	}
	t.Logf("resent %d frames, %d gaps", metrics.Resends.Load(), metrics.Gaps.Load())
}

func dial(tb testing.TB, url string) bus.Bus {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	n, err := bus.Dial(ctx, url, bus.NATSOptions{Name: "link-test"})
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(n.Close)
	return n
}
