package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/telemetry"
)

// member is a process that has reached the mesh.
type member struct {
	bus   *bus.NATS
	names mesh.Subjects
	ready *late
}

// late is a health check that is not known from the start: until then the process is not ready.
type late struct{ check atomic.Pointer[func() bool] }

func (l *late) set(check func() bool) { l.check.Store(&check) }

func (l *late) ok() bool {
	check := l.check.Load()
	return check != nil && (*check)()
}

// serve opens the internal port, then connects and runs a service until ctx ends: alive at once, ready when the service is.
func (f *natsFlags) serve(
	ctx context.Context, name string, registry *prometheus.Registry, log *slog.Logger, service func(context.Context, member) error,
) error {
	var lc net.ListenConfig
	internal, err := lc.Listen(ctx, "tcp", f.InternalListen)
	if err != nil {
		return fmt.Errorf("--internal-listen: %w", err)
	}
	ready := &late{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return telemetry.Serve(ctx, internal, telemetry.Handler(registry, ready.ok), log) })
	g.Go(func() error {
		b, names, err := f.connect(ctx, name, log)
		if err != nil {
			return err
		}
		defer b.Close()
		return service(ctx, member{bus: b, names: names, ready: ready})
	})
	return g.Wait() //nolint:wrapcheck // each says where it comes from
}
