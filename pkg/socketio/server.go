package socketio

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// phase is where a Server is in its life.
type phase int32

const (
	connected phase = iota // sends and queries
	running                // and serves the sockets that edges assign to it
	draining               // finishes what runs
	closed
)

// Server is one instance of an application in the mesh: what Socket.IO calls io. It has the sockets that edges assign to
// it, and reaches all others. Its methods without a namespace mean "/". Safe for concurrent use.
type Server struct {
	cfg      Config
	subjects mesh.Subjects
	self     mesh.Address
	bus      bus.Bus
	hangUp   func() // closes the bus if it is ours
	endpoint *link.Endpoint
	peers    *presence.Peers
	out      *outbox
	keeper   *keeper
	reports  *reports
	encoder  *encoder
	links    link.Metrics // what the links do
	sockets  sockets
	workers  *workers
	requests atomic.Uint64 // acknowledgements asked for so far
	asks     asks
	polls    polls
	events   series[*ServerEvent]
	changed  series[roomChanges]
	watching sync.Mutex // held while the listeners of rooms and the watch change together; taken before mu

	state   atomic.Int32   // phase, written under mu
	mesh    sync.WaitGroup // the goroutines that read the mesh
	leave   context.CancelFunc
	tell    sync.WaitGroup // the goroutine of reports
	hush    context.CancelFunc
	deaf    chan error    // why reading the mesh has failed, at most two
	closing chan struct{} // closed by Close
	done    chan struct{} // closed when everything has ended
	failure error         // why draining has failed; set before done is closed

	mu         sync.Mutex
	phase      phase                 // guarded by mu
	closes     bool                  // guarded by mu; closing is closed
	namespaces map[string]*Namespace // guarded by mu
	announced  map[string]*Namespace // guarded by mu; what Run serves
	parents    []*ParentNamespace    // guarded by mu; fixed by Run
	newcomers  []func(*Namespace)    // guarded by mu; never changed in place
	handlers   context.Context       //nolint:containedctx // of all handlers, as net/http keeps its base context; fixed by Run
	giveUp     context.CancelFunc    // ends handlers
	handing    context.Context       //nolint:containedctx // of what hands sockets over; fixed by Run
	keepRest   context.CancelFunc    // ends handing
}

// Connect joins the mesh at a NATS URL, or a comma-separated list of them. The Server sends and queries at once; Run makes
// it serve. Ctx bounds the dialing and is not kept; if no server is reached in time that is the error, as is a Config that
// makes no sense. A connection that is lost later comes back by itself: what was under way is sent again then, in order and
// once, and meanwhile calls wait as Config.EmitTimeout says. Close must be called in the end, unless Run was.
func Connect(ctx context.Context, url string, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	subjects, err := mesh.NewSubjects(cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	self := mesh.Address{Kind: mesh.KindApp, App: cfg.App, Instance: mesh.NewInstanceID()}
	b, hangUp, err := dial(ctx, url, cfg, self)
	if err != nil {
		return nil, fmt.Errorf("connect to the mesh: %w", err)
	}
	s := newServer(cfg, subjects, self, b, hangUp, presence.Config{}, link.Config{})
	if cfg.Embedded {
		return s, nil
	}
	if err := s.start(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("join the mesh: %w", err)
	}
	return s, nil
}

func dial(ctx context.Context, url string, cfg Config, self mesh.Address) (b bus.Bus, hangUp func(), err error) {
	if b, ok := bus.FromContext(ctx); ok {
		return b, func() {}, nil
	}
	n, err := bus.Dial(ctx, url, bus.NATSOptions{
		Name: "app-" + cfg.App + "-" + self.Instance.String(), CredsFile: cfg.CredsFile, Log: cfg.Log,
	})
	if err != nil {
		return nil, nil, err
	}
	return n, n.Close, nil
}

func newServer(
	cfg Config, subjects mesh.Subjects, self mesh.Address, b bus.Bus, hangUp func(), alive presence.Config, links link.Config,
) *Server {
	s := &Server{
		cfg: cfg, subjects: subjects, self: self, bus: b, hangUp: hangUp,
		reports:    newReports(cfg.Log),
		encoder:    &encoder{maxPacket: cfg.MaxPacket},
		sockets:    sockets{byAddr: map[wire.SocketAddr]*Socket{}},
		workers:    newWorkers(),
		deaf:       make(chan error, 2),
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
		namespaces: map[string]*Namespace{},
		leave:      func() {},
		hush:       func() {},
		giveUp:     func() {},
		keepRest:   func() {},
	}
	s.peers = presence.New(b, subjects, self, s.describe, cfg.Log, alive)
	s.peers.Watch(s.peerChanged)
	links.Healthy, links.NoResponders, links.Metrics = s.peers.Fresh, s.peers.Suspect, &s.links
	s.endpoint = link.NewEndpoint(b, subjects, self, receiver{server: s}, cfg.Log, links)
	s.out = newOutbox(s.endpoint.Link, cfg, s.reports.put, s.operationsLost, s.forsake)
	s.keeper = newKeeper(s.out)
	s.events = series[*ServerEvent]{
		workers: s.workers, handle: s.handleServerEvent, most: maxServerEvents, dropped: func() { s.reports.put(errServerEvents) },
	}
	s.changed = series[roomChanges]{workers: s.workers, handle: s.handleRoomChanges, most: maxRoomEvents, dropped: func() {
		s.reports.put(fmt.Errorf("%w: too many wait", ErrRoomEvents))
	}}
	return s
}

// start begins to read the mesh, and waits until it does.
func (s *Server) start(ctx context.Context) error {
	reading, leave := context.WithCancel(context.WithoutCancel(ctx))
	telling, hush := context.WithCancel(context.WithoutCancel(ctx))
	s.leave, s.hush = leave, hush
	s.tell.Go(func() { s.reports.run(telling) }) // stop waits
	s.mesh.Go(func() { s.out.flusher.run(reading) })
	s.mesh.Go(func() { s.keeper.run(reading) })
	s.mesh.Go(func() { s.read(reading, s.endpoint.Run) })
	select {
	case <-s.endpoint.Ready():
	case err := <-s.deaf:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mesh.Go(func() { s.read(reading, s.peers.Run) })
	return nil
}

func (s *Server) read(ctx context.Context, run func(context.Context) error) {
	err := run(ctx)
	if err == nil && ctx.Err() == nil {
		err = errors.New("reading the mesh has ended")
	}
	if err != nil {
		s.deaf <- err
	}
}

// Flush waits until everything this Server did so far is confirmed: applied by the edges concerned. It returns ErrLost if
// some of it never will be, reporting every failure since the last Flush once.
func (s *Server) Flush(ctx context.Context) error {
	if err := s.usable(); err != nil {
		return err
	}
	return s.out.flush(ctx)
}

// OnError adds a handler for what no method could return: errors and panics of handlers (*HandlerError), lost operations
// (ErrLost), operations that rooms refused, clients that could not be answered, handlers added too late (ErrRunning). They are called one at a time, on a goroutine of their own, and must not
// call Close or end. Without a handler errors are logged.
func (s *Server) OnError(f func(error)) { s.reports.handle(f) }

// Use adds a connection middleware to "/"; see Namespace.Use.
func (s *Server) Use(m Middleware) error { return s.Of("/").Use(m) }

// OnConnection adds a connection handler to "/"; see Namespace.OnConnection.
func (s *Server) OnConnection(f func(*Socket)) error { return s.Of("/").OnConnection(f) }

// Emit sends an event to every socket of "/", wherever it is, and of no other namespace (BRO-001); see
// BroadcastOperator.Emit.
func (s *Server) Emit(event string, args ...any) error { return s.Of("/").Emit(event, args...) }

// Send is Emit of the event "message" to "/" (SOC-003).
func (s *Server) Send(args ...any) error { return s.Of("/").Send(args...) }

// To selects the sockets of "/" in any of the rooms, on all edges.
func (s *Server) To(rooms ...string) BroadcastOperator { return s.Of("/").To(rooms...) }

// In is To.
func (s *Server) In(rooms ...string) BroadcastOperator { return s.Of("/").To(rooms...) }

// Except selects the sockets of "/" in none of the rooms.
func (s *Server) Except(rooms ...string) BroadcastOperator { return s.Of("/").Except(rooms...) }

// Volatile selects the sockets of "/", for packets that may be dropped; see BroadcastOperator.Volatile.
func (s *Server) Volatile() BroadcastOperator { return s.Of("/").Volatile() }

// Compress selects the sockets of "/", for packets that are compressed, or with false are not.
func (s *Server) Compress(compress bool) BroadcastOperator { return s.Of("/").Compress(compress) }

// Count returns the number of sockets in "/", on all edges; see BroadcastOperator.Count.
func (s *Server) Count(ctx context.Context) (int, error) { return s.Of("/").Count(ctx) }

// Counts returns how many sockets of "/" are in each of the rooms; see Namespace.Counts.
func (s *Server) Counts(ctx context.Context, rooms ...string) (map[string]int, error) {
	return s.Of("/").Counts(ctx, rooms...)
}

// Local selects the sockets of "/" that this instance has; see BroadcastOperator.Local.
func (s *Server) Local() BroadcastOperator { return s.Of("/").Local() }

// Timeout selects every socket of "/", and bounds what waits for answers.
func (s *Server) Timeout(d time.Duration) BroadcastOperator { return s.Of("/").Timeout(d) }

// Sockets returns the connected sockets of "/" that this instance has; see FetchSockets for all.
func (s *Server) Sockets() []*Socket { return s.Of("/").Sockets() }

// FetchSockets returns the sockets of "/", wherever they are; see BroadcastOperator.FetchSockets.
func (s *Server) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	return s.Of("/").FetchSockets(ctx)
}

// EachSocket walks the sockets of "/", wherever they are; see BroadcastOperator.EachSocket.
func (s *Server) EachSocket(ctx context.Context, fields Fields) iter.Seq2[*RemoteSocket, error] {
	return s.Of("/").EachSocket(ctx, fields)
}

// SocketIDs returns the ids of the sockets of "/", wherever they are; see BroadcastOperator.SocketIDs.
func (s *Server) SocketIDs(ctx context.Context) ([]string, error) { return s.Of("/").SocketIDs(ctx) }

// SocketsJoin puts the sockets of "/" into rooms; see BroadcastOperator.SocketsJoin.
func (s *Server) SocketsJoin(rooms ...string) error { return s.Of("/").SocketsJoin(rooms...) }

// SocketsLeave takes the sockets of "/" out of rooms; see BroadcastOperator.SocketsLeave.
func (s *Server) SocketsLeave(rooms ...string) error { return s.Of("/").SocketsLeave(rooms...) }

// DisconnectSockets disconnects the sockets of "/"; see BroadcastOperator.DisconnectSockets.
func (s *Server) DisconnectSockets(closeConnections bool) error {
	return s.Of("/").DisconnectSockets(closeConnections)
}

// usable tells whether operations can be sent.
func (s *Server) usable() error {
	switch phase(s.state.Load()) {
	case closed:
		return ErrClosed
	case connected:
		if s.cfg.Embedded {
			return ErrNotRunning
		}
	default:
	}
	return nil
}

// send sends an operation. A volatile one is dropped, which is no error, if it would have to wait.
func (s *Server) send(ctx context.Context, r *wire.Record, volatile bool) (sent bool, err error) {
	if err := s.usable(); err != nil {
		return false, err
	}
	if !volatile {
		err := s.out.send(ctx, r)
		return err == nil, err
	}
	r.Flags |= wire.FlagVolatile
	err = s.out.trySend(r)
	switch {
	case err == nil:
		return true, nil
	case retriable(err):
		return false, nil
	default:
		return false, err
	}
}

// assign returns the namespace of a new socket, which release takes back, and false if none is taken now. One that is not
// served is made for the occasion: the parents decide over it, and without any it is unknown (NSP-005, NSP-021).
func (s *Server) assign(name string) (*Namespace, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != running && (s.phase != draining || s.handlers == nil) {
		return nil, false
	}
	n := s.announced[name]
	switch {
	case n != nil:
	case len(s.parents) > 0:
		if n = s.namespaces[name]; n == nil {
			n = newNamespace(s, name)
			n.asked = true
			s.namespaces[name] = n
		}
	default:
		n = newNamespace(s, name)
	}
	n.sockets++
	return n, true
}

// ends reports whether no new socket is begun with.
func (s *Server) ends() bool { return phase(s.state.Load()) >= draining }

// handlerContext is what handlers get. It is fixed before the first of them can run.
func (s *Server) handlerContext() context.Context { return s.handlers }

// describe fills in the heartbeat.
func (s *Server) describe(p *siomeshv1.Presence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.Draining = s.phase != running || len(s.announced)+len(s.parents) == 0
	p.Load = uint64(s.sockets.len())
	if s.phase == connected { // what it will serve is not complete, and to drain means more than not to serve
		return
	}
	for name := range s.announced {
		p.Namespaces = append(p.Namespaces, &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Name{Name: name}})
	}
	for _, parent := range s.parents {
		rule := &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Dynamic{Dynamic: true}}
		if parent.pattern != nil {
			rule.Match = &siomeshv1.Namespace_Pattern{Pattern: parent.pattern.String()}
		}
		p.Namespaces = append(p.Namespaces, rule)
	}
}
