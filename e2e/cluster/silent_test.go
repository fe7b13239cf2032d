package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// severing returns settings in which the bus of one service can be cut.
func severing(t *testing.T, who string) (settings, *severable) {
	t.Helper()
	b := bus.NewMemory()
	t.Cleanup(b.Close)
	s := &severable{Bus: b}
	return settings{
		connect: func(name string) bus.Bus {
			if name == who {
				return s
			}
			return b
		},
		app: func(c *socketio.Config) { c.DrainTimeout = time.Second },
	}, s
}

// TestSilentInstance: one that falls silent is waited for until it counts as dead, and no longer.
func TestSilentInstance(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			set, link := severing(t, map[int]string{1: "app 1", 2: "app 2"}[shape.apps]) // the newcomer below
			set.deadAfter = 2 * time.Second
			setup := func(io *socketio.Server) {
				_ = io.OnConnection(func(*socketio.Socket) {})
				io.OnServerSide("who?", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack("me") })
			}
			c := newClusterWith(t, set, shape.edges, shape.apps, setup)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			others := func(io *socketio.Server) int {
				replies, err := io.ServerSideEmitWithAck(ctx, "who?")
				if err != nil {
					t.Fatal(err)
				}
				return len(replies)
			}
			old := c.apps[0]
			c.acquaint("who?")
			newcomer := c.startApp(setup)
			if n := others(newcomer); n != shape.apps { // CLU-023: it knows them all from the beginning
				t.Errorf("the newcomer knows %d others, want %d", n, shape.apps)
			}
			eventually(t, "it is known", func() bool { return others(old) == shape.apps }) // CLU-023
			var its, rest []*client
			for len(its) == 0 || len(rest) == 0 { // CLU-023: it is given clients
				k := c.join("/")
				if slices.ContainsFunc(newcomer.Sockets(), func(s *socketio.Socket) bool { return s.ID() == k.id }) {
					its = append(its, k)
				} else {
					rest = append(rest, k)
				}
			}
			link.cut.Store(true)
			defer link.cut.Store(false)
			if n := others(old); n != shape.apps-1 { // CLU-024: the request ends when it is removed, and without an error
				t.Errorf("%d others are left, want %d", n, shape.apps-1)
			}
			for _, k := range its { // CLU-024: for the edges too
				k.expect("closed")
			}
			eventually(t, "its sockets are forgotten", func() bool { n, err := old.Count(ctx); return n == len(rest) && err == nil })
			k := c.join("/") // at an instance that is alive
			if err := old.Emit("all"); err != nil {
				t.Error(err)
			}
			for _, k := range append(rest, k) {
				k.expect(`42["all"]`)
			}
		})
	}
}

// TestSilentEdge: an edge that falls silent owes an answer until the time is over or it counts as dead, whichever comes first.
func TestSilentEdge(t *testing.T) {
	t.Parallel() // it waits most of the time
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			t.Parallel()
			set, link := severing(t, "edge 0")
			set.deadAfter = 6 * time.Second // longer than all instances together wait for it below
			c := newClusterWith(t, set, shape.edges, shape.apps, func(io *socketio.Server) { _ = io.OnConnection(func(*socketio.Socket) {}) })
			var there []string // on the other edges
			for range 6 {
				if k := c.join("/"); c.urls[c.turns%len(c.urls)] != c.urls[0] {
					there = append(there, k.id)
				}
			}
			slices.Sort(there)
			for _, io := range c.apps {
				if err := io.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			link.cut.Store(true)
			defer link.cut.Store(false)
			for _, io := range c.apps {
				got, err := io.Timeout(time.Second).FetchSockets(t.Context())
				if !errors.Is(err, socketio.ErrTimeout) { // CLU-027: long before the 5 s of Config.EmitTimeout, and before it is dead
					t.Errorf("got %v, %v", idsOf(got), err)
				}
				// Unless this instance itself had said something to the edge that is not confirmed, or another edge was too slow as well.
				silent, _ := err.(interface{ Unwrap() []error })                                    // one for each edge
				if silent != nil && len(silent.Unwrap()) == 1 && !slices.Equal(idsOf(got), there) { // CLU-027, with what there is
					t.Errorf("got %v, %v, want %v", idsOf(got), err, there)
				}
			}
			for _, io := range c.apps {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				got, err := io.FetchSockets(ctx)
				cancel()
				if err != nil || !slices.Equal(idsOf(got), there) { // CLU-024: it is removed, and the request ends
					t.Errorf("got %v, %v, want %v", idsOf(got), err, there)
				}
			}
		})
	}
}

// TestNoRoomsAnywhere: without rooms nobody gets what others could not, and no call says otherwise.
func TestNoRoomsAnywhere(t *testing.T) {
	t.Parallel() // it waits most of the time
	playWith(t, settings{app: func(c *socketio.Config) { c.EmitTimeout = 2 * time.Second }}, nil,
		func(t *testing.T, c *cluster, clients []*client, _ []string) {
			c.stopRooms()
			for _, io := range c.apps { // what was sent before they knew is lost, and OnError tells
				eventually(t, "a call fails", func() bool { return errors.Is(io.Emit("nobody"), socketio.ErrNoRooms) }) // CLU-005
			}
			for _, k := range clients {
				k.expect("closed") // CLU-005: and no event before
			}
		})
}
