package socketio_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/siotest"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// suite ends the mesh of the examples behind the tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	code := s.M.Run()
	if err := world.stop(); err != nil {
		return max(code, 1)
	}
	return code
}

// The examples are applications of one mesh, whose other parts run in this process.
var world demo

type demo struct {
	start sync.Once
	mesh  *siomesh.Mesh
	edge  *httptest.Server
	ended chan error

	mu      sync.Mutex
	clients []*siotest.Client // guarded by mu
}

// natsURL is where the applications find the mesh; in production it is configured.
func natsURL() string {
	world.start.Do(world.run)
	return world.mesh.NATSURL()
}

// connect is socketio.Connect to the mesh of the examples, with an error as a panic.
func connect() *socketio.Server {
	ctx, cancel := context.WithTimeout(context.Background(), siotest.Patience)
	defer cancel()
	io, err := socketio.Connect(ctx, natsURL(), socketio.Config{App: "example", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	return io
}

// run is io.Run on a goroutine, for instances of an application that know one another when it returns. What it returns ends
// the clients, and then the instances.
func run(instances ...*socketio.Server) (stop func()) {
	ended := make(chan error, len(instances))
	for _, io := range instances {
		if len(instances) > 1 {
			io.OnServerSide("known?", func(_ context.Context, e *socketio.ServerEvent) error { return e.Ack() })
		}
		go func() { ended <- io.Run(context.Background()) }() // received in the returned function
	}
	for _, io := range instances {
		for others := -1; others < len(instances)-1; {
			replies, err := io.ServerSideEmitWithAck(context.Background(), "known?")
			if err != nil {
				panic(err)
			}
			others = len(replies)
		}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), siotest.Patience)
		defer cancel()
		world.closeClients(ctx, instances)
		for _, io := range instances {
			if err := errors.Join(io.Close(ctx), within(ctx, ended)); err != nil {
				panic(err)
			}
		}
	}
}

// join is a client that has joined a namespace, by the name and the token of its payload.
func join(namespace, name string) *siotest.Client {
	natsURL()
	c, err := siotest.Dial(world.edge.URL, siotest.Options{
		Namespace: namespace, Auth: map[string]any{"name": name, "token": name},
	})
	if err != nil {
		panic(err)
	}
	world.mu.Lock()
	defer world.mu.Unlock()
	world.clients = append(world.clients, c)
	return c
}

// joinSoon is join of a namespace whose application is about to run: while the edge still counts one that has just ended, and
// does not know this one, it refuses the client.
func joinSoon(namespace, name string) *siotest.Client {
	deadline := time.Now().Add(siotest.Patience)
	for {
		c := join(namespace, name)
		if c.ID() != "" || time.Now().After(deadline) {
			return c
		}
	}
}

func (d *demo) run() {
	var err error
	d.mesh, err = siomesh.New(siomesh.Config{
		NATSListen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
		AuthPolicies: []string{"/members=tokens", "*=allow"},
		AuthKeys:     siomesh.AuthKeys{Tokens: `[{"token":"ann","user":"ann"},{"token":"bob","user":"bob"}]`},
	})
	if err != nil {
		panic(err)
	}
	d.edge = httptest.NewServer(d.mesh)
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.mesh.Run(context.Background()) }() // received in stop
	select {
	case <-d.mesh.Ready():
	case <-time.After(siotest.Patience):
		panic("the mesh of the examples does not start")
	}
}

// closeClients ends the clients, and waits until nobody has them any more: else the edge gives them to the next example.
func (d *demo) closeClients(ctx context.Context, instances []*socketio.Server) {
	d.mu.Lock()
	clients := d.clients
	d.clients = nil
	d.mu.Unlock()
	for _, c := range clients {
		c.Close()
	}
	has := func(io *socketio.Server) bool { return len(io.Sockets()) > 0 }
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for d.mesh.ClientsCount() > 0 || slices.ContainsFunc(instances, has) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			panic("the clients of an example do not leave")
		}
	}
}

// within returns what comes before ctx ends.
func within(ctx context.Context, ended <-chan error) error {
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *demo) stop() error {
	if d.mesh == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), siotest.Patience)
	defer cancel()
	err := d.mesh.Close(ctx)
	d.edge.Close()
	return errors.Join(err, within(ctx, d.ended))
}
