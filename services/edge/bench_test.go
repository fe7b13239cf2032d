package edge

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gobwas/ws"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// quietBus is a bus that carries nothing.
type quietBus struct{ bus.Bus }

func (quietBus) Send(string, string, []byte) error { return nil }

// bench is an edge that does not run, with one joined client per call of join, and an app instance that takes everything.
type bench struct {
	tb  testing.TB
	s   *Service
	app *appInstance
	url string
}

func newBench(tb testing.TB, b bus.Bus) *bench {
	tb.Helper()
	return newBenchOn(tb, b, func(ln net.Listener) net.Listener { return ln })
}

// newBenchOn is newBench with a listener that wrap has seen.
func newBenchOn(tb testing.TB, b bus.Bus, wrap func(net.Listener) net.Listener) *bench {
	tb.Helper()
	s, err := New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
	if err != nil {
		tb.Fatal(err)
	}
	at := mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
	s.apps.update(presence.Peer{Address: at, Info: &siomeshv1.Presence{}})
	s.running.Store(true)
	hs := httptest.NewUnstartedServer(s)
	hs.Listener = wrap(hs.Listener)
	hs.Start()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.engine.Close(ctx); err != nil {
			tb.Errorf("close: %v", err)
		}
		hs.Close()
	})
	return &bench{tb: tb, s: s, app: s.apps.instances[at.Instance].instance, url: "ws" + hs.URL[4:]}
}

// join makes a client that reads and throws away, joined to the namespace /.
func (e *bench) join() (*socket, net.Conn) {
	e.tb.Helper()
	before := e.s.guests.waiting.last
	conn, _, _, err := ws.Dial(e.tb.Context(), e.url+"/socket.io/?EIO=4&transport=websocket")
	if err != nil {
		e.tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the connection, which the clean-up closes and waits for
		defer close(ended)
		buf := make([]byte, 64<<10)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	e.tb.Cleanup(func() {
		_ = conn.Close()
		<-ended
	})
	c := before
	eventually(e.tb, "a client", func() bool {
		c = e.s.guests.waiting.last
		return c != before && c.session.Transport() != ""
	})
	sk := &socket{
		conn: c, namespace: []byte("/"), id: newSocketID(), state: joined, app: e.app, epoch: 1, cancel: func() {},
	}
	e.s.table.add(sk)
	c.sockets = append(c.sockets, sk)
	e.s.index.add(sk)
	return sk, conn
}

// BenchmarkEvent measures an event on its way in, from the engine's message to the app's link.
func BenchmarkEvent(b *testing.B) {
	e := newBench(b, quietBus{bus.NewMemory()})
	sk, _ := e.join()
	c := sk.conn
	message := []byte(`2["message","a text of about the length that people write"]`)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Message(message, false)
		if i%16 == 15 {
			c.EndBatch()
			sk.flow.release(sk.flow.seq)
		}
		if i%30_000 == 29_999 { // nobody marks: begin another link before it is full
			b.StopTimer()
			e.s.links.Drop(e.app.addr.Instance)
			e.app.link = e.s.links.Link(e.app.addr)
			b.StartTimer()
		}
	}
	if n := len(sk.flow.held); n != 0 {
		b.Fatalf("%d events held", n)
	}
}

// BenchmarkEmit measures an emit on its way out, from the record to the client's connection, 16 to a frame.
func BenchmarkEmit(b *testing.B) {
	e := newBench(b, quietBus{bus.NewMemory()})
	sk, _ := e.join()
	r := emit(0, `["message","a text of about the length that people write"]`)
	r.Socket, r.Epoch, r.Origin, r.Namespace = sk.addr, 1, e.app.addr.Instance, sk.namespace
	e.out(b, r)
}

// BenchmarkBroadcast measures a broadcast to 100 clients, per broadcast.
func BenchmarkBroadcast(b *testing.B) {
	e := newBench(b, quietBus{bus.NewMemory()})
	for range 100 {
		e.join()
	}
	r := broadcast(0, wire.Selector{}, `["message","a text of about the length that people write"]`)
	r.Origin, r.Namespace = e.app.addr.Instance, []byte("/")
	e.out(b, r)
}

func (e *bench) out(b *testing.B, r *wire.Record) {
	b.Helper()
	from := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := e.s.Record(from, r); err != nil {
			b.Fatal(err)
		}
		if i%16 == 15 {
			e.s.EndFrame()
		}
	}
	if n := e.s.engine.ClientsCount(); n == 0 {
		b.Fatal("the client was too slow")
	}
}
