package siomesh_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/siotest"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greet is an application that says hello to whoever connects, and echoes.
func greet(io *socketio.Server, gone chan<- socketio.Disconnect) {
	io.Of("/").OnConnection(func(s *socketio.Socket) { //nolint:errcheck // nothing runs yet
		s.On("echo", func(_ context.Context, e *socketio.Event) error {
			var text string
			if err := e.Bind(&text); err != nil {
				return err
			}
			return e.Ack(text)
		})
		if gone != nil {
			s.OnDisconnect(func(d socketio.Disconnect) { gone <- d })
		}
		s.Emit("hello", "there") //nolint:errcheck // the test waits for it
	})
}

// start runs a mesh until the test ends and returns its address.
func start(t *testing.T, m *siomesh.Mesh) string {
	t.Helper()
	server := httptest.NewServer(m)
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.WithoutCancel(t.Context())) }() // received in the cleanup
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		server.Close()
	})
	select {
	case <-m.Ready():
	case <-time.After(20 * time.Second):
		t.Fatal("not ready in time")
	}
	return server.URL
}

func TestOneProcess(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler), Metrics: registry})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	gone := make(chan socketio.Disconnect, 1)
	greet(m.IO(), gone)

	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("before Run: status %d, want 503", w.Code)
	}
	if err := m.IO().Emit("tick"); !errors.Is(err, socketio.ErrNotRunning) {
		t.Errorf("Emit before Run = %v, want ErrNotRunning", err)
	}

	c := connect(t, start(t, m))
	if got, want := c.Next(), `["hello","there"]`; got != want {
		t.Errorf("first event = %s, want %s", got, want)
	}
	if got, want := c.Ask("echo", "ä\"€"), `["ä\"€"]`; got != want {
		t.Errorf("acknowledgement = %s, want %s", got, want)
	}
	if n, err := m.IO().Of("/").Count(t.Context()); err != nil || n != 1 {
		t.Errorf("Count = %d, %v, want 1", n, err)
	}
	for _, name := range []string{
		"sio_edge_connections", "sio_engine_sessions_opened_total", "sio_rooms_operations_total", "sio_link_records_sent_total",
		"sio_auth_verdicts_total", "sio_presence_malformed_total",
	} {
		if n, err := testutil.GatherAndCount(registry, name); err != nil || n == 0 {
			t.Errorf("metric %s: shown %d times, %v", name, n, err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if d := <-gone; d.Reason != "server shutting down" { // SRV-004
		t.Errorf("disconnect reason = %q, want server shutting down", d.Reason)
	}
	if err := m.Run(t.Context()); !errors.Is(err, siomesh.ErrRan) {
		t.Errorf("second Run = %v, want ErrRan", err)
	}
}

func TestBadConfig(t *testing.T) {
	for name, cfg := range map[string]siomesh.Config{
		"app":           {App: "No Spaces"},
		"prefix":        {Prefix: "a.b"},
		"policy":        {AuthPolicies: []string{"/=maybe"}},
		"proxies":       {TrustedProxies: []string{"home"}},
		"transports":    {Transports: []string{"pigeon"}},
		"NATS address":  {NATSListen: "4222"},
		"NATS port":     {NATSListen: "127.0.0.1:many"},
		"external auth": {AuthExternal: true},
		"times":         {AppWait: time.Minute},
		"handshakes":    {AuthHandshakePolicy: "maybe"},
		"no tokens":     {AuthHandshakePolicy: "tokens"},
		"webtransport":  {Transports: []string{"polling", "webtransport"}},
	} {
		cfg.Log = slog.New(slog.DiscardHandler)
		if m, err := siomesh.New(cfg); err == nil {
			t.Errorf("%s: New took it", name)
			m.Close(t.Context()) //nolint:errcheck // it must not be there
		}
	}
}

// connect is a client of "/" over polling.
func connect(t *testing.T, url string) *siotest.Client {
	t.Helper()
	c, err := siotest.Dial(url, siotest.Options{Transport: "polling"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
