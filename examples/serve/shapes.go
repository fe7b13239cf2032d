package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// stopsWithin bounds the closing of clients and pages.
const stopsWithin = 8 * time.Second

// embed runs the whole mesh in this process.
func (p Program) embed(ctx context.Context, f *Flags, log *slog.Logger) error {
	cfg := p.config(f, log)
	registry := prometheus.NewRegistry()
	if cfg.Metrics == nil {
		cfg.Metrics = registry
	}
	m, err := siomesh.New(cfg)
	if err != nil {
		return fmt.Errorf("configure the mesh: %w", err)
	}
	if err := p.Register(m.IO()); err != nil {
		return errors.Join(fmt.Errorf("register handlers: %w", err), m.Close(ctx))
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", f.Listen)
	if err != nil {
		return errors.Join(err, m.Close(ctx))
	}
	var internal net.Listener
	if f.Mesh.InternalListen != "" {
		if internal, err = lc.Listen(ctx, "tcp", f.Mesh.InternalListen); err != nil {
			return errors.Join(err, ln.Close(), m.Close(ctx))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/socket.io/", m)
	if p.Pages != nil {
		mux.Handle("/", p.Pages)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Run(ctx) })
	g.Go(func() error { return Pages(ctx, ln, mux, log) })
	if internal != nil {
		g.Go(func() error { return Pages(ctx, internal, operators(registry, m.Healthy), log) })
	}
	return g.Wait()
}

// join runs the application alone; the services are elsewhere.
func (p Program) join(ctx context.Context, f *Flags, log *slog.Logger) error {
	io, err := socketio.Connect(ctx, f.NATS, socketio.Config{App: f.app(p.Name), Log: log})
	if err != nil {
		return fmt.Errorf("join the mesh: %w", err)
	}
	if err := p.Register(io); err != nil {
		return fmt.Errorf("register handlers: %w", err)
	}
	log.Info("application joins the mesh", slog.String("app", f.app(p.Name)))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return io.Run(ctx) })
	if p.Beside != nil {
		g.Go(func() error { return p.Beside(ctx, log) })
	}
	return g.Wait()
}

// Pages serves h on ln until ctx ends, with the time limits a server on the open Internet needs. Long polls and WebSockets
// end when the mesh does.
func Pages(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	log.Info("serving HTTP", slog.String("address", ln.Addr().String()))
	stopped := make(chan error, 1)
	go func() { // waited for below: ends once ctx has
		<-ctx.Done()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopsWithin)
		defer cancel()
		stopped <- s.Shutdown(closing)
	}()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return <-stopped
}
