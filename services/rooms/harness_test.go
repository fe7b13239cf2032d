package rooms

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// world is a mesh inside a bubble of testing/synctest: a rooms service and doubles of apps and edges.
type world struct {
	tb    testing.TB
	bus   bus.Bus
	rooms *Service
	m     *Metrics
	stop  func() error // ends rooms
}

// newWorld starts rooms and waits until it owns the partitions.
func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	m := bus.NewMemory()
	tb.Cleanup(m.Close)
	w := &world{tb: tb, bus: m, m: &Metrics{}}
	cfg.Metrics = w.m
	w.rooms = New(w.bus, mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg)
	w.stop = runs(tb, w.rooms.Run)
	<-w.rooms.Ready()
	return w
}

// runs starts run and returns what ends it; at the latest the end of the test does.
func runs(tb testing.TB, run func(context.Context) error) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }() // stop waits
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	tb.Cleanup(func() {
		if err := stop(); err != nil && !errors.Is(err, bus.ErrClosed) && !errors.Is(err, errAnother) {
			tb.Errorf("run: %v", err)
		}
	})
	return stop
}

// double is an app or an edge: an endpoint and a heartbeat, which keeps the records it gets.
type double struct {
	w     *world
	tb    testing.TB
	wires *flaky
	addr  mesh.Address
	links *link.Endpoint
	peers *presence.Peers
	stop  func()

	mu     sync.Mutex
	got    []wire.Record // guarded by mu
	opened int           // guarded by mu
	refuse error         // guarded by mu: what Record returns
	ops    [mesh.Partitions]uint64
}

func (w *world) double(addr mesh.Address) *double {
	w.tb.Helper()
	d := w.mute(addr)
	stopLinks, stopPeers := d.stop, runs(w.tb, d.peers.Run)
	d.stop = func() { _ = stopPeers(); stopLinks() }
	<-d.peers.Heard()
	synctest.Wait()
	return d
}

// mute is a double of which no heartbeat comes.
func (w *world) mute(addr mesh.Address) *double {
	w.tb.Helper()
	b := &flaky{Bus: w.bus}
	d := &double{w: w, tb: w.tb, addr: addr, wires: b}
	log := slog.New(slog.DiscardHandler)
	d.peers = presence.New(b, mesh.Subjects{}, addr, func(*siomeshv1.Presence) {}, log, presence.Config{})
	d.links = link.NewEndpoint(b, mesh.Subjects{}, addr, d, log, link.Config{Healthy: d.peers.Fresh})
	stopLinks := runs(w.tb, d.links.Run)
	d.stop = func() { _ = stopLinks() }
	<-d.links.Ready()
	return d
}

func (w *world) app() *double {
	w.tb.Helper()
	return w.double(newApp())
}

func newApp() mesh.Address {
	return mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
}

// edge starts an edge and registers it.
func (w *world) edge() *double {
	w.tb.Helper()
	d := w.double(mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()})
	d.expect(wire.KindHello).lease(d.tb, 0)
	d.send(&wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: 1})
	d.expect(wire.KindHello).lease(d.tb, 1)
	return d
}

func (d *double) Record(_ mesh.Address, r *wire.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := *r
	c.Namespace, c.Body, c.ID = bytes.Clone(r.Namespace), bytes.Clone(r.Body), bytes.Clone(r.ID)
	d.got = append(d.got, c)
	return d.refuse
}

func (d *double) EndFrame() {}

func (d *double) Opened(mesh.Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
}

// hold makes the double mark nothing until the returned function is called.
func (d *double) hold() (release func()) {
	d.wires.mute.Store(true)
	return func() { d.wires.mute.Store(false) }
}

// send appends records to rooms and flushes.
func (d *double) send(records ...*wire.Record) {
	d.tb.Helper()
	l := d.links.Link(d.w.rooms.self)
	for _, r := range records {
		if _, err := l.Append(r); err != nil {
			d.tb.Fatalf("append kind %d: %v", r.Kind, err)
		}
	}
	l.Flush()
	d.w.pass(10 * time.Millisecond)
}

// op sends an operation in the namespace /, or in the record's own, under the next number.
func (d *double) op(records ...*wire.Record) {
	d.tb.Helper()
	for _, r := range records {
		if r.Namespace == nil {
			r.Namespace = []byte("/")
		}
		r.Partition = mesh.Partition(string(r.Namespace))
		d.ops[r.Partition]++
		r.Op = d.ops[r.Partition]
	}
	d.send(records...)
}

// pass lets time pass, and then everything settle.
func (w *world) pass(t time.Duration) {
	<-time.After(t)
	synctest.Wait()
}

// records takes what has come.
func (d *double) records() []wire.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	got := d.got
	d.got = nil
	return got
}

// expect takes what has come, which must be of the given kinds, and returns it.
func (d *double) expect(kinds ...wire.Kind) got {
	d.tb.Helper()
	g := got(d.records())
	if len(g) != len(kinds) {
		d.tb.Fatalf("records: got %v, want %v", g.kinds(), kinds)
	}
	for i, k := range kinds {
		if g[i].Kind != k {
			d.tb.Fatalf("records: got %v, want %v", g.kinds(), kinds)
		}
	}
	return g
}

type got []wire.Record

func (g got) kinds() []wire.Kind {
	kinds := make([]wire.Kind, len(g))
	for i := range g {
		kinds[i] = g[i].Kind
	}
	return kinds
}

func (g got) lease(tb testing.TB, want uint64) {
	tb.Helper()
	if last := g[len(g)-1]; last.Lease != want {
		tb.Errorf("lease: got %d, want %d", last.Lease, want)
	}
}

// confirmed returns the operation that the last confirmation names.
func (g got) confirmed() uint64 {
	for i := len(g) - 1; i >= 0; i-- {
		if g[i].Kind == wire.KindConfirm {
			return g[i].Op
		}
	}
	return 0
}

func (d *double) socket(slot uint32) wire.SocketAddr {
	return wire.SocketAddr{Edge: d.addr.Instance, Slot: slot, Generation: 1}
}

func accept(tb testing.TB, at wire.SocketAddr, id string, rooms ...string) *wire.Record {
	tb.Helper()
	body, err := proto.Marshal(&siomeshv1.Accept{SocketId: id, Rooms: rooms})
	if err != nil {
		tb.Fatal(err)
	}
	return &wire.Record{Kind: wire.KindAccept, Socket: at, Epoch: 1, Body: body}
}

func join(at wire.SocketAddr, rooms ...string) *wire.Record {
	return &wire.Record{Kind: wire.KindJoin, Socket: at, Epoch: 1, Body: wire.AppendStrings(nil, rooms)}
}

func broadcast(rooms ...string) *wire.Record {
	body := wire.AppendPacket(wire.AppendSelector(nil, wire.Selector{Rooms: rooms}), wire.Packet{JSON: []byte(`["e"]`)})
	return &wire.Record{Kind: wire.KindBroadcast, Body: body}
}

// count asks rooms for a count behind operation op of this app.
func (d *double) count(op uint64, rooms ...string) (uint64, string) {
	d.tb.Helper()
	query := &siomeshv1.CountQuery{}
	for _, room := range rooms {
		query.Rooms = append(query.Rooms, []byte(room))
	}
	q := &siomeshv1.RoomsRequest{
		Namespace: "/", Instance: d.addr.Instance.String(), Operation: op, Query: &siomeshv1.RoomsRequest_Count{Count: query},
	}
	reply := d.w.ask(q)
	return reply.GetCount(), reply.GetError().GetCode()
}

func (w *world) ask(q *siomeshv1.RoomsRequest) *siomeshv1.RoomsReply {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data, err := proto.Marshal(q)
	if err != nil {
		w.tb.Fatal(err)
	}
	answer, err := w.bus.Request(ctx, mesh.Subjects{}.RPC(w.rooms.self), data)
	if err != nil {
		w.tb.Fatalf("request: %v", err)
	}
	var reply siomeshv1.RoomsReply
	if err := proto.Unmarshal(answer, &reply); err != nil {
		w.tb.Fatalf("reply: %v", err)
	}
	return &reply
}

// flaky is a bus that loses what its process sends while it is off, and all but presence while it is mute.
type flaky struct {
	bus.Bus
	off, mute atomic.Bool
}

func (f *flaky) Publish(subject string, data []byte) error {
	if f.off.Load() {
		return nil
	}
	return f.Bus.Publish(subject, data)
}

func (f *flaky) Send(subject, reply string, data []byte) error {
	if f.off.Load() || f.mute.Load() {
		return nil
	}
	return f.Bus.Send(subject, reply, data)
}
