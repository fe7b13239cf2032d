// Package relaytest has edges without Socket.IO, which echo every message: for tests of package relay, and for the official
// Engine.IO suites (e2e/echo).
package relaytest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

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

// Node is one such edge, an http.Handler for clients. It finds the others on its bus.
type Node struct {
	Engine  *engine.Server
	Metrics relay.Metrics
	Streams tunnel.Metrics

	self   mesh.Address
	peers  *presence.Peers
	links  *link.Endpoint
	relay  *relay.Relay
	tunnel *tunnel.Mux
	stay   bool
	opened func(*engine.Session)
	closed func(engine.Reason)
}

// Config is what a node may be told; the zero value works.
type Config struct {
	Engine engine.Config         // all but the hooks that make it a node
	Stay   bool                  // no session moves to the node that its WebSocket reaches
	Opened func(*engine.Session) // told of each session that opens here, or has moved here
	Closed func(engine.Reason)   // told of each that ends here
	Log    *slog.Logger          // nil logs nothing
}

// New returns a node on a bus.
func New(b bus.Bus, cfg Config) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	n := &Node{
		self: mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}, stay: cfg.Stay, opened: cfg.Opened, closed: cfg.Closed,
	}
	names := mesh.Subjects{}
	n.peers = presence.New(b, names, n.self, func(*siomeshv1.Presence) {}, cfg.Log, presence.Config{})
	n.peers.Watch(n.peerChanged)
	n.links = link.NewEndpoint(b, names, n.self, n, cfg.Log, link.Config{Healthy: n.peers.Fresh, NoResponders: n.peers.Suspect})
	n.relay = relay.New(relay.Config{Owner: n.ownerOf, BodyTimeout: cfg.Engine.BodyTimeout, Metrics: &n.Metrics, Log: cfg.Log})
	n.tunnel = tunnel.New(n.links, n.relay.Accept, tunnel.Config{Metrics: &n.Streams})
	e := cfg.Engine
	e.GenerateID, e.Foreign = n.generateID, n.relay.Foreign
	e.Adopt = func(s *engine.Session, _ []byte) (engine.Handler, error) { return n.handler(s), nil }
	var err error
	n.Engine, err = engine.New(func(s *engine.Session, _ *http.Request) (engine.Handler, error) { return n.handler(s), nil }, e)
	if err != nil {
		return nil, fmt.Errorf("make engine: %w", err)
	}
	n.relay.Bind(n.Engine, n.tunnel)
	return n, nil
}

// ServeHTTP implements http.Handler.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) { n.Engine.ServeHTTP(w, r) }

// Ready is closed once the node hears the others.
func (n *Node) Ready() <-chan struct{} { return n.peers.Heard() }

// Others returns how many other nodes it knows.
func (n *Node) Others() int { return len(n.peers.Live(mesh.KindEdge)) }

// Run takes part until ctx ends, then closes the sessions and leaves.
func (n *Node) Run(ctx context.Context) error {
	parts, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	var g errgroup.Group
	g.Go(func() error { return n.links.Run(parts) })
	g.Go(func() error { return n.peers.Run(parts) })
	<-ctx.Done()
	stop, cancel := context.WithTimeout(parts, 5*time.Second)
	defer cancel()
	n.relay.Leave()
	err := n.Engine.Close(stop)
	n.relay.Wait()
	n.tunnel.Close()
	leave()
	return errors.Join(err, g.Wait())
}

// Record implements link.Handler.
func (n *Node) Record(from mesh.Address, r *wire.Record) error {
	return n.tunnel.Record(from, r) //nolint:wrapcheck // says it all
}

// EndFrame implements link.Handler.
func (n *Node) EndFrame() { n.tunnel.EndFrame() }

// Opened implements link.Handler.
func (n *Node) Opened(from mesh.Address) { n.tunnel.Opened(from) }

func (n *Node) peerChanged(change presence.Change, p presence.Peer) {
	switch change {
	case presence.Up:
		n.tunnel.Up(p.Address)
	case presence.Died:
		n.tunnel.Drop(p.Instance)
		n.links.Drop(p.Instance)
	default:
	}
}

func (n *Node) generateID(*http.Request) (engine.SessionID, error) {
	return engine.SessionID(n.self.Instance.String() + mesh.NewInstanceID().String() + mesh.NewInstanceID().String()), nil
}

func (n *Node) ownerOf(sid engine.SessionID) (mesh.Address, bool) {
	id, err := mesh.ParseInstanceID(string(sid[:min(len(sid), mesh.InstanceIDLen)]))
	if err != nil || id == n.self.Instance {
		return mesh.Address{}, false
	}
	p, ok := n.peers.Peer(id)
	return p.Address, ok
}

func (n *Node) handler(s *engine.Session) engine.Handler {
	if n.opened != nil {
		n.opened(s)
	}
	if n.stay {
		return &echo{n, s}
	}
	return &movingEcho{echo{n, s}}
}

// echo sends every message back.
type echo struct {
	n *Node
	s *engine.Session
}

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
func (e *echo) Closed(reason engine.Reason, _ error) {
	if e.n.closed != nil {
		e.n.closed(reason)
	}
}

// movingEcho is an echo whose session may move.
type movingEcho struct{ echo }

// Move implements engine.Mover.
func (e *movingEcho) Move() ([]byte, bool) { return nil, true }
