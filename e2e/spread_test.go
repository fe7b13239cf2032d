package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// spreader is a balancer that sends each request to any of the edges, whatever session it belongs to.
type spreader struct {
	server *httptest.Server
	edges  []string
	next   atomic.Uint64
	random bool

	mu       sync.Mutex
	statuses map[int]int // guarded by mu
}

func newSpreader(tb testing.TB, random bool, edges ...string) *spreader {
	tb.Helper()
	s := &spreader{edges: edges, random: random, statuses: map[int]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", s.edge()
		},
		FlushInterval: -1,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1000, DialContext: s.dial},
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // clients that go
		ModifyResponse: func(r *http.Response) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.statuses[r.StatusCode]++
			return nil
		},
	}
	s.server = httptest.NewServer(proxy)
	tb.Cleanup(s.server.Close)
	return s
}

// edge chooses an edge.
func (s *spreader) edge() string {
	n := s.next.Add(1)
	if s.random {
		n = rand.Uint64() //nolint:gosec // any will do
	}
	return s.edges[n%uint64(len(s.edges))]
}

// dial connects to an edge, or to another one if that is down.
func (s *spreader) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	for i := 0; err != nil && i < len(s.edges); i++ {
		conn, err = d.DialContext(ctx, network, s.edges[i])
	}
	return conn, err
}

// answers returns how many responses had which status.
func (s *spreader) answers() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.statuses)
}

// anyEdge: no request of a session needs the edge that has it.
func anyEdge(t *testing.T, b binaries) {
	for name, wait := range map[string]string{
		"upgrade before CONNECT": "10s", // enough for 500 clients on a busy machine
		"upgrade around CONNECT": "1s",
		"upgrade after CONNECT":  "0",
	} {
		m := b.splitWith(t, 3, "--upgrade-wait", wait)
		m.app(t, "one")
		m.app(t, "two")
		newDriver(t).owners(t, m.urls(), "one", "two")
		acquaint(t, m.listen[2:]...)
		const relayed = `sio_edge_requests_relayed_total{outcome="relayed"}`
		before := m.sum(t, relayed)
		switch wait {
		case "0":
			t.Run("scenarios", func(t *testing.T) { runScenarios(t, newSpreader(t, true, m.listen[2:]...).server.URL) })
		case "1s":
			t.Run("polling", func(t *testing.T) { m.spread(t, "polling") })
		}
		t.Run(name, func(t *testing.T) {
			during := m.spread(t, "polling,websocket")
			moved := m.sum(t, "sio_edge_sessions_moved_here_total")
			t.Logf("%d sessions moved to the edge of their WebSocket, %d events sent during upgrades", moved, during)
			if wait == "0" && (moved != 0 || during == 0) || wait == "10s" && moved == 0 {
				t.Errorf("with --upgrade-wait %s", wait)
			}
		})
		if n := m.sum(t, relayed); n == before {
			t.Error("no request was relayed")
		}
		m.stop(t)
	}
}

// spread lets 500 clients play through a balancer that sends their requests anywhere, and returns how many events they sent
// before their upgrade was complete.
func (m *split) spread(t *testing.T, transports string) (duringUpgrade int) {
	t.Helper()
	s := newSpreader(t, true, m.listen[2:]...)
	cmd := exec.CommandContext(t.Context(), "node", "spread.mjs", "--url", s.server.URL, "--transports", transports)
	out, err := cmd.CombinedOutput()
	t.Logf("%sresponses by status: %v", out, s.answers())
	if err != nil {
		t.Errorf("clients: %v", err)
	}
	var result struct {
		DuringUpgrade int `json:"duringUpgrade"`
	}
	if err := json.Unmarshal(out, &result); err != nil {
		t.Errorf("clients printed: %v", err)
	}
	if n := s.answers()[http.StatusBadRequest]; n != 0 {
		t.Errorf("%d responses with status 400", n)
	}
	return result.DuringUpgrade
}

// sum adds a counter up over all edges.
func (m *split) sum(t *testing.T, name string) (sum int) {
	t.Helper()
	for i := range m.internal[2:] {
		sum += m.count(t, i, name)
	}
	return sum
}

// count returns a counter of an edge.
func (m *split) count(t *testing.T, edge int, name string) (sum int) {
	t.Helper()
	var text string
	until(t, answersWithin, "the metrics of an edge", func() bool {
		var code int
		code, text = get(t.Context(), "http://"+m.internal[2+edge]+"/metrics")
		return code == http.StatusOK
	})
	for line := range strings.Lines(text) {
		value, ok := strings.CutPrefix(line, name+" ")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			t.Fatal(fmt.Errorf("counter %s: %w", name, err))
		}
		sum += n
	}
	return sum
}
