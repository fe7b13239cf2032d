package main

import (
	"context"
	"log/slog"
	"strings"

	"golang.org/x/sync/errgroup"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/auth"
)

// authCommand runs the stock auth service:
//
//	edges ──► NATS ──► auth
//	operators ──► 127.0.0.1:8303
type authCommand struct {
	natsFlags    `embed:"" set:"internal=127.0.0.1:8303"`
	policyFlags  `embed:""`
	processFlags `embed:""`
}

// Run implements the subcommand.
func (c *authCommand) Run(out output) error { return c.do(c, out) }

func (c *authCommand) plan() (string, error) {
	if _, err := c.config(); err != nil {
		return "", err
	}
	what := "auth: " + strings.Join(c.Policy, ", ")
	if c.HandshakePolicy != "" && c.HandshakePolicy != "allow" {
		what += ", handshakes " + c.HandshakePolicy
	}
	return c.natsFlags.plan(what)
}

func (c *authCommand) run(ctx context.Context, log *slog.Logger) error {
	registry := telemetry.NewRegistry()
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if cfg.Metrics, err = auth.NewMetrics(registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	var alive presence.Config
	if alive.Metrics, err = presence.NewMetrics(registry); err != nil {
		return err //nolint:wrapcheck // says what
	}
	return c.serve(ctx, "auth", registry, log, func(ctx context.Context, m member) error {
		service, err := auth.New(m.bus, m.names, log, cfg)
		if err != nil {
			return err //nolint:wrapcheck // says what
		}
		self := mesh.Address{Kind: mesh.KindAuth, Instance: mesh.NewInstanceID()}
		peers := presence.New(m.bus, m.names, self, func(*siomeshv1.Presence) {}, log, alive)
		m.ready.set(func() bool {
			select {
			case <-service.Ready():
				return peers.Healthy()
			default:
				return false
			}
		})
		g, ctx := errgroup.WithContext(ctx)
		g.Go(func() error { return service.Run(ctx) })
		g.Go(func() error { return peers.Run(ctx) })
		return g.Wait() //nolint:wrapcheck // each says where it comes from
	})
}
