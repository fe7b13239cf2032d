package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/api"
)

// apiFlags bound what the API takes.
type apiFlags struct {
	APIConcurrency int           `name:"api-concurrency" env:"SIOMESH_API_CONCURRENCY" default:"256" placeholder:"N" help:"API requests handled at the same time; beyond it they are refused as busy."`
	APITimeout     time.Duration `name:"api-timeout" env:"SIOMESH_API_TIMEOUT" default:"4s" help:"Of an API request that names none."`
	APIMaxTimeout  time.Duration `name:"api-max-timeout" env:"SIOMESH_API_MAX_TIMEOUT" default:"1m" help:"Longest timeout that an API request may name."`
}

func (f *apiFlags) apiConfig() (api.Config, error) {
	if f.APIConcurrency < 1 || f.APITimeout < time.Millisecond || f.APIMaxTimeout < f.APITimeout {
		return api.Config{}, fmt.Errorf("--api-concurrency, --api-timeout, --api-max-timeout: want at least 1, 1ms and the other timeout") //nolint:err113 // for the reader of the command line
	}
	return api.Config{Concurrency: f.APIConcurrency, Timeout: f.APITimeout, MaxTimeout: f.APIMaxTimeout}, nil
}

// apiCommand runs the API:
//
//	any program ──► NATS ──► api ──► NATS ──► rooms
//	operators ──► 127.0.0.1:8304
type apiCommand struct {
	natsFlags    `embed:"" set:"internal=127.0.0.1:8304"`
	apiFlags     `embed:""`
	processFlags `embed:""`
}

// Run implements the subcommand.
func (c *apiCommand) Run(out output) error { return c.do(c, out) }

func (c *apiCommand) plan() (string, error) {
	if _, err := c.apiConfig(); err != nil {
		return "", err
	}
	return c.natsFlags.plan(fmt.Sprintf("api: %d requests at a time, each up to %s", c.APIConcurrency, c.APIMaxTimeout))
}

func (c *apiCommand) run(ctx context.Context, log *slog.Logger) error {
	registry := telemetry.NewRegistry()
	cfg, err := c.apiConfig()
	if err != nil {
		return err
	}
	if cfg.Metrics, err = api.NewMetrics(registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	return c.serve(ctx, "api", registry, log, func(ctx context.Context, m member) error {
		service, err := api.New(m.bus, m.bus, m.names, log, cfg)
		if err != nil {
			return err //nolint:wrapcheck // says what
		}
		m.ready.set(service.Healthy)
		return service.Run(ctx)
	})
}
