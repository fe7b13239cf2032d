// Command chat is the demo: a chat with rooms, private messages and a page for it.
//
//	chat --listen :3000                        everything in this process: open http://localhost:3000
//	chat --nats nats://127.0.0.1:4222          the application only; edges, rooms and auth run elsewhere
package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/siomesh/siomesh/examples/chat/demo"
	"github.com/siomesh/siomesh/examples/serve"
)

type cli struct {
	serve.Flags

	PageListen string `placeholder:"ADDR" help:"With --nats: serve the page here, too."`
	EdgeURL    string `name:"edge-url" placeholder:"URL" help:"Where the page finds the edge; its own address if empty."`
	EdgePath   string `default:"/socket.io" placeholder:"PATH" help:"Path of the endpoint there."`
}

func main() {
	var c cli
	k := serve.Parse(&c, "chat", "A chat with rooms, private messages and a page for it.")
	page, err := demo.PageFor(c.EdgeURL, c.EdgePath)
	k.FatalIfErrorf(err)
	p := serve.Program{Name: "chat", Register: demo.Register, Pages: page}
	if c.PageListen != "" {
		p.Beside = func(ctx context.Context, log *slog.Logger) error {
			var lc net.ListenConfig
			ln, err := lc.Listen(ctx, "tcp", c.PageListen)
			if err != nil {
				return err
			}
			return serve.Pages(ctx, ln, page, log)
		}
	}
	k.FatalIfErrorf(p.RunUntilSignal(&c.Flags))
}
