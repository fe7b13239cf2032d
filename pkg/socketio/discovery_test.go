package socketio

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestDiscoveredAtOnce: who comes asks who is there, and need not wait for the next heartbeats.
func TestDiscoveredAtOnce(t *testing.T) {
	r := newRing(t)
	r.alive = presence.Config{Interval: time.Minute / 5, DeadAfter: time.Hour, ProbeTimeout: time.Hour, Settle: 10 * time.Millisecond}
	r.startRooms() // its second heartbeat comes in 12 s; it answers who asks 0.5 s after the first
	s, _ := r.serverWith(link.Config{}, func(c *Config) { c.EmitTimeout = r.alive.Interval / 2 })
	if err := errors.Join(s.Emit("e"), flushAll(t, s)); err != nil { // CLU-023
		t.Error(err)
	}
}

// TestIgnored: what says of itself that it may be ignored is, and what concerns other namespaces is not heard in this one.
func TestIgnored(t *testing.T) {
	r, s, failures, sockets := serve(t, nothing)
	heard := make(chan string, 4)
	for _, name := range []string{"/", "/other"} {
		s.Of(name).OnServerSide("e", func(context.Context, *ServerEvent) error { heard <- name; return nil })
	}
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	body, err := newEncoder().event(nil, "e", nil)
	if err != nil {
		t.Fatal(err)
	}
	const unknownKind wire.Kind = 39 // reserved
	other := mesh.NewInstanceID()
	fromRooms := []wire.Record{
		{Kind: unknownKind, Flags: wire.FlagSkippable}, // of an unknown type
		{Kind: wire.KindServerEvent, Namespace: []byte("/stranger"), Origin: other, Body: body},
		{Kind: wire.KindServerEvent, Namespace: []byte("/other"), Origin: other, Body: body},
	}
	l := r.toApp(s)
	for _, record := range fromRooms {
		if _, err := l.Append(&record); err != nil {
			t.Fatal(err)
		}
	}
	l.Flush()
	c.lock(func() {
		edge := r.edge.Link(s.self)
		if _, err := edge.Append(&wire.Record{Kind: unknownKind, Flags: wire.FlagSkippable, Socket: c.addr}); err != nil {
			t.Error(err)
		}
		edge.Flush()
	})
	if got := receive(t, "the event", heard); got != "/other" { // CLU-026
		t.Errorf("%s heard of it", got)
	}
	if err := errors.Join(socket.Emit("still"), flushAll(t, s)); err != nil {
		t.Error(err)
	}
	c.expect(wire.KindEmit) // CLU-026: the links go on
	c.emit("1", "e")
	eventually(t, "it is handled", c.credited)
	if len(heard)+len(failures) > 0 || !socket.Connected() || l.Broken() != nil {
		t.Errorf("heard %d more, %d errors, connected %v, %v", len(heard), len(failures), socket.Connected(), l.Broken())
	}
}
