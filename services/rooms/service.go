// Package rooms is the service that keeps who is in which room and puts everything an app does to clients in one order: each
// operation comes in from an app instance, changes the membership, and leaves towards the edges that hold a socket concerned.
// It knows nothing of clients, transports or packet contents: it passes bodies on as they are. Start at service.go, then
// operation.go; index.go is the membership, progress.go the confirmations.
package rooms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
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
	epoch uint32 // of every partition: the second of the start, so that a successor's is higher

	links *link.Endpoint
	peers *presence.Peers

	// Owned by the reader goroutine of links.
	index       *index
	origins     map[mesh.InstanceID]*origin
	unconfirmed []*origin // origins that may have something to confirm
	batch       link.Batch
	selection   [][]byte // scratch of broadcast
	overfull    []*edge  // edges that left too much unapplied: ended at the end of the frame
	owning      bool     // partitions are announced; false until no other rooms instance lives

	ready chan struct{}
}

// New returns a rooms instance that will talk over b.
func New(b bus.Bus, names mesh.Subjects, log *slog.Logger, cfg Config) *Service {
	s := &Service{
		bus: b, names: names, log: log, cfg: cfg.withDefaults(),
		self:    mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()},
		epoch:   uint32(time.Now().Unix()),
		index:   newIndex(),
		origins: map[mesh.InstanceID]*origin{},
		ready:   make(chan struct{}),
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

// errAnother says that a mesh already has a rooms instance.
var errAnother = errors.New("another rooms instance is alive: a mesh runs one")

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
	g.Go(func() error { return s.expire(ctx) })
	return g.Wait()
}

// own announces the partitions as soon as no other rooms instance is alive: two would each order half of the operations.
func (s *Service) own(ctx context.Context) error {
	for _, started := range []<-chan struct{}{s.links.Ready(), s.peers.Heard()} {
		select {
		case <-started:
		case <-ctx.Done():
			return nil
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	giveUp := time.NewTimer(s.cfg.Takeover)
	defer giveUp.Stop()
	for others := s.peers.Live(mesh.KindRooms); len(others) > 0; others = s.peers.Live(mesh.KindRooms) {
		select {
		case <-tick.C:
		case <-giveUp.C:
			return fmt.Errorf("%w: %s", errAnother, others[0].Instance)
		case <-ctx.Done():
			return nil
		}
	}
	owned := make(chan struct{})
	s.links.Do(func() { s.owning = true; close(owned) })
	select {
	case <-owned:
	case <-ctx.Done():
		return nil
	}
	close(s.ready)
	s.peers.Announce()
	s.log.Info("rooms serving", slog.String("instance", s.self.Instance.String()))
	return nil
}

// describe fills in what this instance announces.
func (s *Service) describe(p *siomeshv1.Presence) {
	select {
	case <-s.ready:
		for n := range uint32(mesh.Partitions) {
			p.Partitions = append(p.Partitions, &siomeshv1.Partition{Number: n, Epoch: uint64(s.epoch)})
		}
	default:
	}
}

// peerChanged follows deaths; everything else reaches rooms as records.
func (s *Service) peerChanged(change presence.Change, p presence.Peer) {
	if change != presence.Died {
		return
	}
	s.links.Do(func() {
		switch p.Kind {
		case mesh.KindEdge:
			s.edgeEnded(p.Instance)
		case mesh.KindApp:
			delete(s.origins, p.Instance)
		case mesh.KindRooms, mesh.KindAuth:
		}
		s.EndFrame()
	})
	s.links.Drop(p.Instance)
}

// Opened implements link.Handler: a sender starts a new stream, so its operations are counted afresh.
func (s *Service) Opened(from mesh.Address) {
	if o := s.origins[from.Instance]; o != nil {
		for _, p := range o.parts {
			p.open = false
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

// EndFrame implements link.Handler: confirm what has been applied and write everything that the frame caused.
func (s *Service) EndFrame() {
	for _, e := range s.overfull {
		s.edgeBroke(e, link.ErrFull)
	}
	s.overfull = s.overfull[:0]
	s.confirmAll()
	s.batch.Flush()
}

func (s *Service) confirmAll() {
	for i, o := range s.unconfirmed {
		s.unconfirmed[i] = nil
		o.dirty = false
		s.confirm(o)
	}
	s.unconfirmed = s.unconfirmed[:0]
}

func (s *Service) fromEdge(from mesh.Address, r *wire.Record) error {
	switch r.Kind {
	case wire.KindHello:
		s.hello(from, r)
	case wire.KindGone:
		s.index.remove(r.Socket)
		s.cfg.Metrics.gone()
	default:
		return fmt.Errorf("edge sends kind %d", r.Kind)
	}
	return nil
}

// hello registers an edge and answers in kind; an edge that registers again starts from nothing, and so does its entry here.
func (s *Service) hello(from mesh.Address, r *wire.Record) {
	if s.index.edges[from.Instance] != nil {
		s.edgeEnded(from.Instance)
	}
	out := &outbox{}
	e := s.index.addEdge(from.Instance, out)
	l := s.links.Link(from)
	l.OnMark(func(seq uint64) { // comes between frames, so it ends like one
		s.marked(out, seq)
		s.EndFrame()
	})
	l.OnBreak(func(err error) {
		s.edgeBroke(e, err)
		s.EndFrame()
	})
	s.greet(l, r.Lease)
}

// greet sends an edge the lease number under which it is registered; 0 says that it is not, and must register again.
func (s *Service) greet(l *link.Link, lease uint64) {
	err := s.batch.Append(l, &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, PartitionEpoch: s.epoch, Lease: lease})
	if err != nil {
		s.log.Warn("edge not answered", slog.String("edge", l.To().Instance.String()), slog.Any("err", err))
	}
}

// marked notes that the edge has applied its link up to seq.
func (s *Service) marked(out *outbox, seq uint64) {
	out.pop(seq, func(of *progress, op uint64) {
		of.applied(op)
		s.dirty(of.origin)
	})
}

// edgeBroke treats an edge whose link broke as dead: it may have missed something. The first record of a new link tells it
// so, whereupon it closes its connections and registers again.
func (s *Service) edgeBroke(e *edge, err error) {
	if s.index.edges[e.id] != e {
		return
	}
	s.log.Warn("link to edge broke", slog.String("edge", e.id.String()), slog.Any("err", err))
	s.edgeEnded(e.id)
	if !errors.Is(err, link.ErrPeerDead) {
		s.links.Drop(e.id)
		s.greet(s.links.Link(mesh.Address{Kind: mesh.KindEdge, Instance: e.id}), 0)
	}
}

// edgeEnded forgets an edge with its sockets, stops waiting for it, and tells every app instance.
func (s *Service) edgeEnded(id mesh.InstanceID) {
	e := s.index.edges[id]
	if e == nil {
		return
	}
	s.index.removeEdge(id)
	s.marked(e.out, ^uint64(0))
	for _, app := range s.peers.Live(mesh.KindApp) {
		s.toApp(app.Address, &wire.Record{Kind: wire.KindEdgeEnded, Flags: wire.FlagControl, Body: id[:]})
	}
	s.cfg.Metrics.edgeEnded()
}

func (s *Service) toApp(to mesh.Address, r *wire.Record) {
	if err := s.batch.Append(s.links.Link(to), r); err != nil {
		s.log.Warn("record for app not sent", slog.String("app", to.App), slog.String("instance", to.Instance.String()), slog.Any("err", err))
	}
}

func (s *Service) dirty(o *origin) {
	if !o.dirty {
		o.dirty = true
		s.unconfirmed = append(s.unconfirmed, o)
	}
}

// confirm tells an app instance how far its operations are applied.
func (s *Service) confirm(o *origin) {
	if s.origins[o.addr.Instance] != o {
		return
	}
	for _, p := range o.parts {
		if p.open && p.advance() {
			p.told = p.done
			s.toApp(o.addr, &wire.Record{
				Kind: wire.KindConfirm, Flags: wire.FlagControl,
				Partition: p.partition, PartitionEpoch: s.epoch, Op: p.done,
			})
		}
	}
}
