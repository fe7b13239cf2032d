package siomesh

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run runs the mesh until ctx ends, Close is called or a part fails; it returns nil in the first two cases. It stops from the
// outside in: clients are closed first, so that the application's disconnect handlers run, then the application, then the
// services it stands on.
func (m *Mesh) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	if m.used {
		m.mu.Unlock()
		return ErrRan
	}
	m.used, m.stop = true, cancel
	m.mu.Unlock()
	defer close(m.stopped)
	defer m.release()

	base := layer(ctx)
	base.run("rooms", m.rooms.Run)
	if m.auth != nil {
		base.run("auth", m.auth.Run)
	}
	app := layer(ctx)
	app.run("app", m.io.Run)
	if m.api != nil {
		app.run("api", m.api.Run)
	}
	clients := layer(ctx)
	clients.run("edge", m.edge.Run)
	clients.run("", m.announceReady)

	select {
	case <-ctx.Done():
	case <-base.failed.Done():
	case <-app.failed.Done():
	case <-clients.failed.Done():
	}
	for _, l := range []*actors{clients, app, base} {
		l.stop()
		if err := l.group.Wait(); err != nil {
			cancel()
			return joinStopped(err, clients, app, base)
		}
	}
	return nil
}

// joinStopped stops the other layers after one failed and returns its error.
func joinStopped(err error, layers ...*actors) error {
	for _, l := range layers {
		l.stop()
		l.group.Wait() //nolint:errcheck // the first error is the cause
	}
	return err
}

// actors are parts that run and stop together.
type actors struct {
	ctx    context.Context //nolint:containedctx // the parts' own, made here and handed to each
	stop   context.CancelFunc
	group  *errgroup.Group
	failed context.Context //nolint:containedctx // ends when a part fails
}

// layer returns a group of parts that outlives ctx: it stops when stop is called.
func layer(ctx context.Context) *actors {
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	group, failed := errgroup.WithContext(inner)
	return &actors{ctx: inner, stop: stop, group: group, failed: failed}
}

func (a *actors) run(name string, part func(context.Context) error) {
	a.group.Go(func() error { // waited for in Mesh.Run
		if err := part(a.failed); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// announceReady closes m.ready as soon as every part has found the others.
func (m *Mesh) announceReady(ctx context.Context) error {
	if m.auth != nil {
		select {
		case <-m.auth.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !m.Healthy() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	close(m.ready)
	return nil
}
