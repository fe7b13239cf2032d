// Command app is the application under the end-to-end scenarios (../scenarios): namespaces and handlers that let a client
// see everything the SDK does. It runs in both shapes, like every example.
package main

import (
	"net/http"

	"github.com/siomesh/siomesh/examples/serve"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

type cli struct {
	serve.Flags

	Instance   string   `placeholder:"NAME" default:"only" help:"What this instance calls itself when a client asks."`
	AllowEIO3  bool     `name:"allow-eio3" env:"SIOMESH_ALLOW_EIO3" help:"With --listen: take clients of Socket.IO 2.x too."`
	Transports []string `placeholder:"NAME" help:"With --listen: transports to offer; default all."`
	Cookie     string   `placeholder:"NAME" help:"With --listen: cookie that gets the session id; none if empty."`
}

func (c *cli) tune(cfg *siomesh.Config) {
	cfg.AllowEIO3 = c.AllowEIO3
	cfg.Transports = c.Transports
	if c.Cookie != "" {
		cfg.Cookie = &http.Cookie{Name: c.Cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}
}

func main() {
	var c cli
	serve.Main(&c, &c.Flags, serve.Program{
		Name:        "app",
		Description: "The application under the end-to-end scenarios.",
		Register:    func(io *socketio.Server) error { return register(io, c.Instance) },
		Tune:        c.tune,
	})
}
