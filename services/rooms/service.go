// Package rooms is the service that keeps who is in which room and puts everything an app does to clients in one order: each
// operation comes in from an app instance, changes the membership, and leaves towards the edges that hold a socket concerned.
// It knows nothing of clients, transports or packet contents: it passes bodies on as they are. Start at service.go, then
// operation.go; index.go is the membership, progress.go the confirmations, edges.go how edges register, owner.go how this
// instance comes to own the partitions.
package rooms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Config tunes the service; the zero value works.
type Config struct {
	Presence     presence.Config
	Link         link.Config   // towards edges: what an edge may leave unapplied before it counts as dead
	QueryTimeout time.Duration // how long a query waits for its sender's last operation, default 2 s
	Takeover     time.Duration // how long Run waits for another rooms instance to end before it gives up, default 10 s
	Metrics      *Metrics      // nil counts nothing
}

func (c Config) withDefaults() Config {
	if c.QueryTimeout <= 0 {
		c.QueryTimeout = 2 * time.Second
	}
	if c.Takeover <= 0 {
		c.Takeover = 10 * time.Second
	}
	return c
}

// Service is one rooms instance: the owner of all partitions, since one mesh runs one rooms instance for now. Make it with
// New and run it once.
type Service struct {
	bus   bus.Bus
	names mesh.Subjects
	self  mesh.Address
	log   *slog.Logger
	cfg   Config
	epoch uint32 // of every partition: the second in which this instance began to own them, or its predecessor's plus one

	links *link.Endpoint
	peers *presence.Peers

	// Owned by the reader goroutine of links.
	index       *index
	origins     map[mesh.InstanceID]*origin
	unconfirmed []*progress // that may have something to confirm
	batch       link.Batch
	overfull    []*edge // edges that left too much unapplied: ended at the end of the frame
	owning      bool    // partitions are announced; false until no other rooms instance lives
	patterns    patterns

	ready   chan struct{}        // closed once the partitions are announced
	usurper chan mesh.InstanceID // of capacity one: another owner that outranks this one
}

// New returns a rooms instance that will talk over b.
func New(b bus.Bus, names mesh.Subjects, log *slog.Logger, cfg Config) *Service {
	s := &Service{
		bus: b, names: names, log: log, cfg: cfg.withDefaults(),
		self:    mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()},
		index:   newIndex(),
		origins: map[mesh.InstanceID]*origin{},
		ready:   make(chan struct{}),
		usurper: make(chan mesh.InstanceID, 1),
	}
	s.peers = presence.New(b, names, s.self, s.describe, log, s.cfg.Presence)
	s.peers.Watch(s.peerChanged)
	linkConfig := s.cfg.Link
	if linkConfig.WindowBytes == 0 && linkConfig.WindowRecords == 0 {
		linkConfig.WindowBytes, linkConfig.WindowRecords = edgeBoundBytes, edgeBoundRecords
	}
	linkConfig.Healthy = s.peers.Fresh
	linkConfig.NoResponders = s.peers.Suspect
	s.links = link.NewEndpoint(b, names, s.self, s, log, linkConfig)
	return s
}

// Ready is closed once the service owns its partitions and serves.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Healthy reports whether the service is ready and hears itself through the bus.
func (s *Service) Healthy() bool {
	select {
	case <-s.ready:
		return s.peers.Healthy()
	default:
		return false
	}
}

// What an edge may leave unapplied. Senders stop at their own windows (32 MiB for each instance and partition) long before a
// healthy edge comes near, so one that does is not coming back.
const (
	edgeBoundBytes   = 256 << 20
	edgeBoundRecords = 2 << 20
)

// Run serves until ctx ends; then it says goodbye and returns nil.
func (s *Service) Run(ctx context.Context) error {
	requests := s.bus.NewReceiver(bus.Control, 4096)
	if err := requests.Subscribe(s.names.RPC(s.self), "", s.request); err != nil {
		return fmt.Errorf("subscribe to requests: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.links.Run(ctx) })
	g.Go(func() error { return requests.Run(ctx) })
	g.Go(func() error { return s.peers.Run(ctx) })
	g.Go(func() error { return s.own(ctx) })
	g.Go(func() error { return s.sweep(ctx) })
	return g.Wait()
}

// peerChanged follows who is there; everything else reaches rooms as records. It runs on presence's goroutine.
func (s *Service) peerChanged(change presence.Change, p presence.Peer) {
	switch {
	case p.Kind == mesh.KindRooms && change != presence.Died:
		s.otherOwner(p)
	case p.Kind == mesh.KindEdge && change == presence.Up:
		s.links.Do(func() { s.edgeUp(p.Address); s.EndFrame() })
	case change == presence.Died:
		s.links.Do(func() {
			if e := s.index.edges[p.Instance]; e != nil {
				s.edgeEnded(e)
			}
			if o := s.origins[p.Instance]; o != nil {
				s.unwatchAll(o)
				delete(s.origins, p.Instance)
			}
			s.EndFrame()
		})
		s.links.Drop(p.Instance)
	}
}

// Opened implements link.Handler: a sender starts a new stream, so its operations are counted afresh.
func (s *Service) Opened(from mesh.Address) {
	o := s.origins[from.Instance]
	if o == nil {
		return
	}
	for i, p := range o.parts {
		if p != nil {
			o.parts[i] = p.reopened()
		}
	}
}

// Record implements link.Handler.
func (s *Service) Record(from mesh.Address, r *wire.Record) error {
	switch from.Kind {
	case mesh.KindApp:
		return s.operation(from, r)
	case mesh.KindEdge:
		return s.fromEdge(from, r)
	case mesh.KindRooms, mesh.KindAuth:
	}
	return fmt.Errorf("%s does not send to rooms", from.Kind)
}

// EndFrame implements link.Handler: confirm what has been applied and write everything that the frame caused. What happens
// outside frames ends like one.
func (s *Service) EndFrame() {
	for _, e := range s.overfull {
		s.edgeBroke(e, link.ErrFull)
	}
	clear(s.overfull)
	s.overfull = s.overfull[:0]
	s.tellAllRooms()
	s.confirmAll()
	s.batch.Flush()
}

// toApp appends a record to the link to an app instance that sends operations.
func (s *Service) toApp(o *origin, r *wire.Record) { s.append(s.appLink(o), r) }

// appLink returns that link. Confirmations that a break may have lost are said again after a while, and that room events were.
func (s *Service) appLink(o *origin) *link.Link {
	if o.link == nil {
		l := s.links.Link(o.addr)
		o.link = l
		l.OnBreak(func(err error) {
			if o.link != l || errors.Is(err, link.ErrStopped) || s.origins[o.addr.Instance] != o {
				return
			}
			o.link, o.retell = nil, true
			s.watcherBroke(o)
		})
	}
	return o.link
}

func (s *Service) append(l *link.Link, r *wire.Record) {
	if err := s.batch.Append(l, r); err != nil && !errors.Is(err, link.ErrBroken) {
		s.log.Warn("record not sent", slog.String("instance", l.To().Instance.String()), slog.Any("err", err))
	}
}
