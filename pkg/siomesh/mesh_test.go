package siomesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// greet is an application that every test runs: it says hello to whoever connects and echoes.
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
	if got, want := c.event(), `2["hello","there"]`; got != want {
		t.Errorf("first packet = %s, want %s", got, want)
	}
	c.send(`421["echo","ä\"€"]`)
	if got, want := c.event(), `31["ä\"€"]`; got != want {
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

// TestOutsideApp joins an application of another process to the embedded mesh.
func TestOutsideApp(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler), NATSListen: "127.0.0.1:0", DataDir: t.TempDir()})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	url := start(t, m)

	app, err := socketio.Connect(t.Context(), m.NATSURL(), socketio.Config{App: "outside", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	greet(app, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- app.Run(ctx) }() // received below
	c := connect(t, url)
	if got, want := c.event(), `2["hello","there"]`; got != want {
		t.Errorf("first packet = %s, want %s", got, want)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("Run of the application = %v, want nil", err)
	}
	closing, done := context.WithTimeout(context.Background(), 20*time.Second)
	defer done()
	if err := app.Close(closing); err != nil {
		t.Errorf("Close of the application: %v", err)
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

// client is the least that speaks Socket.IO over polling.
type client struct {
	t      *testing.T
	url    string
	queued []string
}

// connect opens a session and joins "/".
func connect(t *testing.T, url string) *client {
	t.Helper()
	c := &client{t: t, url: url + "/socket.io/?EIO=4&transport=polling"}
	var open struct {
		SID string `json:"sid"`
	}
	if err := json.Unmarshal([]byte(strings.TrimPrefix(c.do(http.MethodGet, ""), "0")), &open); err != nil {
		t.Fatalf("open packet: %v", err)
	}
	c.url += "&sid=" + open.SID
	c.send("40")
	if got := c.event(); !strings.HasPrefix(got, `0{"sid":"`) {
		t.Fatalf("answer to CONNECT = %s", got)
	}
	return c
}

func (c *client) send(packet string) { c.do(http.MethodPost, packet) }

// event returns the next Socket.IO packet.
func (c *client) event() string {
	c.t.Helper()
	for {
		if len(c.queued) == 0 {
			c.queued = strings.Split(c.do(http.MethodGet, ""), "\x1e")
		}
		packet := c.queued[0]
		c.queued = c.queued[1:]
		if message, ok := strings.CutPrefix(packet, "4"); ok {
			return message
		}
	}
}

func (c *client) do(method, body string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Connection", "close")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: status %d, %v: %s", method, resp.StatusCode, err, text)
	}
	return string(text)
}
