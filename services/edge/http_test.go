package edge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
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
		{"a proxy that tells ports", "10.1.1.1:55", "9.9.9.9:1, 1.2.3.4:40000", "", "1.2.3.4", false},
		{"ports of IPv6", "10.1.1.1:55", "[2001:db8::1]:40000, 10.2.2.2:80", "", "2001:db8::1", false},
		{"brackets alone", "10.1.1.1:55", "[2001:db8::1]", "", "2001:db8::1", false},
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
		"auth timeout":  {AuthTimeout: -1},
		"handshakes":    {MaxHandshakes: -1},
		"attachments":   {Parser: protocol.Limits{MaxAttachments: -1}},
		"body timeout":  {BodyTimeout: -time.Second},
		"engine":        {Transports: []string{"pigeon"}},
		"cookie":        {Cookie: &http.Cookie{Name: "a b"}},
		"threshold":     {HTTPCompressionThreshold: -1},
		"deflate":       {PerMessageDeflateThreshold: -1},
		"CORS max age":  {CORS: CORS{MaxAge: -time.Second}},
		"CORS status":   {CORS: CORS{OptionsSuccessStatus: 302}},
		"middleware":    {Hooks: Hooks{Middleware: []func(http.Handler) http.Handler{nil}}},
	} {
		if _, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), c); err == nil {
			t.Errorf("%s: no error", name)
		}
		if c.Check() == nil {
			t.Errorf("%s: Check finds nothing", name)
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
