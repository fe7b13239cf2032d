// Command conformance is the server that the official protocol suites of Socket.IO run against: the Socket.IO v5 suite as
// it is, the Engine.IO v4 suite with --engine, the Engine.IO v3 suite with --engine --allow-eio3. docs/conformance.md has the commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/siomesh/siomesh/examples/serve"
)

type cli struct {
	serve.Flags

	Engine    bool `help:"Serve the Engine.IO echo that its own suites ask for; needs --listen."`
	AllowEIO3 bool `name:"allow-eio3" env:"SIOMESH_ALLOW_EIO3" help:"Take clients of Engine.IO protocol 3 too, as its suite asks for; the others want it off."`
}

func main() {
	var c cli
	k := serve.Parse(&c, "conformance", "The server under the official protocol suites.")
	k.FatalIfErrorf(c.run())
}

func (c *cli) run() error {
	switch {
	case c.AllowEIO3 && c.Listen == "":
		return errors.New("--allow-eio3 is for a server with clients of its own: it needs --listen")
	case !c.Engine:
		return program(c.AllowEIO3).RunUntilSignal(&c.Flags)
	case c.Listen == "":
		return errors.New("--engine serves clients itself: it needs --listen")
	case c.Check:
		fmt.Printf("conformance: Engine.IO echo, clients on %s\n", c.Listen)
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return err
	}
	return serveEngine(ctx, ln, c.AllowEIO3, c.Logger(os.Stderr))
}
