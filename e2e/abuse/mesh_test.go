// Package abuse_test lets raw sockets do their worst to a whole mesh on a real port, while well-behaved clients go about their
// business: they must not notice. Start reading at TestAbuse; the attacks are in http_test.go, frames_test.go and
// packets_test.go.
package abuse_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The limits of the mesh under attack; what is not here has its default.
const (
	connectTimeout = 6 * time.Second // also for those who mean well
	headerTimeout  = 6 * time.Second
	maxHeader      = 64 << 10
	maxMessage     = 1_000_000
	maxOutbound    = 256 << 10
	maxNamespaces  = 64
)

// site is a mesh that serves on a port of loopback.
type site struct {
	addr string
	mesh *siomesh.Mesh
	reg  *prometheus.Registry
}

// newSite starts a mesh whose application answers echo, and floods whoever asks for it.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{reg: prometheus.NewRegistry()}
	var err error
	s.mesh, err = siomesh.New(siomesh.Config{
		ConnectTimeout: connectTimeout, AppWait: connectTimeout / 2, MaxHTTPBufferSize: maxMessage,
		MaxOutboundBytes: maxOutbound, MaxNamespaces: maxNamespaces, PerMessageDeflate: true,
		Log: slog.New(slog.DiscardHandler), Metrics: s.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.mesh.IO().OnConnection(register); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.mesh.Run(ctx) }() // received in the cleanup
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	server := &http.Server{
		Handler: s.mesh, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }() // received in the cleanup
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("mesh: %v", err)
		}
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	select {
	case <-s.mesh.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("the mesh is not ready")
	}
	return s
}

// register is the application.
func register(s *socketio.Socket) {
	s.On("echo", func(_ context.Context, e *socketio.Event) error {
		var n int
		if err := e.Bind(&n); err != nil {
			return err
		}
		return e.Ack(n)
	})
	s.On("flood", func(context.Context, *socketio.Event) error {
		text := strings.Repeat("x", 64<<10)
		for range 200 {
			if err := s.Emit("x", text); err != nil {
				return err // the client is gone
			}
		}
		return nil
	})
}

// counter returns the sum of a metric's series.
func (s *site) counter(t *testing.T, name string) float64 {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return sum
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// closed returns how many sessions ended for a reason.
func (s *site) closed(t *testing.T, reason string) float64 {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "sio_engine_sessions_closed_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no sessions are counted under %s", reason)
	return 0
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}
