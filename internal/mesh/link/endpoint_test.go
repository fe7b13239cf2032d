package link

import (
	"context"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func TestInOrderBothWays(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b := bus.NewMemory()
	here, there := newCollector(), newCollector()
	cfg := Config{WindowRecords: 100}
	e1, _ := run(t, b, mesh.KindEdge, here, cfg)
	e2, _ := run(t, b, mesh.KindApp, there, cfg)
	const n = 20000
	failed := make(chan error, 2)
	for _, l := range []*Link{e1.Link(e2.Self()), e2.Link(e1.Self())} {
		go func() { failed <- appendAll(ctx, l, 0, n, 20) }() // failed says when
	}
	for range 2 {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	here.await(ctx, t, n)
	there.await(ctx, t, n)
	here.inOrder(t, n)
	there.inOrder(t, n)
	if here.opened != 1 || there.opened != 1 {
		t.Errorf("opened: got %d and %d, want 1", here.opened, there.opened)
	}
}
