// Package serve runs an application in either of the two shapes a mesh has: with --listen the whole mesh is in the
// application's process, with --nats the application joins the services that run elsewhere. The application itself is the
// same, which is the point of it: an example's main says what its handlers are and nothing else. Start reading at Main.
package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
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

// Run runs the program until ctx ends. It returns nil after a clean stop.
func (p Program) Run(ctx context.Context, f *Flags) error {
	log := f.Logger(os.Stderr)
	switch {
	case f.Check && f.Listen != "":
		fmt.Printf("app %s with a whole mesh in this process, clients on %s, NATS on %s\n", f.app(p.Name), f.Listen, f.Mesh.NATSListen)
		return nil
	case f.Check:
		fmt.Printf("app %s on the mesh at %s\n", f.app(p.Name), f.NATS)
		return nil
	case f.Listen != "":
		return p.embed(ctx, f, log)
	default:
		return p.join(ctx, f, log)
	}
}
