package edge

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/siomesh/siomesh/pkg/engine"
)

func TestTrailingSlash(t *testing.T) {
	for _, c := range []struct {
		disabled bool
		path     string
		want     int
	}{
		{false, "/socket.io/", 200},
		{false, "/socket.io", 404},
		{true, "/socket.io/", 200},
		{true, "/socket.io", 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{DisableTrailingSlash: c.disabled})
			status, _, _ := w.request(http.MethodGet, c.path+"?EIO=4&transport=polling", "")
			if status != c.want { // EIO-032
				t.Errorf("%s, disabled %v: got %d, want %d", c.path, c.disabled, status, c.want)
			}
		})
	}
}

func TestCookie(t *testing.T) {
	for _, cookie := range []*http.Cookie{nil, engine.DefaultCookie()} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Cookie: cookie})
			_, text, h := w.request(http.MethodGet, "", "")
			want := ""
			if cookie != nil {
				sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
				want = "io=" + sid + "; Path=/; HttpOnly; SameSite=Lax"
			}
			if got := h.Get("Set-Cookie"); got != want { // EVT-010, EVT-012
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHTTPCompression(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, ""}, // the handshake is below the default threshold
		{Config{HTTPCompressionThreshold: 1}, "gzip"},                           // POL-027
		{Config{HTTPCompressionThreshold: 1, DisableHTTPCompression: true}, ""}, // POL-029
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.cfg)
			_, _, h := w.request(http.MethodGet, "", "", "Accept-Encoding", "gzip")
			if got := h.Get("Content-Encoding"); got != c.want {
				t.Errorf("%+v: got %q, want %q", c.cfg, got, c.want)
			}
		})
	}
}

func TestPerMessageDeflate(t *testing.T) {
	// A random sid leaves an open packet that is now and then no shorter when compressed.
	monotone := Hooks{GenerateID: func(*http.Request) (string, error) { return strings.Repeat("a", 40), nil }}
	for _, c := range []struct {
		cfg                Config
		agreed, compressed bool
	}{
		{Config{}, false, false}, // WS-012: off by default
		{Config{PerMessageDeflateThreshold: 1}, false, false},
		{Config{PerMessageDeflate: true}, true, false}, // WS-012: the open packet is below the threshold
		{Config{PerMessageDeflate: true, PerMessageDeflateThreshold: 1, Hooks: monotone}, true, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.cfg)
			d := ws.Dialer{NetDial: w.dial}
			d.Extensions = append(d.Extensions, wsflate.DefaultParameters.Option())
			conn, buffered, agreed, err := d.Dial(t.Context(), "ws://pipe/socket.io/?EIO=4&transport=websocket")
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			defer conn.Close()
			var first ws.Header
			if buffered != nil {
				first, err = ws.ReadHeader(buffered)
			} else {
				first, err = ws.ReadHeader(conn)
			}
			if err != nil || (len(agreed.Extensions) > 0) != c.agreed || first.Rsv1() != c.compressed {
				t.Errorf("%+v: agreed on %d extensions, compressed %v, %v", c.cfg, len(agreed.Extensions), first.Rsv1(), err)
			}
		})
	}
}

// The limits on sessions reach the engine, count clients behind a trusted proxy one by one, and show in the telemetry.
func TestConnectionLimits(t *testing.T) {
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		limit, body string
		cfg         Config
		status      int
	}{
		{"max_connections", "Too many connections", Config{MaxConnections: 2}, 503},
		{"max_connections_per_ip", "Too many connections from this address", Config{MaxConnectionsPerIP: 1, TrustedProxies: proxies}, 429},
		{"accept_rate", "Connecting too fast", Config{AcceptRate: 0.1, AcceptBurst: 2}, 503},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, c.cfg)
			proxied := func(client string) (int, string, http.Header) {
				return w.serveFrom("10.0.0.1:1", "X-Forwarded-For", client)
			}
			for _, client := range []string{"192.0.2.1", "192.0.2.2"} {
				if status, text, _ := proxied(client); status != 200 {
					t.Errorf("%s: %s got %d %q, want 200", c.limit, client, status, text)
				}
			}
			status, text, h := proxied("192.0.2.1")
			if status != c.status || text != `{"code":3,"message":"`+c.body+`"}` || h.Get("Retry-After") == "" {
				t.Errorf("%s: got %d %q %v", c.limit, status, text, h)
			}
			for _, metric := range w.m.Telemetry() {
				if metric.Name != "sio_engine_not_admitted_total" {
					continue
				}
				if got := metric.Read(); (got == 1) != (metric.Labels["limit"] == c.limit) || got > 1 {
					t.Errorf("%s: %v is %v", c.limit, metric.Labels, got)
				}
			}
		})
	}
	for _, cfg := range []Config{{MaxConnections: -1}, {MaxConnectionsPerIP: -1}, {AcceptRate: -1}, {AcceptRate: 1, AcceptBurst: -1}} {
		if err := cfg.Check(); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// serveFrom makes a polling handshake as if it came from a peer.
func (w *world) serveFrom(peer string, header ...string) (status int, text string, h http.Header) {
	w.tb.Helper()
	r := httptest.NewRequestWithContext(w.tb.Context(), http.MethodGet, "/socket.io/?EIO=4&transport=polling", http.NoBody)
	r.RemoteAddr = peer
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.edge.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String(), rec.Header()
}
