package presence

import (
	"context"
	"log/slog"
	"testing"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Who is stopped while it starts has not failed.
func TestStoppedAtTheStart(t *testing.T) {
	b := bus.NewMemory()
	defer b.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		self := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
		p := New(b, mesh.Subjects{}, self, func(*siomeshv1.Presence) {}, slog.New(slog.DiscardHandler), Config{})
		if err := p.Run(ctx); err != nil {
			t.Fatalf("Run: %v", err)
		}
	}
}
