package api

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// health is whether the process hears itself through NATS: alive but deaf is not ready.
type health struct {
	bus  *bus.NATS
	deaf atomic.Bool
}

const (
	probeEvery  = time.Second
	probeWithin = 1500 * time.Millisecond
)

// run probes until ctx ends.
func (h *health) run(ctx context.Context) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.deaf.Store(h.probe(ctx) != nil)
		case <-ctx.Done():
			return
		}
	}
}

func (h *health) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	return h.bus.Probe(ctx)
}

func (h *health) ok() bool { return h.bus.Connected() && !h.deaf.Load() }
