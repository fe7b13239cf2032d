package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// world is a mesh inside a bubble of testing/synctest: an edge, and doubles of rooms, auth and apps.
type world struct {
	tb    testing.TB
	bus   *bus.Memory
	edge  *Service
	m     *Metrics
	stop  func() error // ends the edge
	dial  func(context.Context, string, string) (net.Conn, error)
	http  *http.Client
	ring  *ring // nil until there is one
	asked []authn.ConnectRequest
}

// newWorld starts an edge, alone.
func newWorld(tb testing.TB, cfg Config) *world {
	tb.Helper()
	return newLoggedWorld(tb, cfg, slog.New(slog.DiscardHandler))
}

// newLoggedWorld is newWorld with a log.
func newLoggedWorld(tb testing.TB, cfg Config, log *slog.Logger) *world {
	tb.Helper()
	w := &world{tb: tb, bus: bus.NewMemory(), m: &Metrics{}}
	tb.Cleanup(w.bus.Close)
	cfg.Metrics = w.m
	var err error
	if w.edge, err = New(w.bus, mesh.Subjects{}, log, cfg); err != nil {
		tb.Fatalf("new: %v", err)
	}
	w.stop = runs(tb, w.edge.Run)
	w.serve()
	w.pass(time.Second)
	return w
}

// newMesh starts an edge with rooms and an auth service that allows everybody.
func newMesh(tb testing.TB, cfg Config) *world {
	tb.Helper()
	w := newWorld(tb, cfg)
	w.newRing(1)
	w.auth(func(authn.ConnectRequest) string { return `{"allow":true}` })
	w.pass(time.Second)
	if !w.edge.Healthy() {
		tb.Fatal("the edge is not healthy")
	}
	return w
}

// serve lets the edge serve on pipes.
func (w *world) serve() {
	ln := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	hs := &http.Server{Handler: w.edge, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() { // ended by hs.Close; waited for in the clean-up
		defer close(served)
		_ = hs.Serve(ln)
	}()
	transport := &http.Transport{DialContext: ln.dial}
	w.dial, w.http = ln.dial, &http.Client{Transport: transport}
	w.tb.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = hs.Close()
		<-served
	})
}

// auth starts an auth service.
func (w *world) auth(answer func(authn.ConnectRequest) string) {
	w.tb.Helper()
	r := w.bus.NewReceiver(bus.Control, 64)
	err := r.Subscribe(mesh.Subjects{}.AuthConnect(), mesh.AuthQueue, func(m bus.Msg) {
		q, err := authn.DecodeConnectRequest(m.Data)
		if err != nil {
			w.tb.Errorf("auth request: %v", err)
			return
		}
		w.asked = append(w.asked, *q) // read by the test when all is quiet
		if err := w.bus.Respond(m, []byte(answer(*q))); err != nil {
			w.tb.Errorf("respond: %v", err)
		}
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	runs(w.tb, r.Run)
}

// pass lets time pass, and then everything settle.
func (w *world) pass(t time.Duration) {
	<-time.After(t)
	synctest.Wait()
}

// settle lets marks and the like happen.
func (w *world) settle() { w.pass(20 * time.Millisecond) }

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
		if err := stop(); err != nil && !errors.Is(err, bus.ErrClosed) {
			tb.Errorf("run: %v", err)
		}
	})
	return stop
}

// pipes is a listener for net.Pipe connections.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

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
