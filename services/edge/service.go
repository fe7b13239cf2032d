// Package edge is the service that owns client connections: it turns what clients send into records for app instances, and
// the records that rooms sends into packets for clients. It decides nothing about namespaces, rooms or users: auth says who
// may join, an app instance accepts, rooms orders. Start at service.go; conn.go is the way in, ring.go the way out,
// connect.go how a client joins a namespace.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// Service is one edge instance: an http.Handler for clients, and an instance in the mesh. Make it with New and run it once.
type Service struct {
	bus   bus.Bus
	names mesh.Subjects
	self  mesh.Address
	log   *slog.Logger
	cfg   Config

	engine *engine.Server
	files  http.Handler // the browser client's files; nil if none are served
	links  *link.Endpoint
	peers  *presence.Peers
	apps   *directory
	table  table
	index  index
	tasks  tasks
	guests guests

	buffers  sync.Pool   // of *[]byte: bodies under way to an app
	running  atomic.Bool // Run has subscribed: clients are taken
	stopping atomic.Bool // the edge closes its connections because it ends

	mu       sync.Mutex
	rooms    *mesh.Address // guarded by mu: the rooms instance that owns the partitions
	lease    uint64        // guarded by mu: number of the latest registration asked for
	isKnown  bool          // guarded by mu: rooms has confirmed that registration
	becoming chan struct{} // guarded by mu: closed and replaced when isKnown changes

	// Owned by the reader goroutine of links.
	batch       link.Batch
	unflushed   []*conn
	recipients  []*socket // scratch of broadcast
	attachments [][]byte  // scratch of packets
	opened      map[mesh.InstanceID]bool
}

// New returns an edge that will talk over b. It fails if the configuration makes no sense.
func New(b bus.Bus, names mesh.Subjects, log *slog.Logger, cfg Config) (*Service, error) {
	s := &Service{
		bus: b, names: names, log: log, cfg: cfg.withDefaults(),
		self:     mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()},
		apps:     newDirectory(),
		becoming: make(chan struct{}),
		opened:   map[mesh.InstanceID]bool{},
	}
	if err := s.cfg.validate(); err != nil {
		return nil, err
	}
	s.table.edge = s.self.Instance
	s.index.namespaces = map[string]*members{}
	var err error
	if s.engine, err = engine.New(s.open, s.engineConfig()); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if s.cfg.ClientDir != "" {
		s.files = clientFiles(s.cfg.Path, s.cfg.ClientDir, s.engineConfig().CORS, log)
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
	return s, nil
}

// The window towards an app instance: wide enough that a mass disconnect, one record for each socket, passes.
const (
	windowBytes   = 16 << 20
	windowRecords = 64 << 10
)

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
	mesh, leave := context.WithCancel(context.WithoutCancel(ctx)) // outlives the clients
	defer leave()
	g, mesh := errgroup.WithContext(mesh)
	g.Go(func() error { return s.links.Run(mesh) })
	g.Go(func() error { return s.peers.Run(mesh) })
	g.Go(func() error { return s.evictGuests(mesh) })
	g.Go(func() error {
		select {
		case <-s.links.Ready():
			s.running.Store(true)
			s.log.Info("edge serving", slog.String("edge", s.self.Instance.String()))
		case <-mesh.Done():
		}
		return nil
	})
	select {
	case <-ctx.Done():
	case <-mesh.Done(): // a part failed
	}
	s.stop()
	leave()
	return g.Wait()
}

// stopWait bounds the time that a stopping edge takes to close its connections and tell the apps.
const stopWait = 5 * time.Second

// stop closes every connection and waits until the apps and rooms have heard of it.
func (s *Service) stop() {
	s.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := s.engine.Close(ctx); err != nil {
		s.log.Warn("connections not closed in time", slog.Any("err", err))
	}
	s.tasks.wait()
	if err := s.links.Drain(ctx); err != nil {
		s.log.Warn("disconnects not delivered in time", slog.Any("err", err))
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
		s.engine.ServeHTTP(w, r)
	}
}

// open makes the connection of a new session; engine.Accept.
func (s *Service) open(session *engine.Session, r *http.Request) (engine.Handler, error) {
	c := &conn{s: s, session: session, handshake: s.handshake(r), decoder: protocol.NewDecoder(s.cfg.Parser)}
	s.guests.add(c, time.Now().Add(s.cfg.ConnectTimeout))
	s.cfg.Metrics.connOpened()
	return c, nil
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
		s.apps.update(p, s.links)
	case p.Kind == mesh.KindApp:
		s.appDied(p.Instance)
	case p.Kind == mesh.KindRooms && change == presence.Died:
		s.roomsDied(p.Address)
	case p.Kind == mesh.KindRooms && len(p.Info.GetPartitions()) > 0:
		s.roomsFound(p.Address)
	}
	if change == presence.Died {
		s.links.Drop(p.Instance)
	}
}

// appDied takes the sockets of a dead instance away from it. A client that was still joining goes to another instance. One
// that had joined is disconnected and comes back: what it sent and the instance had not handled would otherwise be lost
// without a sign.
func (s *Service) appDied(id mesh.InstanceID) {
	app := s.apps.remove(id)
	if app == nil {
		return
	}
	for _, sk := range s.table.all() {
		c := sk.conn
		c.mu.Lock()
		owned, before := sk.app == app, sk.state
		if owned && before == asked {
			sk.state, sk.app = joining, nil
		}
		c.mu.Unlock()
		switch {
		case !owned:
		case before == asked:
			s.rejoin(sk)
		case before == joined:
			c.session.Discard(engine.TransportClose)
		case before == ending:
			s.table.remove(sk)
		}
	}
}

// rejoin starts the join of a socket again.
func (s *Service) rejoin(sk *socket) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AppWait)
	sk.conn.mu.Lock()
	sk.cancel()
	sk.cancel = cancel
	sk.conn.mu.Unlock()
	if !s.tasks.start(func() { defer cancel(); s.join(ctx, sk) }) {
		cancel()
	}
}

// errRoomsLost is why connections are closed when rooms may have missed something of theirs, or they of rooms.
var errRoomsLost = errors.New("rooms lost")

// closeAll closes every connection as if the network had failed, so that the clients come back and state is built afresh.
func (s *Service) closeAll(cause error) {
	sockets := s.table.all()
	if len(sockets) > 0 {
		s.log.Warn("closing all connections", slog.Any("err", cause), slog.Int("sockets", len(sockets)))
	}
	for _, sk := range sockets {
		sk.conn.mu.Lock()
		entered := sk.conn.entered
		sk.conn.mu.Unlock()
		if entered { // others are just waiting for rooms to come back
			sk.conn.session.Discard(engine.TransportClose)
		}
	}
}
