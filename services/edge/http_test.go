package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/protocol"
)

func TestAddressBehindProxies(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8", "192.168.1.7", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{cfg: Config{TrustedProxies: proxies}}
	for _, c := range []struct {
		name, peer, forwarded, proto string
		address                      string
		secure                       bool
	}{
		{"direct", "1.2.3.4:55", "", "", "1.2.3.4", false},
		{"a client that lies", "1.2.3.4:55", "9.9.9.9", "https", "1.2.3.4", false},
		{"one proxy", "10.1.1.1:55", "1.2.3.4", "https", "1.2.3.4", true},
		{"one proxy, a client that lies", "10.1.1.1:55", "9.9.9.9, 1.2.3.4", "http", "1.2.3.4", false},
		{"two proxies", "10.1.1.1:55", "1.2.3.4,192.168.1.7", "https, http", "1.2.3.4", true},
		{"all trusted", "10.1.1.1:55", "10.2.2.2, 10.3.3.3", "", "10.2.2.2", false},
		{"nonsense", "10.1.1.1:55", "1.2.3.4, what?", "", "10.1.1.1", false},
		{"no header", "[::1]:55", "", "", "::1", false},
		{"IPv4 in IPv6", "[::ffff:10.1.1.1]:55", "::ffff:1.2.3.4", "HTTPS", "1.2.3.4", true},
		{"no port", "@", "1.2.3.4", "https", "@", false},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		r.Header.Set("X-Forwarded-Proto", c.proto)
		if address, secure := s.clientAddress(r), s.secure(r); address != c.address || secure != c.secure {
			t.Errorf("%s: got %s, secure %v, want %s, %v", c.name, address, secure, c.address, c.secure)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if r.TLS = (&tls.ConnectionState{}); !s.secure(r) {
		t.Error("TLS is not secure")
	}
}

func TestParseProxies(t *testing.T) {
	for _, text := range []string{"", "x", "1.2.3.4/33", "1.2.3"} {
		if _, err := ParseProxies([]string{text}); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
	if got, err := ParseProxies([]string{"10.1.2.3/8"}); err != nil || got[0] != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHandshakeIsText(t *testing.T) {
	s := &Service{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?a=%ff&b=1&b=2", nil)
	r.Header["X-Bad"] = []string{"\xff", "x"}
	h := s.handshake(r)
	if h.GetQuery()["a"] != "\uFFFD" || h.GetQuery()["b"] != "2" {
		t.Errorf("query: got %q", h.GetQuery())
	}
	for _, header := range h.GetHeaders() {
		if header.GetName() == "x-bad" && (header.GetValues()[0] != "\uFFFD" || header.GetValues()[1] != "x") {
			t.Errorf("header: got %q", header.GetValues())
		}
	}
}

func TestConfig(t *testing.T) {
	for name, c := range map[string]Config{
		"app wait":      {AppWait: time.Minute},
		"large message": {MaxHTTPBufferSize: 17 << 20},
		"large packet":  {Parser: protocol.Limits{MaxBytes: 17 << 20}},
		"engine":        {Transports: []string{"pigeon"}},
		"cookie":        {Cookie: &http.Cookie{Name: "a b"}},
		"threshold":     {HTTPCompressionThreshold: -1},
		"deflate":       {PerMessageDeflateThreshold: -1},
	} {
		if _, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestNotRunning(t *testing.T) {
	s, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=polling", nil))
	if w.Code != http.StatusServiceUnavailable || s.Healthy() {
		t.Errorf("got status %d, healthy %v", w.Code, s.Healthy())
	}
}

// TestBusEnds: when a part fails, the edge ends with its error.
func TestBusEnds(t *testing.T) {
	b := bus.NewMemory()
	s, err := New(b, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := s.Run(context.Background()); err == nil {
		t.Error("no error")
	}
}

func TestClientFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"socket.io.js", "socket.io.min.js.map", "secret.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{ClientDir: dir, CORSOrigins: []string{"http://x"}})
		status, text, h := w.request(http.MethodGet, "/socket.io/socket.io.js?v=1", "", "Origin", "http://x") // SRV-009
		if status != 200 || text != "content of socket.io.js" || h.Get("Content-Type") != "application/javascript; charset=utf-8" ||
			h.Get("Cache-Control") != "public, max-age=0" || h.Get("X-Sourcemap") != "" { // SRV-008, SRV-013
			t.Errorf("file: got %d %q %v", status, text, h)
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != "http://x" { // SRV-012
			t.Errorf("CORS: got %q", got)
		}
		tag := h.Get("ETag")
		for match, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x"`: 200} { // SRV-010
			if status, _, _ := w.request(http.MethodGet, "/socket.io/socket.io.js", "", "If-None-Match", match); status != want {
				t.Errorf("If-None-Match %s: got %d, want %d", match, status, want)
			}
		}
		_, _, h = w.request(http.MethodGet, "/socket.io/socket.io.min.js.map", "")
		if got := h.Get("Content-Type"); got != "application/json; charset=utf-8" {
			t.Errorf("map: got %q", got)
		}
		status, text, _ = w.request(http.MethodGet, "/socket.io/socket.io.esm.min.js", "")
		if status != 404 || !strings.Contains(text, "not installed") {
			t.Errorf("missing: got %d %q", status, text)
		}
		for path, want := range map[string]int{
			"/socket.io/secret.txt":               400, // SRV-014
			"/socket.io/../secret.txt":            400,
			"/socket.io/%2e%2e/socket.io.js/x.js": 400,
			"/elsewhere/socket.io.js":             404, // SRV-015
		} {
			if status, _, _ := w.request(http.MethodGet, path, ""); status != want {
				t.Errorf("%s: got %d, want %d", path, status, want)
			}
		}
	})
}

func TestNoClientFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		if status, _, _ := w.request(http.MethodGet, "/socket.io/socket.io.js", ""); status != 400 { // SRV-016
			t.Errorf("got %d, want 400", status)
		}
	})
}

func TestTelemetry(t *testing.T) {
	m := &Metrics{}
	seen := map[string]bool{}
	for _, metric := range m.Telemetry() {
		key := metric.Name
		for _, v := range metric.Labels {
			key += " " + v
		}
		if seen[key] {
			t.Errorf("%s twice", key)
		}
		seen[key] = true
		if metric.Read() != 0 {
			t.Errorf("%s: got %v, want 0", key, metric.Read())
		}
	}
	if len(seen) < 40 {
		t.Errorf("got %d metrics", len(seen))
	}
}
