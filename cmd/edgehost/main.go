// Command edgehost is the server side of measurements of the edge alone (scripts/bench-edge): an edge in a process of its own,
// wired as `siomesh edge` wires it but with TLS if told so, or the floor, a server that does nothing but the writes of a
// broadcast. Both tell on an internal port what they cost, after a collection of garbage if asked. The load comes from
// cmd/siobench.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/garbage"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/edge"
)

// host is the command line.
type host struct {
	floor    bool
	nats     string
	listen   string
	internal string
	tls      bool
	interval time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "edgehost:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, stderr io.Writer) error {
	var h host
	fs := flag.NewFlagSet("edgehost", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&h.floor, "floor", false, "serve the floor instead of an edge")
	fs.StringVar(&h.nats, "nats", "nats://127.0.0.1:4222", "NATS server of the mesh")
	fs.StringVar(&h.listen, "listen", "127.0.0.1:3321", "address for clients")
	fs.StringVar(&h.internal, "internal-listen", "127.0.0.1:8341", "address of /account, /metrics, /readyz and /debug/pprof")
	fs.BoolVar(&h.tls, "tls", false, "speak TLS with clients, with a certificate made at start")
	fs.DurationVar(&h.interval, "ping-interval", 25*time.Second, "from a pong to the next ping")
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("parse the command line: %w", err)
	}
	return h.serve(ctx, slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func (h *host) serve(ctx context.Context, log *slog.Logger) error {
	var lc net.ListenConfig
	clients, err := lc.Listen(ctx, "tcp", h.listen)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	defer clients.Close()
	internal, err := lc.Listen(ctx, "tcp", h.internal)
	if err != nil {
		return fmt.Errorf("listen for operators: %w", err)
	}
	defer internal.Close()
	if h.tls {
		certificate, err := selfSigned()
		if err != nil {
			return err
		}
		clients = tls.NewListener(clients, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13})
	}
	garbage.Tighten()
	g, ctx := errgroup.WithContext(ctx)
	if h.floor {
		g.Go(func() error { return telemetry.Serve(ctx, internal, accounts(http.NotFoundHandler()), log) })
		g.Go(func() error { return newFloor().serve(ctx, clients) })
		return g.Wait() //nolint:wrapcheck // each says where it comes from
	}
	b, err := bus.Dial(ctx, h.nats, bus.NATSOptions{Name: "edgehost", ConnectTimeout: 10 * time.Second, Log: log})
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	defer b.Close()
	service, operators, err := h.edge(b, log)
	if err != nil {
		return err
	}
	g.Go(func() error { return telemetry.Serve(ctx, internal, accounts(operators), log) })
	g.Go(func() error { return service.Run(ctx) })
	g.Go(func() error { return telemetry.Serve(ctx, clients, service, log) })
	return g.Wait() //nolint:wrapcheck // each says where it comes from
}

// edge returns the service and what its internal port answers.
func (h *host) edge(b bus.Bus, log *slog.Logger) (*edge.Service, http.Handler, error) {
	registry := telemetry.NewRegistry()
	cfg := edge.Config{PingInterval: h.interval, Metrics: &edge.Metrics{}, Link: link.Config{Metrics: &link.Metrics{}}}
	var err error
	if cfg.Presence.Metrics, err = presence.NewMetrics(registry); err != nil {
		return nil, nil, err //nolint:wrapcheck // says what
	}
	if err := telemetry.Register(registry, append(cfg.Metrics.Telemetry(), telemetry.Link("edge", cfg.Link.Metrics)...)...); err != nil {
		return nil, nil, err //nolint:wrapcheck // says what
	}
	service, err := edge.New(b, mesh.Subjects{}, log, cfg)
	if err != nil {
		return nil, nil, err //nolint:wrapcheck // says what
	}
	return service, telemetry.Handler(registry, service.Healthy), nil
}
