package telemetry_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHandler(t *testing.T) {
	registry := telemetry.NewRegistry()
	var links link.Metrics
	var sockets atomic.Uint64
	metrics := append(telemetry.Link("edge", &links),
		telemetry.Count("sio_edge_sockets_total", "Sockets.", &sockets, "type", "EVENT"),
		telemetry.Gauge("sio_edge_open", "Open.", func() float64 { return -2 }))
	if err := telemetry.Register(registry, metrics...); err != nil {
		t.Fatalf("Register: %v", err)
	}
	if err := telemetry.Register(registry, metrics[0]); err == nil {
		t.Error("Register took the same metric twice")
	}
	var ready atomic.Bool
	h := telemetry.Handler(registry, ready.Load)
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, _ := ask("/livez"); code != http.StatusOK {
		t.Errorf("/livez = %d, want 200", code)
	}
	if code, _ := ask("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz before ready = %d, want 503", code)
	}
	ready.Store(true)
	if code, _ := ask("/readyz"); code != http.StatusOK {
		t.Errorf("/readyz when ready = %d, want 200", code)
	}
	sockets.Store(3)
	links.BreaksStuck.Store(1)
	_, text := ask("/metrics")
	for _, want := range []string{
		`sio_edge_sockets_total{type="EVENT"} 3`,
		`sio_edge_open -2`,
		`sio_link_breaks_total{reason="stuck",service="edge"} 1`,
		`go_goroutines `,
		`process_open_fds `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if code, _ := ask("/debug/pprof/"); code != http.StatusOK {
		t.Errorf("/debug/pprof/ = %d, want 200", code)
	}
}

// TestServeStops shows that Serve lets a request under way finish, and no longer than it promises.
func TestServeStops(t *testing.T) {
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	entered, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "done") //nolint:errcheck // the client checks
	})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- telemetry.Serve(ctx, ln, h, slog.New(slog.DiscardHandler)) }() // received below
	answered := make(chan string, 1)
	go func() { // received below
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+ln.Addr().String(), nil)
		if err != nil {
			answered <- err.Error()
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- string(body)
	}()
	receive(t, "a request", entered)
	cancel()
	close(release)
	if got := receive(t, "an answer", answered); got != "done" {
		t.Errorf("request under way got %q, want done", got)
	}
	if err := receive(t, "the end of Serve", served); err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

// receive returns the next value of a channel, or none once that is closed.
func receive[T any](tb testing.TB, what string, c <-chan T) (v T) {
	tb.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		tb.Fatalf("%s: not within 20 s", what)
	}
	return v
}
