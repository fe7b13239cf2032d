package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// fast is presence for tests: it knows soon who is there, and a suspect that is slow has the time to be heard.
func fast() presence.Config {
	return presence.Config{
		Interval: 20 * time.Millisecond, SuspectFor: 3 * time.Second, DeadAfter: 3 * time.Second,
		ProbeTimeout: 3 * time.Second, Settle: 10 * time.Millisecond,
	}
}

// ring stands in for an edge and a rooms service, on real links over a bus in memory: what rooms takes the edge has applied,
// and what it would write to a client goes to the client's channel.
type ring struct {
	tb   testing.TB
	b    *bus.Memory
	edge *link.Endpoint

	alive presence.Config // of rooms and the Servers that start from now on

	mu      sync.Mutex
	rooms   *roomsDouble // guarded by mu; nil while there is none
	clients map[wire.SocketAddr]*client
	slots   uint32
	watched map[string]bool // namespaces whose room events are wanted
	lease   uint64          // of connect records
	edges   []string        // other edges that rooms names
	accept  func(*client)   // called when a client is accepted, before it knows
	mute    bool            // do not say which edges a broadcast went to
	hold    bool            // confirm nothing
	keeps   bool            // the edge does not ask for sockets when an instance drains
	lose    bool            // take operations and do nothing with them, until the link breaks: they are lost with it
}

func newRing(tb testing.TB) *ring {
	tb.Helper()
	self := mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
	return newRingHeardAs(tb, self, self)
}

// newRingHeardAs is newRing with an edge whose heartbeats are those of another one.
func newRingHeardAs(tb testing.TB, self, heard mesh.Address) *ring {
	tb.Helper()
	r := &ring{tb: tb, b: bus.NewMemory(), alive: fast(), clients: map[wire.SocketAddr]*client{}, watched: map[string]bool{}}
	r.edge = link.NewEndpoint(r.b, mesh.Subjects{}, self, silent{}, slog.New(slog.DiscardHandler), link.Config{})
	peers := presence.New(r.b, mesh.Subjects{}, heard, nil, slog.New(slog.DiscardHandler), fast())
	peers.Watch(r.peerChanged)
	background(tb, r.edge.Run)
	background(tb, peers.Run)
	r.answer(self)
	<-r.edge.Ready()
	return r
}

// background runs f until the test ends or the returned function is called, which waits for it.
func background(tb testing.TB, f func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // stop waits
		defer close(done)
		if err := f(ctx); err != nil && ctx.Err() == nil {
			tb.Errorf("background: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	tb.Cleanup(stop)
	return stop
}

// silent is the edge's side towards apps: they send it nothing.
type silent struct{}

func (silent) Record(from mesh.Address, r *wire.Record) error {
	return fmt.Errorf("the app sends the edge kind %d", r.Kind)
}
func (silent) EndFrame()           {}
func (silent) Opened(mesh.Address) {}

// roomsDouble takes operations.
type roomsDouble struct {
	ring *ring
	ep   *link.Endpoint
	stop func()
	last map[stream]uint64 // owned by the reader goroutine
	told batch
}

// stream is the operations of an app in a partition.
type stream struct {
	from      mesh.InstanceID
	partition uint8
}

type batch struct {
	mu    sync.Mutex
	owed  confirmations // guarded by mu; not sent
	said  confirmations // guarded by mu; sent, and perhaps lost when the link breaks that they went on
	taken int           // guarded by mu; operations
}

// confirmations are how far the operations of an app are applied, by partition.
type confirmations map[mesh.Address]map[uint8]uint64

func (c confirmations) add(to mesh.Address, partition uint8, op uint64) {
	if c[to] == nil {
		c[to] = map[uint8]uint64{}
	}
	c[to][partition] = max(op, c[to][partition])
}

// startRooms starts a rooms instance that owns everything.
func (r *ring) startRooms() {
	r.tb.Helper()
	self := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
	d := &roomsDouble{ring: r, last: map[stream]uint64{}, told: batch{owed: confirmations{}, said: confirmations{}}}
	d.ep = link.NewEndpoint(r.b, mesh.Subjects{}, self, d, slog.New(slog.DiscardHandler), link.Config{})
	peers := presence.New(r.b, mesh.Subjects{}, self, func(p *siomeshv1.Presence) {
		for n := range uint32(mesh.Partitions) {
			p.Partitions = append(p.Partitions, &siomeshv1.Partition{Number: n, Epoch: 1})
		}
	}, slog.New(slog.DiscardHandler), r.alive)
	queries := r.b.NewReceiver(bus.Control, 16)
	if err := queries.Subscribe(mesh.Subjects{}.RPC(self), "", d.query); err != nil {
		r.tb.Fatal(err)
	}
	stops := []func(){background(r.tb, d.ep.Run), background(r.tb, queries.Run)}
	<-d.ep.Ready()
	stops = append(stops, background(r.tb, peers.Run))
	slices.Reverse(stops) // the goodbye first
	d.stop = func() {
		for _, stop := range stops {
			stop()
		}
	}
	r.mu.Lock()
	r.rooms = d
	r.mu.Unlock()
}

// stopRooms ends it with a goodbye.
func (r *ring) stopRooms() {
	r.mu.Lock()
	d := r.rooms
	r.rooms = nil
	r.mu.Unlock()
	d.stop()
}

// toApp returns the link from rooms to an app.
func (r *ring) toApp(s *Server) *link.Link {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rooms.ep.Link(s.self)
}

func (r *ring) lock(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// release confirms what was held.
func (r *ring) release() {
	r.mu.Lock()
	r.hold = false
	d := r.rooms
	r.mu.Unlock()
	d.confirm()
}

func (d *roomsDouble) Opened(from mesh.Address) {
	maps.DeleteFunc(d.last, func(s stream, _ uint64) bool { return s.from == from.Instance })
}

func (d *roomsDouble) EndFrame() {
	d.ring.mu.Lock()
	hold := d.ring.hold
	d.ring.mu.Unlock()
	if !hold {
		d.confirm()
	}
}

func (d *roomsDouble) confirm() {
	d.told.mu.Lock()
	defer d.told.mu.Unlock()
	for to, parts := range d.told.owed {
		l := d.ep.Link(to)
		if d.told.said[to] == nil {
			l.OnBreak(func(err error) { d.repeat(to, err) })
		}
		for part, op := range parts {
			d.told.said.add(to, part, op)
			r := wire.Record{Kind: wire.KindConfirm, Flags: wire.FlagControl, Partition: part, Op: op}
			if _, err := l.Append(&r); err != nil {
				d.ring.tb.Logf("confirm: %v", err)
			}
		}
		l.Flush()
		delete(d.told.owed, to)
	}
}

// repeat says confirmations again that went on a link which broke, as rooms does.
func (d *roomsDouble) repeat(to mesh.Address, why error) {
	if errors.Is(why, link.ErrStopped) {
		return
	}
	d.told.mu.Lock()
	for part, op := range d.told.said[to] {
		d.told.owed.add(to, part, op)
	}
	delete(d.told.said, to)
	d.told.mu.Unlock()
	d.EndFrame()
}

// Record takes an operation as rooms and the edge would.
func (d *roomsDouble) Record(from mesh.Address, r *wire.Record) error {
	if string(r.Namespace) == "/poison" {
		d.ring.lock(func() { d.ring.lose = false })
		return errors.New("poison")
	}
	of := stream{from.Instance, r.Partition}
	if d.loses(of, r) {
		return nil
	}
	if last, ok := d.last[of]; ok && r.Op != last+1 {
		d.ring.tb.Errorf("operation %d follows %d", r.Op, last)
	}
	d.last[of] = r.Op
	if want := mesh.Partition(string(r.Namespace)); r.Partition != want || r.PartitionEpoch != 1 {
		d.ring.tb.Errorf("partition %d epoch %d, want %d epoch 1", r.Partition, r.PartitionEpoch, want)
	}
	if err := d.apply(from, r); err != nil {
		return err
	}
	d.told.mu.Lock() // only now: it may be confirmed at once
	defer d.told.mu.Unlock()
	d.told.owed.add(from, r.Partition, r.Op)
	d.told.taken++
	return nil
}

// apply applies an operation.
func (d *roomsDouble) apply(from mesh.Address, r *wire.Record) error {
	d.ring.mu.Lock()
	defer d.ring.mu.Unlock()
	switch r.Kind {
	case wire.KindBroadcast:
		return d.ring.broadcast(r)
	case wire.KindJoinAll, wire.KindLeaveAll, wire.KindCloseAll:
		return d.ring.toAll(r)
	case wire.KindAsk:
		return d.ask(from, r)
	case wire.KindWatchRooms:
		d.ring.watched[string(r.Namespace)] = len(r.Body) > 0
		return nil
	default:
	}
	c := d.ring.clients[r.Socket]
	if c == nil {
		return nil
	}
	return c.apply(r)
}

// loses reports whether r is to be lost.
func (d *roomsDouble) loses(of stream, r *wire.Record) bool {
	d.ring.mu.Lock()
	defer d.ring.mu.Unlock()
	if d.ring.lose {
		d.last[of] = r.Op
	}
	return d.ring.lose
}

func (d *roomsDouble) query(m bus.Msg) {
	var q siomeshv1.RoomsRequest
	if err := proto.Unmarshal(m.Data, &q); err != nil {
		d.ring.tb.Errorf("query: %v", err)
	}
	reply := d.answer(&q)
	if q.GetNamespace() == "/unanswerable" {
		reply.Error = &siomeshv1.Error{Code: "timeout", Message: "operation not seen"}
	}
	data, err := proto.Marshal(reply)
	if err == nil {
		err = d.ring.b.Respond(m, data)
	}
	if err != nil {
		d.ring.tb.Errorf("answer: %v", err)
	}
}

// answer answers a query.
func (d *roomsDouble) answer(q *siomeshv1.RoomsRequest) *siomeshv1.RoomsReply {
	reply := &siomeshv1.RoomsReply{}
	d.ring.mu.Lock()
	defer d.ring.mu.Unlock()
	count := func(rooms, except []string) (n uint64) {
		for _, c := range d.ring.clients {
			if c.selected(q.GetNamespace(), rooms, except) {
				n++
			}
		}
		return n
	}
	switch {
	case q.GetCounts() != nil:
		for _, room := range q.GetCounts().GetRooms() {
			reply.Counts = append(reply.Counts, count([]string{string(room)}, nil))
		}
	case q.GetEdges() != nil:
		if count(textsOf(q.GetEdges().GetRooms()), nil) > 0 {
			reply.Edges = append(reply.Edges, d.ring.edge.Self().Instance.String())
		}
		reply.Edges = append(reply.Edges, d.ring.edges...)
	default:
		reply.Count = count(textsOf(q.GetCount().GetRooms()), textsOf(q.GetCount().GetExcept()))
	}
	return reply
}

func (r *ring) broadcast(rec *wire.Record) error {
	s, rest, err := wire.ParseSelector(rec.Body)
	if err != nil {
		return err
	}
	for _, c := range r.clients {
		if c.selected(string(rec.Namespace), s.Rooms, s.Except) {
			c.put(rec, rest)
			if c.watched {
				c.send(wire.Record{Kind: wire.KindCopy, Body: rest}, nil)
			}
		}
	}
	return nil
}

// serverFor returns a Server on the ring's bus that is not running, and the errors it reports.
func (r *ring) serverFor(tune ...func(*Config)) (*Server, chan error) {
	r.tb.Helper()
	return r.serverWith(link.Config{}, tune...)
}

// serverWith is serverFor with other links.
func (r *ring) serverWith(links link.Config, tune ...func(*Config)) (*Server, chan error) {
	r.tb.Helper()
	cfg := Config{App: "test", Log: slog.New(slog.DiscardHandler)}
	for _, f := range tune {
		f(&cfg)
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		r.tb.Fatal(err)
	}
	self := mesh.Address{Kind: mesh.KindApp, App: cfg.App, Instance: mesh.NewInstanceID()}
	s := newServer(cfg, mesh.Subjects{}, self, r.b, func() {}, r.alive, links)
	if err := s.start(r.tb.Context()); err != nil {
		r.tb.Fatal(err)
	}
	failures := make(chan error, 64)
	s.OnError(func(err error) {
		select {
		case failures <- err:
		default:
			r.tb.Errorf("too many errors: %v", err)
		}
	})
	r.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			r.tb.Logf("close: %v", err)
		}
	})
	return s, failures
}

// run runs s in the background; the returned channel gives what Run returns.
func run(tb testing.TB, s *Server) (end context.CancelFunc, result <-chan error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	c := make(chan error, 1)
	go func() { c <- s.Run(ctx) }() // serverFor's cleanup waits, by Close
	eventually(tb, "running", func() bool { return phase(s.state.Load()) == running })
	return cancel, c
}

func text(tb testing.TB, v any) string {
	tb.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}
