// Command siomesh runs a Socket.IO mesh: all of it in one process, or one service of it.
//
//	siomesh up       edge, rooms, auth, api, an embedded NATS server and a demo application
//	siomesh edge     client connections
//	siomesh rooms    membership, order and fan-out
//	siomesh auth     who may connect
//	siomesh api      emit from anywhere, by NATS requests in JSON
//	siomesh version
//
// Each subcommand is a file that shows its wiring from flags to a group of actors; flags.go holds what they share.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
)

// cli is the command line. Every flag has an environment variable, SIOMESH_ and its name, and a key in the file --config
// names; a flag beats the environment, which beats the file.
type cli struct {
	Config kong.ConfigFlag `placeholder:"FILE" help:"Read settings from this YAML file: flag names without the dashes in front."`

	Up      upCommand      `cmd:"" help:"Run everything in one process: edge, rooms, auth, API, NATS and a demo application."`
	Edge    edgeCommand    `cmd:"" help:"Run an edge: it owns client connections."`
	Rooms   roomsCommand   `cmd:"" help:"Run rooms: membership, order and fan-out."`
	Auth    authCommand    `cmd:"" help:"Run the stock auth service: who may connect."`
	API     apiCommand     `cmd:"" name:"api" help:"Run the API: emit from anywhere, by NATS requests in JSON."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// command is what every subcommand that runs a service does: check its settings, then run until ctx ends.
type command interface {
	// plan checks the settings and says in a line what would run.
	plan() (string, error)
	run(ctx context.Context, log *slog.Logger) error
}

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute returns the exit status: 0 after a clean stop, 1 after an error, 2 if the command line was wrong.
func execute(args []string, stdout, stderr io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, append(helpOptions(),
		kong.Name("siomesh"),
		kong.Description("A Socket.IO v4 server as a mesh of services on NATS."),
		kong.DefaultEnvars("SIOMESH"),
		kong.Configuration(yamlSettings),
		kong.Writers(stdout, stderr),
		kong.Exit(func(status int) { exited = status }),
	)...)
	if err != nil {
		fmt.Fprintln(stderr, "siomesh:", err)
		return 1
	}
	selected, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if err != nil {
		fmt.Fprintln(stderr, "siomesh:", err)
		return 2
	}
	for _, name := range unknownVariables(parser.Model, os.Environ()) {
		fmt.Fprintf(stderr, "siomesh: warning: no setting is called %s\n", name)
	}
	if err := selected.Run(output{stdout: stdout, stderr: stderr}); err != nil {
		fmt.Fprintln(stderr, "siomesh:", err)
		return 1
	}
	return 0
}

// output is where a subcommand writes.
type output struct{ stdout, stderr io.Writer }
