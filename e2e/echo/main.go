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

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/tunnel"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge/relay"
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

// node is the handler of the links between nodes.
type node struct {
	self   mesh.Address
	peers  *presence.Peers
	links  *link.Endpoint
	engine *engine.Server
	relay  *relay.Relay
	tunnel *tunnel.Mux
}

// Record implements link.Handler.
func (n *node) Record(from mesh.Address, r *wire.Record) error { return n.tunnel.Record(from, r) }

// EndFrame implements link.Handler.
func (n *node) EndFrame() { n.tunnel.EndFrame() }

// Opened implements link.Handler.
func (n *node) Opened(from mesh.Address) { n.tunnel.Opened(from) }

func (c *cli) run(ctx context.Context, log *slog.Logger) error {
	b, err := bus.Dial(ctx, c.NATS, bus.NATSOptions{Name: "echo", Log: log})
	if err != nil {
		return err
	}
	defer b.Close()
	n := &node{self: mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}}
	names := mesh.Subjects{}
	n.peers = presence.New(b, names, n.self, func(*siomeshv1.Presence) {}, log, presence.Config{})
	n.peers.Watch(func(change presence.Change, p presence.Peer) {
		if change == presence.Died {
			n.tunnel.Drop(p.Instance)
			n.links.Drop(p.Instance)
		}
	})
	n.links = link.NewEndpoint(b, names, n.self, n, log, link.Config{Healthy: n.peers.Fresh, NoResponders: n.peers.Suspect})
	n.relay = relay.New(relay.Config{Owner: n.ownerOf, Log: log})
	n.tunnel = tunnel.New(n.links, n.relay.Accept, tunnel.Config{})
	if n.engine, err = engine.New(
		func(s *engine.Session, _ *http.Request) (engine.Handler, error) { return c.handler(s), nil },
		engine.Config{
			PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, AllowEIO3: c.AllowEIO3,
			CORS:       &cors.Options{AllowedOrigins: []string{"*"}},
			GenerateID: n.generateID, Foreign: n.relay.Foreign,
			Adopt: func(s *engine.Session, _ []byte) (engine.Handler, error) { return c.handler(s), nil },
		}); err != nil {
		return err
	}
	n.relay.Bind(n.engine, n.tunnel)
	return n.serve(ctx, c.Listen)
}

// serve takes part until ctx ends.
func (n *node) serve(ctx context.Context, addr string) error {
	parts, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	hs := &http.Server{Addr: addr, Handler: n.engine, ReadHeaderTimeout: 10 * time.Second}
	var g errgroup.Group
	g.Go(func() error { return n.links.Run(parts) })
	g.Go(func() error { return n.peers.Run(parts) })
	g.Go(func() error {
		<-n.links.Ready()
		if err := hs.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	<-ctx.Done()
	stop, cancel := context.WithTimeout(parts, 5*time.Second)
	defer cancel()
	err := n.engine.Close(stop)
	n.relay.Wait()
	n.tunnel.Close()
	err = errors.Join(err, hs.Shutdown(stop))
	leave()
	return errors.Join(err, g.Wait())
}

func (n *node) generateID(*http.Request) (engine.SessionID, error) {
	return engine.SessionID(n.self.Instance.String() + mesh.NewInstanceID().String() + mesh.NewInstanceID().String()), nil
}

func (n *node) ownerOf(sid engine.SessionID) (mesh.Address, bool) {
	id, err := mesh.ParseInstanceID(string(sid[:min(len(sid), mesh.InstanceIDLen)]))
	if err != nil || id == n.self.Instance {
		return mesh.Address{}, false
	}
	p, ok := n.peers.Peer(id)
	return p.Address, ok
}

func (c *cli) handler(s *engine.Session) engine.Handler {
	if c.Stay {
		return &echo{s}
	}
	return &movingEcho{echo{s}}
}

// echo sends every message back.
type echo struct{ s *engine.Session }

// Message implements engine.Handler.
func (e *echo) Message(data []byte, binary bool) {
	data = append([]byte(nil), data...)
	m := engine.NewText(data)
	if binary {
		m = engine.NewBinary(data)
	}
	_ = e.s.Queue(m) // a session that is closed wants no echo
}

// EndBatch implements engine.Handler.
func (e *echo) EndBatch() { e.s.Flush() }

// Closed implements engine.Handler.
func (e *echo) Closed(engine.Reason, error) {}

// movingEcho is an echo whose session may move.
type movingEcho struct{ echo }

// Move implements engine.Mover.
func (e *movingEcho) Move() ([]byte, bool) { return nil, true }
