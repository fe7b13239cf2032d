// Package siomesh runs the whole mesh in one program: edge, rooms, auth and the application, with an http.Handler for clients
// and the io for the application's code. Inside the process nothing goes over the network; an embedded NATS server lets
// services outside take part. An application moves to separate services by making its io with socketio.Connect in place of
// New: nothing else of it changes. Start at New.
package siomesh

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/api"
	"github.com/siomesh/siomesh/services/auth"
	"github.com/siomesh/siomesh/services/edge"
	"github.com/siomesh/siomesh/services/rooms"
)

// ErrRan says that Run was called twice or after Close.
var ErrRan = errors.New("siomesh: a mesh runs once")

// Mesh is a whole mesh in one process: an http.Handler for the clients, and the io of the application. Register handlers on
// the io, then call Run. All methods are safe for concurrent use.
type Mesh struct {
	cfg    Config
	nats   *natsServer // nil if the mesh is this process only
	remote *bus.NATS   // nil likewise
	local  *bus.Memory

	edge  *edge.Service
	rooms *rooms.Service
	auth  *auth.Service // nil if auth is outside
	api   *api.Service  // nil if there is none
	io    *socketio.Server

	ready    chan struct{}
	stopped  chan struct{} // closed when Run has returned, or will never run
	mu       sync.Mutex
	stop     context.CancelFunc // guarded by mu: ends Run
	used     bool               // guarded by mu: Run or Close was called
	released bool               // guarded by mu
}

// New makes a mesh, and starts its NATS server if one is configured; nothing else runs before Run. Whoever does not call Run
// calls Close.
func New(cfg Config) (*Mesh, error) {
	m := &Mesh{cfg: cfg.withDefaults(), local: bus.NewMemory(), ready: make(chan struct{}), stopped: make(chan struct{})}
	if err := m.build(); err != nil {
		m.release()
		return nil, fmt.Errorf("siomesh: %w", err)
	}
	return m, nil
}

// IO returns the application's side of the mesh. Handlers and middlewares are registered on it before Run.
func (m *Mesh) IO() *socketio.Server { return m.io }

// ServeHTTP implements http.Handler for the clients' requests; mount it at the path. Before Run and while stopping it answers
// 503.
func (m *Mesh) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.edge.ServeHTTP(w, r) }

// Ready is closed once clients are served: every service has found the others.
func (m *Mesh) Ready() <-chan struct{} { return m.ready }

// Healthy reports whether clients are served now, and the process hears itself through NATS if it uses it.
func (m *Mesh) Healthy() bool {
	return m.edge.Healthy() && m.rooms.Healthy() && (m.api == nil || m.api.Healthy())
}

// ClientsCount returns the number of clients connected now, whatever namespaces they are in.
func (m *Mesh) ClientsCount() int { return m.edge.ClientsCount() }

// NATSURL returns where services outside this process find the mesh, "" if they cannot.
func (m *Mesh) NATSURL() string {
	if m.nats == nil {
		return ""
	}
	return m.nats.ClientURL()
}

// Close ends Run and waits for it until ctx ends: clients are closed first, so that disconnect handlers run ("server shutting
// down"). It may be called more than once, and in place of Run.
func (m *Mesh) Close(ctx context.Context) error {
	m.mu.Lock()
	stop, ran := m.stop, m.used
	m.used = true
	m.mu.Unlock()
	if !ran {
		m.release()
		close(m.stopped)
	}
	if stop != nil {
		stop()
	}
	select {
	case <-m.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("siomesh: close: %w", ctx.Err())
	}
}

// build makes the parts, innermost first.
func (m *Mesh) build() error {
	names, err := mesh.NewSubjects(m.cfg.Prefix)
	if err != nil {
		return fmt.Errorf("prefix %q: %w", m.cfg.Prefix, err)
	}
	over, err := m.connect()
	if err != nil {
		return err
	}
	if err := m.buildServices(over, names); err != nil {
		return err
	}
	ctx := bus.NewContext(context.Background(), over)
	m.io, err = socketio.Connect(ctx, "", socketio.Config{
		App: m.cfg.App, Prefix: m.cfg.Prefix, Log: m.cfg.Log, Embedded: true,
		CleanupEmptyChildNamespaces: m.cfg.CleanupEmptyChildNamespaces,
	})
	if err != nil {
		return fmt.Errorf("app: %w", err)
	}
	return nil
}

// connect returns the bus of the process.
func (m *Mesh) connect() (bus.Bus, error) {
	if m.cfg.NATSListen == "" {
		if m.cfg.AuthExternal {
			return nil, errors.New("auth outside this process needs NATSListen")
		}
		return m.local, nil
	}
	var err error
	if m.nats, err = startNATS(m.cfg.NATSListen, m.cfg.DataDir, m.cfg.Log); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), natsStart)
	defer cancel()
	m.remote, err = bus.Dial(ctx, m.nats.ClientURL(), bus.NATSOptions{Name: "mesh-" + m.cfg.App, InProcess: m.nats, Log: m.cfg.Log})
	if err != nil {
		return nil, fmt.Errorf("reach the embedded server: %w", err)
	}
	return bus.NewHybrid(m.local, m.remote), nil
}

func (m *Mesh) buildServices(over bus.Bus, names mesh.Subjects) error {
	edgeConfig, err := m.cfg.edge()
	if err != nil {
		return err
	}
	counts, err := newCounts(m.cfg.Metrics)
	if err != nil {
		return err
	}
	edgeConfig.Metrics, edgeConfig.Link.Metrics, edgeConfig.Presence.Metrics = &counts.edge, &counts.edgeLinks, counts.presence
	roomsConfig := rooms.Config{Metrics: &counts.rooms}
	roomsConfig.Link.Metrics, roomsConfig.Presence.Metrics = &counts.roomsLinks, counts.presence
	m.rooms = rooms.New(over, names, m.cfg.Log, roomsConfig)
	if m.edge, err = edge.New(over, names, m.cfg.Log, edgeConfig); err != nil {
		return fmt.Errorf("edge: %w", err)
	}
	if !m.cfg.AuthExternal {
		policies, err := auth.ParsePolicies(m.cfg.AuthPolicies, auth.Keys(m.cfg.AuthKeys))
		if err != nil {
			return fmt.Errorf("auth policies: %w", err)
		}
		handshake, err := auth.ParseHandshakePolicy(m.cfg.AuthHandshakePolicy, auth.Keys(m.cfg.AuthKeys))
		if err != nil {
			return fmt.Errorf("auth: %w", err)
		}
		cfg := auth.Config{Policies: policies, Handshake: handshake, Metrics: counts.auth}
		if m.auth, err = auth.New(over, names, m.cfg.Log, cfg); err != nil {
			return fmt.Errorf("auth: %w", err)
		}
	}
	return m.buildAPI(over, names, counts)
}

// buildAPI makes the API, if it is wanted and somebody can reach it.
func (m *Mesh) buildAPI(over bus.Bus, names mesh.Subjects, counts *counts) (err error) {
	cfg := api.Config{
		Concurrency: m.cfg.APIConcurrency, Timeout: m.cfg.APITimeout, MaxTimeout: m.cfg.APIMaxTimeout, Metrics: counts.api,
	}
	if err := cfg.Check(); err != nil || m.remote == nil || m.cfg.DisableAPI {
		return err //nolint:wrapcheck // says what
	}
	m.api, err = api.New(over, m.remote, names, m.cfg.Log, cfg)
	return err //nolint:wrapcheck // says what
}

// release gives back what New holds.
func (m *Mesh) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.released {
		return
	}
	m.released = true
	if m.remote != nil {
		m.remote.Close()
	}
	m.local.Close()
	if m.nats != nil {
		m.nats.stop(m.cfg.Log)
	}
}
