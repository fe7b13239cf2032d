package socketio

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// sink is rooms at its cheapest: it counts acknowledgements, tells credit, and confirms.
type sink struct {
	ep   *link.Endpoint
	from mesh.Address
	last uint64
	acks atomic.Int64
	ack  func(wire.SocketAddr)
}

func (k *sink) Opened(mesh.Address) {}

func (k *sink) Record(from mesh.Address, r *wire.Record) error {
	k.from, k.last = from, r.Op
	if r.Kind == wire.KindAck {
		k.acks.Add(1)
		k.ack(r.Socket)
	}
	return nil
}

func (k *sink) EndFrame() {
	l := k.ep.Link(k.from)
	_, _ = l.Append(&wire.Record{Kind: wire.KindConfirm, Flags: wire.FlagControl, Partition: mesh.Partition("/"), Op: k.last})
	l.Flush()
}

// BenchmarkEcho is one event and its acknowledgement through the SDK, links and the bus in memory; many sockets with eight
// events in flight each.
func BenchmarkEcho(b *testing.B) {
	const sockets, inFlight = 50, 8
	r := newRing(b)
	k := &sink{}
	self := mesh.Address{Kind: mesh.KindRooms, Instance: mesh.NewInstanceID()}
	k.ep = link.NewEndpoint(r.b, mesh.Subjects{}, self, k, slog.New(slog.DiscardHandler), link.Config{})
	peers := presence.New(r.b, mesh.Subjects{}, self, func(p *siomeshv1.Presence) {
		p.Partitions = []*siomeshv1.Partition{{Number: uint32(mesh.Partition("/")), Epoch: 1}}
	}, slog.New(slog.DiscardHandler), fast())
	background(b, k.ep.Run)
	background(b, peers.Run)
	s, _ := r.serverFor()
	joined := make(chan struct{}, sockets)
	_ = s.OnConnection(func(s *Socket) {
		s.On("echo", func(_ context.Context, e *Event) error {
			var text string
			if err := e.Bind(&text); err != nil {
				return err
			}
			return e.Ack(text)
		})
		joined <- struct{}{}
	})
	run(b, s)
	clients := map[wire.SocketAddr]*client{}
	for range sockets {
		c := r.knock(s, "/")
		clients[c.addr] = c
		receive(b, "a socket", joined)
	}
	body, err := newEncoder().event(nil, "echo", []any{"sixty-four bytes of text, more or less, as in the load generator"})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	sent := atomic.Int64{}
	emit := func(c *client) {
		if sent.Add(1) <= int64(b.N) {
			c.lock(func() { c.send(wire.Record{Kind: wire.KindEvent, ID: []byte("7"), Body: body}, nil) })
		}
	}
	k.ack = func(addr wire.SocketAddr) {
		if k.acks.Load() == int64(b.N) {
			close(done)
		}
		emit(clients[addr])
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, c := range clients {
		for range inFlight {
			emit(c)
		}
	}
	receive(b, "the end", done)
	b.ReportMetric(float64(s.links.FramesSent.Load())/float64(b.N), "frames/op")
}

func BenchmarkEncode(b *testing.B) {
	c := newEncoder()
	buf := make([]byte, 0, 1024)
	value := map[string]any{"id": 7, "text": "hello", "tags": []any{"a", "b"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.event(buf, "said", []any{"id0001", value}); err != nil {
			b.Fatal(err)
		}
	}
}
