// Package cluster_test plays with whole meshes of several edges and several instances of an application in one process, by raw
// clients: what the SDK promises holds wherever the sockets are.
package cluster_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/auth"
	"github.com/siomesh/siomesh/services/edge"
	"github.com/siomesh/siomesh/services/rooms"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// shapes are the meshes that every scenario plays on.
var shapes = []struct {
	name        string
	edges, apps int
}{{"one of each", 1, 1}, {"3 edges, 2 apps", 3, 2}}

// cluster is a mesh.
type cluster struct {
	tb        testing.TB
	set       settings
	log       *slog.Logger
	bus       bus.Bus
	urls      []string           // of the edges
	apps      []*socketio.Server // instances of one application, running
	turns     int
	ends      []func() // what ends a service or a port, in the order of their beginnings
	stopRooms func()
	setup     func(io *socketio.Server) // registers the handlers of an instance
}

// settings change what a mesh consists of; the zero value changes nothing.
type settings struct {
	connect   func(who string) bus.Bus         // the bus of each service, such as "edge 0"; one in memory for all if nil
	edge      func(number int, c *edge.Config) // beside what newClusterWith sets
	app       func(c *socketio.Config)
	deadAfter time.Duration // as edges and rooms see it; patience if 0: nobody dies without a goodbye, however busy the machine is
}

// newCluster starts a mesh; setup registers the handlers of each instance.
func newCluster(t *testing.T, edges, apps int, setup func(io *socketio.Server)) *cluster {
	t.Helper()
	return newClusterWith(t, settings{}, edges, apps, setup)
}

// newClusterWith is newCluster with settings.
func newClusterWith(t *testing.T, set settings, edges, apps int, setup func(io *socketio.Server)) *cluster {
	t.Helper()
	if set.connect == nil {
		b := bus.NewMemory()
		t.Cleanup(b.Close)
		set.connect = func(string) bus.Bus { return b }
	}
	c := &cluster{tb: t, set: set, log: slog.New(slog.DiscardHandler), bus: set.connect("test"), setup: setup}
	alive := presence.Config{DeadAfter: cmp.Or(set.deadAfter, patience)}
	c.stopRooms = c.run(rooms.New(set.connect("rooms"), mesh.Subjects{}, c.log, rooms.Config{Presence: alive}).Run)
	policies, err := auth.ParsePolicies([]string{"*=allow", "/users=tokens"}, auth.Keys{
		Tokens: `[{"token":"1","user":"ann"},{"token":"2","user":"bob*"}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(set.connect("auth"), mesh.Subjects{}, c.log, auth.Config{Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	c.run(a.Run)
	var all []*edge.Service
	for i := range edges {
		cfg := edge.Config{MaxHTTPBufferSize: 8 << 20, Presence: alive}
		if set.edge != nil {
			set.edge(i, &cfg)
		}
		e, err := edge.New(set.connect(fmt.Sprint("edge ", i)), mesh.Subjects{}, c.log, cfg)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(e)
		c.later(server.Close)
		c.run(e.Run)
		c.urls, all = append(c.urls, server.URL), append(all, e)
	}
	for range apps {
		c.startApp(setup)
	}
	for _, e := range all {
		eventually(t, "an edge is healthy", e.Healthy)
	}
	return c
}

// startApp starts one more instance of the application.
func (c *cluster) startApp(setup func(io *socketio.Server)) *socketio.Server {
	c.tb.Helper()
	cfg := socketio.Config{App: "chat", Log: c.log}
	if c.set.app != nil {
		c.set.app(&cfg)
	}
	io, err := socketio.Connect(bus.NewContext(c.tb.Context(), c.set.connect(fmt.Sprint("app ", len(c.apps)))), "", cfg)
	if err != nil {
		c.tb.Fatal(err)
	}
	io.OnError(func(err error) { c.tb.Logf("app: %v", err) })
	setup(io)
	c.run(io.Run)
	c.apps = append(c.apps, io)
	return io
}

// start starts one more like the others.
func (c *cluster) start() *socketio.Server {
	c.tb.Helper()
	return c.startApp(c.setup)
}

// acquaint waits until rooms has heard of all instances: they answer an event of one of another application, which serves nothing.
func (c *cluster) acquaint(event string) {
	c.tb.Helper()
	ctx := c.tb.Context()
	io, err := socketio.Connect(bus.NewContext(ctx, c.set.connect("stranger")), "", socketio.Config{App: "stranger", Log: c.log})
	if err != nil {
		c.tb.Fatal(err)
	}
	defer c.run(io.Run)()
	eventually(c.tb, "rooms knows the instances", func() bool {
		replies, err := io.ServerSideEmitWithAck(ctx, event)
		return err == nil && len(replies) == len(c.apps)
	})
}

// run runs f until the test ends, or stop is called.
func (c *cluster) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }() // stop receives
	return c.later(func() {
		cancel()
		if err := <-done; err != nil {
			c.tb.Logf("run: %v", err)
		}
	})
}

// later has end called when the test ends, or once before.
func (c *cluster) later(end func()) (once func()) {
	once = sync.OnceFunc(end)
	c.ends = append(c.ends, once)
	c.tb.Cleanup(once)
	return once
}

// stop ends the mesh as the end of the test would, and leaves the clients as they are.
func (c *cluster) stop() {
	for _, end := range slices.Backward(c.ends) {
		end()
	}
}

// app returns the instances in turn.
func (c *cluster) app() *socketio.Server {
	c.turns++
	return c.apps[c.turns%len(c.apps)]
}

// eventually waits until cond holds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%s: not within %v", what, patience)
		}
	}
}
