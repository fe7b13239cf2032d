// Package edge is the service that owns client connections: it turns what clients send into records for app instances, and
// the records that rooms sends into packets for clients. It decides nothing about namespaces, rooms or users: auth says who
// may join, an app instance accepts, rooms orders. Start at service.go; conn.go and flow.go are the way in, ring.go and
// deliver.go the way out, connect.go is how a client joins a namespace, losses.go what happens when the other end is lost.
package edge

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/tunnel"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge/relay"
)

// Service is one edge instance: an http.Handler for clients, and an instance in the mesh. Make it with New and run it once.
type Service struct {
	bus   bus.Bus
	names mesh.Subjects
	self  mesh.Address
	log   *slog.Logger
	cfg   Config

	engine    *engine.Server
	parser    parser
	files     http.Handler // the browser client's files; nil if none are served
	links     *link.Endpoint
	peers     *presence.Peers
	apps      *directory
	table     table
	index     index
	tunnel    *tunnel.Mux // streams to other edges
	tasks     tasks
	relay     *relay.Relay
	guests    guests
	asks      asks
	strangers strangers
	alarms    *alarms

	buffers  sync.Pool     // of *[]byte: bodies under way to an app
	renew    chan struct{} // one token: it is time to register
	running  atomic.Bool   // Run has subscribed: clients are taken
	others   atomic.Int32  // edges alive but this one
	stopping atomic.Bool   // the edge closes its connections because it ends

	handshakes chan struct{}      // one token for each handshake that waits for auth
	ending     context.Context    //nolint:containedctx // ends what requests wait for when the edge stops
	endWaiting context.CancelFunc // of ending

	silentConnects, silentHandshakes silence // of auth

	mu       sync.Mutex
	rooms    *mesh.Address // guarded by mu: the rooms instance that owns the partitions
	epoch    uint64        // guarded by mu: of its ownership
	lease    uint64        // guarded by mu: number of the latest registration asked for
	isKnown  bool          // guarded by mu: rooms has confirmed that registration
	becoming chan struct{} // guarded by mu: closed and replaced when isKnown changes

	// Owned by the reader goroutine of links.
	batch       link.Batch
	unflushed   []*conn
	last        last
	recipients  []*socket         // scratch of operations on many
	attachments [][]byte          // scratch of packets
	messages    []*engine.Message // scratch of outgoing
	opened      map[mesh.InstanceID]bool
}

// New returns an edge that will talk over b. It fails if the configuration makes no sense.
func New(b bus.Bus, names mesh.Subjects, log *slog.Logger, cfg Config) (*Service, error) {
	s := &Service{
		bus: b, names: names, log: log, cfg: cfg.withDefaults(),
		self:     mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()},
		alarms:   newAlarms(),
		becoming: make(chan struct{}),
		renew:    make(chan struct{}, 1),
		opened:   map[mesh.InstanceID]bool{},
	}
	s.silentConnects.telling.Interval, s.silentHandshakes.telling.Interval = silenceInterval, silenceInterval
	s.ending, s.endWaiting = context.WithCancel(context.Background())
	if err := s.cfg.validate(); err != nil {
		return nil, err
	}
	s.handshakes = make(chan struct{}, s.cfg.MaxHandshakes)
	s.table.edge = s.self.Instance
	s.index.namespaces = map[string]*members{}
	s.relay = relay.New(relay.Config{
		Owner: s.ownerOf, Patience: s.cfg.pollTime(), BodyTimeout: s.cfg.BodyTimeout, Metrics: &s.cfg.Metrics.Relay, Log: log,
	})
	var err error
	if s.parser, err = s.cfg.parser(); err != nil {
		return nil, err
	}
	if s.engine, err = engine.New(s.open, s.engineConfig()); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if s.cfg.ClientDir != "" {
		s.files = newClientFiles(s.cfg.ClientDir, s.cfg.CORS.options(), log)
	}
	s.peers = presence.New(b, names, s.self, s.describe, log, s.cfg.Presence)
	s.peers.Watch(s.peerChanged)
	linkConfig := s.cfg.Link
	if linkConfig.WindowBytes == 0 && linkConfig.WindowRecords == 0 {
		linkConfig.WindowBytes, linkConfig.WindowRecords = windowBytes, windowRecords
	}
	linkConfig.Healthy = s.peers.Fresh
	linkConfig.NoResponders = s.peers.Suspect
	s.links = link.NewEndpoint(b, names, s.self, s, log, linkConfig)
	s.tunnel = tunnel.New(s.links, s.relay.Accept, tunnel.Config{Metrics: &s.cfg.Metrics.Tunnel})
	s.relay.Bind(s.engine, s.tunnel)
	s.apps = newDirectory(s.links, s.appBroke)
	return s, nil
}

// The window towards an app instance: wide enough that a mass disconnect, one record for each socket, passes.
const (
	windowBytes   = 16 << 20
	windowRecords = 64 << 10
)

// ClientsCount returns the number of open sessions.
func (s *Service) ClientsCount() int { return s.engine.ClientsCount() }

// Self returns the address of this instance.
func (s *Service) Self() mesh.Address { return s.self }

// Healthy reports whether the edge can serve clients now: it heard who is there, rooms knows it, and it hears itself.
func (s *Service) Healthy() bool {
	select {
	case <-s.peers.Heard():
	default:
		return false
	}
	_, ok := s.registered()
	return ok && s.peers.Healthy() && !s.stopping.Load()
}

// Run takes part in the mesh until ctx ends; then it closes the connections, so that every app learns of it, and returns nil.
func (s *Service) Run(ctx context.Context) error {
	g, parts := errgroup.WithContext(context.WithoutCancel(ctx)) // they outlive the clients
	parts, leave := context.WithCancel(parts)
	defer leave()
	g.Go(func() error { return s.links.Run(parts) })
	g.Go(func() error { return s.peers.Run(parts) })
	g.Go(func() error { return s.evictGuests(parts) })
	g.Go(func() error { return s.alarms.run(parts) })
	g.Go(func() error { return s.keepRegistered(parts) })
	g.Go(func() error { return s.answerQueries(parts) })
	g.Go(func() error {
		select {
		case <-s.links.Ready():
			s.running.Store(true)
			s.log.Info("edge serving", slog.String("edge", s.self.Instance.String()))
		case <-parts.Done():
		}
		return nil
	})
	select {
	case <-ctx.Done():
	case <-parts.Done(): // a part failed
	}
	s.stop(context.WithoutCancel(ctx))
	leave()
	return g.Wait()
}

// stopWait bounds the time that a stopping edge takes to close its connections and tell the apps.
const stopWait = 5 * time.Second

// stop closes every connection and waits until the apps and rooms have heard of it. Half of its time the apps have to take
// what clients sent before.
func (s *Service) stop(ctx context.Context) {
	s.stopping.Store(true)
	s.endWaiting()
	s.relay.Leave()
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	if err := s.engine.Close(ctx); err != nil {
		s.log.Warn("connections not closed in time", slog.Any("err", err))
	}
	s.relay.Wait() // requests of sessions that are closed
	s.tunnel.Close()
	s.tasks.wait()
	s.settle(stopWait / 2)
	if err := s.links.Drain(ctx); err != nil {
		s.log.Warn("disconnects not delivered in time", slog.Any("err", err))
	}
}

// settle waits until no socket owes its app anything, and lets the others go at the end.
func (s *Service) settle(patience time.Duration) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		sockets := s.table.all()
		if len(sockets) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-end.C:
			for _, sk := range sockets {
				s.give(sk)
			}
			return
		}
	}
}

// ServeHTTP implements http.Handler: the Engine.IO endpoint and, beside it, the browser client's files.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !s.running.Load() || s.stopping.Load():
		http.Error(w, "not running", http.StatusServiceUnavailable)
	case s.files != nil && isClientFile(s.cfg.Path, r.URL.Path):
		s.files.ServeHTTP(w, r)
	default:
		s.cfg.Metrics.request()
		s.engine.ServeHTTP(w, s.admitting(r))
	}
}

// open makes the connection of a new session; engine.Accept.
func (s *Service) open(session *engine.Session, r *http.Request) (engine.Handler, error) {
	handshake, err := proto.Marshal(s.handshake(r))
	if err != nil {
		return nil, fmt.Errorf("encode handshake: %w", err)
	}
	c := s.newConn(session, handshake)
	c.lobby.open = c.holds()
	if err := s.welcome(c); err != nil {
		return nil, err
	}
	if f := s.cfg.OnSession; f != nil {
		f(session, r)
	}
	s.cfg.Metrics.connOpened()
	if c.isV2() {
		c.enter()
	}
	return c, nil
}

// newConn makes the connection of a session.
func (s *Service) newConn(session *engine.Session, handshake []byte) *conn {
	return &conn{s: s, session: session, handshake: handshake, decoder: s.parser.decoder()}
}

// ownerOf returns the edge that a session id names, if it is alive and not this one. What a client writes is only compared.
func (s *Service) ownerOf(sid engine.SessionID) (mesh.Address, bool) {
	if len(sid) <= mesh.InstanceIDLen {
		return mesh.Address{}, false
	}
	id, err := mesh.ParseInstanceID(string(sid[:mesh.InstanceIDLen]))
	if err != nil || id == s.self.Instance {
		return mesh.Address{}, false
	}
	p, ok := s.peers.Peer(id)
	return p.Address, ok && p.Kind == mesh.KindEdge
}

// describe fills in what this instance announces.
func (s *Service) describe(p *siomeshv1.Presence) {
	p.Load = uint64(s.engine.ClientsCount()) //nolint:gosec // a count is not negative
	p.Draining = s.stopping.Load()
}

// peerChanged follows who is there. It runs on presence's goroutine.
func (s *Service) peerChanged(change presence.Change, p presence.Peer) {
	switch {
	case p.Kind == mesh.KindApp && change != presence.Died:
		drains := s.apps.update(p)
		s.introduce(p.Instance)
		if drains != nil {
			s.detachAll(drains)
		}
	case p.Kind == mesh.KindApp:
		s.appDied(p.Instance)
	case p.Kind == mesh.KindRooms && change != presence.Died:
		s.roomsFound(p)
	case p.Kind == mesh.KindRooms:
		s.roomsDied(p)
	}
	if p.Kind == mesh.KindEdge {
		if change == presence.Up {
			s.tunnel.Up(p.Address)
		}
		s.others.Store(int32(len(s.peers.Live(mesh.KindEdge)))) //nolint:gosec // few
	}
	if change == presence.Died {
		s.tunnel.Drop(p.Instance)
		s.links.Drop(p.Instance)
	}
}
