package main

import (
	"context"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/rooms"
)

// roomsCommand runs rooms:
//
//	apps, edges ◄──► NATS ◄──► rooms
//	operators ──► 127.0.0.1:8302
type roomsCommand struct {
	natsFlags    `embed:"" set:"internal=127.0.0.1:8302"`
	processFlags `embed:""`
}

// Run implements the subcommand.
func (c *roomsCommand) Run(out output) error { return c.do(c, out) }

func (c *roomsCommand) plan() (string, error) { return c.natsFlags.plan("rooms") }

func (c *roomsCommand) run(ctx context.Context, log *slog.Logger) error {
	registry := telemetry.NewRegistry()
	cfg := rooms.Config{Metrics: &rooms.Metrics{}, Link: link.Config{Metrics: &link.Metrics{}}}
	var err error
	if cfg.Presence.Metrics, err = presence.NewMetrics(registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	if err := telemetry.Register(registry, append(cfg.Metrics.Telemetry(), telemetry.Link("rooms", cfg.Link.Metrics)...)...); err != nil {
		return err //nolint:wrapcheck // says what
	}
	return c.serve(ctx, "rooms", registry, log, func(ctx context.Context, m member) error {
		service := rooms.New(m.bus, m.names, log, cfg)
		m.ready.set(service.Healthy)
		return service.Run(ctx)
	})
}
