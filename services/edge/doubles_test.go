package edge

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// double is an instance with an endpoint and a heartbeat, which keeps the records it gets.
type double struct {
	w     *world
	tb    testing.TB
	addr  mesh.Address
	links *link.Endpoint
	peers *presence.Peers
	stop  func()

	mu     sync.Mutex
	got    []wire.Record             // guarded by mu
	opened int                       // guarded by mu
	refuse error                     // guarded by mu: what Record returns
	each   func(r *wire.Record)      // guarded by mu: called for each record
	info   func(*siomeshv1.Presence) // guarded by mu: what it announces
}

func (w *world) double(b bus.Bus, addr mesh.Address, info func(*siomeshv1.Presence), each func(*wire.Record)) *double {
	w.tb.Helper()
	d := &double{w: w, tb: w.tb, addr: addr, each: each, info: info}
	log := slog.New(slog.DiscardHandler)
	d.peers = presence.New(b, mesh.Subjects{}, addr, d.describe, log, presence.Config{})
	d.links = link.NewEndpoint(b, mesh.Subjects{}, addr, d, log, link.Config{Healthy: d.peers.Fresh})
	stopLinks, stopPeers := runs(w.tb, d.links.Run), runs(w.tb, d.peers.Run)
	d.stop = func() { _, _ = stopPeers(), stopLinks() }
	<-d.links.Ready()
	<-d.peers.Heard()
	synctest.Wait()
	return d
}

func (d *double) describe(p *siomeshv1.Presence) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.info(p)
}

// announce changes what the instance says of itself.
func (d *double) announce(info func(*siomeshv1.Presence)) {
	d.mu.Lock()
	d.info = info
	d.mu.Unlock()
	d.peers.Announce()
	d.w.settle()
}

func (d *double) Record(_ mesh.Address, r *wire.Record) error {
	c := *r
	c.Namespace, c.Body, c.ID = bytes.Clone(r.Namespace), bytes.Clone(r.Body), bytes.Clone(r.ID)
	d.mu.Lock()
	d.got = append(d.got, c)
	each, err := d.each, d.refuse
	d.mu.Unlock()
	if each != nil && err == nil {
		each(&c)
	}
	return err
}

func (d *double) EndFrame() {}

func (d *double) Opened(mesh.Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
}

func (d *double) refusing(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = err
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
func (d *double) expect(kinds ...wire.Kind) []wire.Record {
	d.tb.Helper()
	got := d.records()
	var have []wire.Kind
	for _, r := range got {
		have = append(have, r.Kind)
	}
	if len(have) != len(kinds) {
		d.tb.Fatalf("records: got kinds %d, want %d", have, kinds)
	}
	for i, k := range kinds {
		if have[i] != k {
			d.tb.Fatalf("records: got kinds %d, want %d", have, kinds)
		}
	}
	return got
}

func (d *double) append(to mesh.Address, records ...*wire.Record) {
	l := d.links.Link(to)
	for _, r := range records {
		if _, err := l.Append(r); err != nil {
			d.tb.Errorf("append kind %d: %v", r.Kind, err)
		}
	}
	l.Flush()
}

// ring stands for rooms: it greets edges and passes operations on.
type ring struct {
	*double
	silent bool // does not greet; set before it matters
}

// newRing starts a ring, which the operations of apps go through from now on.
func (w *world) newRing(epoch uint64) {
	w.tb.Helper()
	g := &ring{}
	greet := func(r *wire.Record) {
		if r.Kind == wire.KindHello && !g.silent {
			g.append(w.edge.Self(), &wire.Record{Kind: wire.KindHello, Flags: wire.FlagControl, Lease: r.Lease})
		}
	}
	info := func(p *siomeshv1.Presence) {
		for n := range uint32(mesh.Partitions) {
			p.Partitions = append(p.Partitions, &siomeshv1.Partition{Number: n, Epoch: epoch})
		}
	}
	addr := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
	g.double = w.double(w.bus, addr, func(*siomeshv1.Presence) {}, greet)
	w.ring = g
	g.announce(info)
	w.settle()
}

// gone takes the records that came, which must all be of sockets that are gone, and counts them.
func (g *ring) gone() (n int) {
	g.tb.Helper()
	for _, r := range g.records() {
		switch r.Kind {
		case wire.KindGone:
			n++
		case wire.KindHello:
		default:
			g.tb.Errorf("rooms got kind %d", r.Kind)
		}
	}
	return n
}

// app is a double of an app instance that accepts every socket, unless told otherwise.
type app struct {
	*double
	mu      sync.Mutex
	sockets []wire.Record // the connect records; guarded by mu
}

// newApp starts an app that serves namespaces.
func (w *world) newApp(accepts bool, namespaces ...string) *app {
	w.tb.Helper()
	return w.appOn(w.bus, accepts, namespaces...)
}

func (w *world) appOn(b bus.Bus, accepts bool, namespaces ...string) *app {
	w.tb.Helper()
	a := &app{}
	info := func(p *siomeshv1.Presence) {
		for _, n := range namespaces {
			p.Namespaces = append(p.Namespaces, &siomeshv1.Namespace{Match: &siomeshv1.Namespace_Name{Name: n}})
		}
	}
	addr := mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
	a.double = w.double(b, addr, func(*siomeshv1.Presence) {}, func(r *wire.Record) {
		if r.Kind != wire.KindConnect {
			return
		}
		a.mu.Lock()
		a.sockets = append(a.sockets, *r)
		a.mu.Unlock()
		if accepts {
			a.accept(r)
		}
	})
	a.announce(info)
	return a
}

// connect returns the connect record that came last, and its body.
func (a *app) connect() (*wire.Record, *siomeshv1.Connect) {
	a.tb.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sockets) == 0 {
		a.tb.Fatal("no connect record came")
	}
	r := a.sockets[len(a.sockets)-1]
	var c siomeshv1.Connect
	if err := proto.Unmarshal(r.Body, &c); err != nil {
		a.tb.Fatalf("connect: %v", err)
	}
	return &r, &c
}

// accept accepts the socket of a connect record.
func (a *app) accept(r *wire.Record) {
	var c siomeshv1.Connect
	if err := proto.Unmarshal(r.Body, &c); err != nil {
		a.tb.Errorf("connect: %v", err)
	}
	body, err := proto.Marshal(&siomeshv1.Accept{SocketId: c.GetSocketId(), Rooms: c.GetRooms()})
	if err != nil {
		a.tb.Error(err)
	}
	a.op(r, &wire.Record{Kind: wire.KindAccept, Body: body})
}

// op sends operations of this app on the socket of a connect record round the ring.
func (a *app) op(of *wire.Record, operations ...*wire.Record) {
	for _, r := range operations {
		r.Namespace, r.Origin = of.Namespace, a.addr.Instance
		if r.Kind != wire.KindBroadcast {
			r.Socket, r.Epoch = of.Socket, of.Epoch
		}
	}
	a.w.ring.append(a.w.edge.Self(), operations...)
}

// do is op that waits until it is done.
func (a *app) do(of *wire.Record, operations ...*wire.Record) {
	a.op(of, operations...)
	a.w.settle()
}

// emit returns an operation that emits; request is that for an acknowledgement, or 0.
func emit(request uint64, json string, attachments ...string) *wire.Record {
	return &wire.Record{Kind: wire.KindEmit, Ack: request, Body: packet(json, attachments...)}
}

func packet(json string, attachments ...string) []byte {
	p := wire.Packet{JSON: []byte(json)}
	for _, a := range attachments {
		p.Attachments = append(p.Attachments, []byte(a))
	}
	return wire.AppendPacket(nil, p)
}

// handled reports packets as handled.
func handled(seq uint64) *wire.Record { return &wire.Record{Kind: wire.KindHandled, Handled: seq} }

func broadcast(flags wire.Flags, s wire.Selector, json string, attachments ...string) *wire.Record {
	return &wire.Record{
		Kind: wire.KindBroadcast, Flags: flags, Body: append(wire.AppendSelector(nil, s), packet(json, attachments...)...),
	}
}

// disconnect returns what a disconnect record says.
func disconnect(tb testing.TB, r *wire.Record) *siomeshv1.Disconnect {
	tb.Helper()
	var d siomeshv1.Disconnect
	if err := proto.Unmarshal(r.Body, &d); err != nil || r.Kind != wire.KindDisconnect {
		tb.Fatalf("kind %d is no disconnect: %v", r.Kind, err)
	}
	return &d
}

func refuse(tb testing.TB, message, data string) *wire.Record {
	tb.Helper()
	body, err := proto.Marshal(&siomeshv1.Refuse{Message: message, Data: []byte(data)})
	if err != nil {
		tb.Fatal(err)
	}
	return &wire.Record{Kind: wire.KindRefuse, Body: body}
}
