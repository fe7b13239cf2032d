// Package serve runs an application in either of the two shapes a mesh has: with --listen the whole mesh is in the
// application's process, with --nats the application joins the services that run elsewhere. The application itself is the
// same, which is the point of it: an example's main says what its handlers are and nothing else. Start reading at Main.
package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// Program is an application, and what its process does besides.
type Program struct {
	Name        string                          // of the program and, unless --app says otherwise, of the application
	Description string                          // for --help
	Register    func(io *socketio.Server) error // adds namespaces and handlers, before anything runs
	Tune        func(*siomesh.Config)           // changes the configuration of a mesh in this process; nil: as the flags say

	// With --listen: what is served outside the Socket.IO path; 404 if nil.
	Pages http.Handler
	// With --nats: runs beside the application until ctx ends; may be nil.
	Beside func(ctx context.Context, log *slog.Logger) error
}

// Main parses the command line into cli, which is flags or embeds it, runs the program until SIGINT or SIGTERM, and exits:
// with status 0 after a clean stop, 1 after an error, 80 if the command line was wrong.
func Main(cli any, flags *Flags, p Program) {
	k := Parse(cli, p.Name, p.Description)
	k.FatalIfErrorf(p.RunUntilSignal(flags))
}

// Parse parses the command line into cli, for programs that look at it before they run. It exits if it is wrong. Every flag
// has an environment variable: SIOMESH_ and its name.
func Parse(cli any, name, description string) *kong.Context {
	return kong.Parse(cli, kong.Name(name), kong.Description(description), kong.DefaultEnvars("SIOMESH"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
}

// RunUntilSignal runs the program until SIGINT or SIGTERM; a second signal ends the process at once.
func (p Program) RunUntilSignal(f *Flags) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer context.AfterFunc(ctx, stop)()
	return p.Run(ctx, f)
}

// Run runs the program until ctx ends. It returns nil after a clean stop, and after --check if the flags are right.
func (p Program) Run(ctx context.Context, f *Flags) error {
	log := f.Logger(os.Stderr)
	switch {
	case f.Check:
		plan, err := p.Plan(ctx, f)
		if err == nil {
			fmt.Println(plan)
		}
		return err
	case f.Listen != "":
		return p.embed(ctx, f, log)
	default:
		return p.join(ctx, f, log)
	}
}

// Plan checks the flags, without opening or reaching anything, and says in a line what would run.
func (p Program) Plan(ctx context.Context, f *Flags) (string, error) {
	if f.Listen == "" {
		u, err := url.Parse(f.NATS)
		if err != nil || u.Host == "" {
			return "", fmt.Errorf("--nats %q: want nats://host:port", f.NATS)
		}
		return fmt.Sprintf("%s: application %s on %s", p.Name, f.app(p.Name), f.NATS), nil
	}
	if _, _, err := net.SplitHostPort(f.Listen); err != nil {
		return "", fmt.Errorf("--listen: %w", err)
	}
	cfg := p.config(f, slog.New(slog.DiscardHandler))
	cfg.NATSListen = "none"
	m, err := siomesh.New(cfg)
	if err != nil {
		return "", fmt.Errorf("configure the mesh: %w", err)
	}
	plan := fmt.Sprintf("%s: application %s and the whole mesh, clients on %s, NATS on %s", p.Name, f.app(p.Name), f.Listen, f.Mesh.NATSListen)
	return plan, m.Close(ctx)
}

// config is the configuration of a mesh in this process.
func (p Program) config(f *Flags, log *slog.Logger) siomesh.Config {
	cfg := f.config(p.Name, log)
	if p.Tune != nil {
		p.Tune(&cfg)
	}
	return cfg
}
