// Command echo is one edge without Socket.IO: the Engine.IO echo that the official Engine.IO suites ask for, which finds the
// others on NATS and serves their sessions' requests as the edge service does. Several of them behind a balancer that knows
// nothing of sessions are what docs/conformance.md runs those suites against.
package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/cors"
	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge/relay/relaytest"
)

type cli struct {
	Listen    string `required:"" placeholder:"ADDR" help:"Serve clients here."`
	NATS      string `name:"nats" required:"" placeholder:"URL" help:"Find the others here."`
	AllowEIO3 bool   `name:"allow-eio3" help:"Take clients of protocol 3 too."`
	Stay      bool   `help:"Let no session move to the node that its WebSocket reaches."`
}

func main() {
	var c cli
	k := kong.Parse(&c)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.FatalIfErrorf(c.run(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil))))
}

func (c *cli) run(ctx context.Context, log *slog.Logger) error {
	b, err := bus.Dial(ctx, c.NATS, bus.NATSOptions{Name: "echo", Log: log})
	if err != nil {
		return err
	}
	defer b.Close()
	node, err := relaytest.New(b, relaytest.Config{Stay: c.Stay, Log: log, Engine: engine.Config{
		PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, AllowEIO3: c.AllowEIO3,
		CORS: &cors.Options{AllowedOrigins: []string{"*"}},
	}})
	if err != nil {
		return err
	}
	hs := &http.Server{Addr: c.Listen, Handler: node, ReadHeaderTimeout: 10 * time.Second}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return node.Run(ctx) })
	g.Go(func() error {
		if err := hs.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return hs.Shutdown(stop)
	})
	return g.Wait()
}
