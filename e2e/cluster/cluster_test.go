// Package cluster_test plays with whole meshes of several edges and several instances of an application in one process, by raw
// clients: what the SDK promises holds wherever the sockets are.
package cluster_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
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
	tb    testing.TB
	bus   bus.Bus
	urls  []string           // of the edges
	apps  []*socketio.Server // instances of one application, running
	turns int
}

// newCluster starts a mesh; setup registers the handlers of each instance.
func newCluster(t *testing.T, edges, apps int, setup func(io *socketio.Server)) *cluster {
	t.Helper()
	b := bus.NewMemory()
	t.Cleanup(b.Close)
	return newClusterOver(t, func() bus.Bus { return b }, edges, apps, setup)
}

// newClusterOver is newCluster whose services each have a bus of their own.
func newClusterOver(t *testing.T, connect func() bus.Bus, edges, apps int, setup func(io *socketio.Server)) *cluster {
	t.Helper()
	c := &cluster{tb: t, bus: connect()}
	log := slog.New(slog.DiscardHandler)
	alive := presence.Config{DeadAfter: patience} // nobody dies here without a goodbye, however busy the machine is
	c.run(rooms.New(connect(), mesh.Subjects{}, log, rooms.Config{Presence: alive}).Run)
	policies, err := auth.ParsePolicies([]string{"*=allow", "/users=tokens"}, auth.Keys{
		Tokens: `[{"token":"1","user":"ann"},{"token":"2","user":"bob*"}]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	a, err := auth.New(connect(), mesh.Subjects{}, log, auth.Config{Policies: policies})
	if err != nil {
		t.Fatal(err)
	}
	c.run(a.Run)
	var all []*edge.Service
	for range edges {
		e, err := edge.New(connect(), mesh.Subjects{}, log, edge.Config{MaxHTTPBufferSize: 8 << 20, Presence: alive})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(e)
		t.Cleanup(server.Close)
		c.run(e.Run)
		c.urls, all = append(c.urls, server.URL), append(all, e)
	}
	for range apps {
		io, err := socketio.Connect(bus.NewContext(t.Context(), connect()), "", socketio.Config{App: "chat", Log: log})
		if err != nil {
			t.Fatal(err)
		}
		io.OnError(func(err error) { t.Logf("app: %v", err) })
		setup(io)
		c.run(io.Run)
		c.apps = append(c.apps, io)
	}
	for _, e := range all {
		eventually(t, "an edge is healthy", e.Healthy)
	}
	return c
}

// run runs f until the test ends.
func (c *cluster) run(f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }() // the cleanup receives
	c.tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			c.tb.Logf("run: %v", err)
		}
	})
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
