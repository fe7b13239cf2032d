package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/garbage"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/edge"
)

// edgeCommand runs one edge:
//
//	clients ──► :3000 ─► edge ◄──► NATS
//	operators ──► 127.0.0.1:8301
type edgeCommand struct {
	Listen string `default:":3000" placeholder:"ADDR" help:"Address for clients."`

	natsFlags    `embed:"" set:"internal=127.0.0.1:8301"`
	listenFlags  `embed:""`
	engineFlags  `embed:""`
	processFlags `embed:""`
}

// Run implements the subcommand.
func (c *edgeCommand) Run(out output) error { return c.do(c, out) }

func (c *edgeCommand) plan() (string, error) {
	if _, err := c.config(); err != nil {
		return "", err
	}
	if err := c.validate(); err != nil {
		return "", err
	}
	if err := checkAddress("--listen", c.Listen); err != nil {
		return "", err
	}
	return c.natsFlags.plan(fmt.Sprintf("edge: clients on %s%s (%s)", c.Listen, c.Path, &c.engineFlags))
}

func (c *edgeCommand) run(ctx context.Context, log *slog.Logger) error {
	registry := telemetry.NewRegistry()
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if err := c.checkClientDir(); err != nil {
		return err
	}
	cfg.Metrics, cfg.Link.Metrics = &edge.Metrics{}, &link.Metrics{}
	if cfg.Presence.Metrics, err = presence.NewMetrics(registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	clients, internal, err := c.listenBoth(ctx, c.Listen, c.InternalListen)
	if err != nil {
		return err
	}
	metrics := append(cfg.Metrics.Telemetry(), telemetry.Link("edge", cfg.Link.Metrics)...)
	if err := telemetry.Register(registry, append(metrics, clients.telemetry()...)...); err != nil {
		return errors.Join(err, clients.Close(), internal.Close())
	}
	warnOfFileLimit(log, hardFileLimit(), c.MaxConnections, c.MaxTCPConnections)
	garbage.Tighten()
	ready := &late{}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return telemetry.Serve(ctx, internal, telemetry.Handler(registry, ready.ok), log) })
	g.Go(func() error {
		b, names, err := c.connect(ctx, "edge", log)
		if err != nil {
			_ = clients.Close() // nobody has come yet
			return err
		}
		defer b.Close()
		service, err := edge.New(b, names, log, cfg)
		if err != nil {
			return err //nolint:wrapcheck // says what
		}
		ready.set(service.Healthy)
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return service.Run(ctx) })
		g.Go(func() error { return c.serveClients(ctx, clients, service, log) })
		return g.Wait()
	})
	return g.Wait() //nolint:wrapcheck // each says where it comes from
}

func (c *edgeCommand) config() (edge.Config, error) {
	cfg, err := c.engineFlags.config()
	if err != nil {
		return edge.Config{}, fmt.Errorf("edge: %w", err)
	}
	return cfg, nil
}
