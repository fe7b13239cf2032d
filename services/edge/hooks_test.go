package edge

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/pkg/engine"
)

func TestAllowRequestComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AuthHandshake: true, Hooks: Hooks{AllowRequest: func(r *http.Request) error {
			if r.Header.Get("X-Good") == "" {
				return errors.New("be good")
			}
			return nil
		}, InitialHeaders: func(h http.Header, _ *http.Request) { h.Set("X-Own", h.Get("X-Auth")+"+") }}})
		d := w.doorman()
		d.says(`{"allow":true,"headers":{"x-auth":"1"}}`)
		status, text, _ := w.request(http.MethodGet, "", "")
		if status != 403 || text != `{"code":4,"message":"be good"}` || len(d.takeAsked()) != 0 { // EIO-022
			t.Errorf("refused: got %d %s", status, text)
		}
		status, _, h := w.request(http.MethodGet, "", "", "X-Good", "1")
		if status != 200 || h.Get("X-Auth") != "1" || h.Get("X-Own") != "1+" || len(d.takeAsked()) != 1 { // EIO-024
			t.Errorf("allowed: got %d %v", status, h)
		}
	})
}

// TestSessionID: an edge's session id names the edge, so that any other can find it, and then as much as the engine's own.
func TestSessionID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		seen := map[string]bool{}
		for range 100 {
			_, text, _ := w.request(http.MethodGet, "", "")
			sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
			secret, own := strings.CutPrefix(sid, w.edge.Self().Instance.String())
			if !own || len(secret) != 20 || strings.Trim(secret, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" { // EIO-030
				t.Fatalf("got %s", text)
			}
			if seen[secret] { // EIO-030
				t.Fatalf("%q twice", secret)
			}
			seen[secret] = true
		}
	})
}

func TestGenerateID(t *testing.T) {
	for secret, ok := range map[string]bool{
		"0123456789abcdef": true, "ABCXYZabcxyz-_09": true, strings.Repeat("a", 64): true,
		"": false, "0123456789abcde": false, strings.Repeat("a", 65): false, "0123456789abcde/": false, "0123456789abcdé": false, "0123456789 abcdef": false,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{Hooks: Hooks{GenerateID: func(*http.Request) (string, error) { return secret, nil }}})
			status, text, _ := w.request(http.MethodGet, "", "")
			if !ok {
				if status != 400 || !strings.Contains(text, `"code":3`) || secret != "" && strings.Contains(text, secret) { // EIO-029
					t.Errorf("%q: got %d %s", secret, status, text)
				}
				return
			}
			if want := `0{"sid":"` + w.edge.Self().Instance.String() + secret + `"`; status != 200 || !strings.HasPrefix(text, want) { // EIO-027
				t.Errorf("%q: got %d %s, want %s", secret, status, text, want)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Hooks: Hooks{GenerateID: func(*http.Request) (string, error) { return "", errors.New("no") }}})
		if status, _, _ := w.request(http.MethodGet, "", ""); status != 400 { // EIO-029
			t.Errorf("got %d, want 400", status)
		}
	})
}

func TestOtherHooks(t *testing.T) {
	var order []string
	var packets []string
	synctest.Test(t, func(t *testing.T) {
		named := func(name string) func(http.Handler) http.Handler {
			return func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					order = append(order, name)
					w.Header().Add("X-Through", name)
					next.ServeHTTP(w, r)
				})
			}
		}
		w := newWorld(t, Config{InitialPacket: engine.NewText([]byte("hi")), Hooks: Hooks{
			Middleware: []func(http.Handler) http.Handler{named("a"), named("b")},
			Headers:    func(h http.Header, _ *http.Request) { h.Set("X-Each", "1") },
			OnSession: func(s *engine.Session, r *http.Request) {
				if r.URL.Query().Get("EIO") != "4" {
					t.Errorf("OnSession got the request %s", r.URL)
				}
				s.Observe(&engine.Observer{Packet: func(p engine.Packet) { packets = append(packets, p.Type) }})
			},
		}})
		status, text, h := w.request(http.MethodGet, "", "")
		if status != 200 || !strings.HasSuffix(text, "\x1e4hi") || h.Get("X-Each") != "1" { // EIO-031, EVT-008
			t.Errorf("got %d %q %v", status, text, h)
		}
		if got := h.Values("X-Through"); !slices.Equal(got, []string{"a", "b"}) || !slices.Equal(order, got) { // EVT-018, EVT-019
			t.Errorf("middlewares: got %v, %v", order, got)
		}
		if n := w.edge.ClientsCount(); n != 1 {
			t.Errorf("ClientsCount = %d, want 1", n)
		}
		sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
		w.request(http.MethodPost, "&sid="+sid, "1")
		w.settle()
		if n := w.edge.ClientsCount(); n != 0 {
			t.Errorf("ClientsCount = %d after the end, want 0", n)
		}
	})
	if !slices.Equal(packets, []string{"close"}) {
		t.Errorf("the observer saw %v, want the client's close", packets)
	}
}

func TestCORSDetails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{CORS: CORS{
			Origins: []string{"http://x"}, Methods: []string{"GET", "PUT"}, AllowedHeaders: []string{"X-In"}, ExposedHeaders: []string{"X-Out"},
			MaxAge: 90_000_000_000, OptionsSuccessStatus: 200,
		}})
		status, _, h := w.request(http.MethodOptions, "", "", "Origin", "http://x",
			"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-in")
		if status != 200 || h.Get("Access-Control-Allow-Methods") != "PUT" || h.Get("Access-Control-Allow-Headers") != "x-in" ||
			h.Get("Access-Control-Max-Age") != "90" || h.Get("Access-Control-Allow-Credentials") != "true" { // EVT-016
			t.Errorf("preflight: got %d %v", status, h)
		}
		if _, _, h := w.request(http.MethodGet, "", "", "Origin", "http://x"); h.Get("Access-Control-Expose-Headers") != "X-Out" { // EVT-016
			t.Errorf("request: got %v", h)
		}
	})
	for _, c := range []CORS{{Origins: []string{"*"}}, {Origins: []string{"http://x"}, DisableCredentials: true}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{CORS: c})
			_, _, h := w.request(http.MethodGet, "", "", "Origin", "http://x")
			if h.Get("Access-Control-Allow-Origin") == "" || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%+v: got %v", c, h)
			}
		})
	}
}

// TestNoWebTransport: it is not offered, not served and not taken for a transport in the configuration.
func TestNoWebTransport(t *testing.T) {
	cfg := Config{Transports: []string{"polling", "websocket", "webtransport"}}
	if _, err := New(bus.NewMemory(), mesh.Subjects{}, slog.New(slog.DiscardHandler), cfg); err == nil || // EIO-008
		!strings.Contains(err.Error(), "webtransport is not supported") {
		t.Errorf("New = %v, want an error that says so", err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		if _, text, _ := w.request(http.MethodGet, "", ""); !strings.Contains(text, `"upgrades":["websocket"]`) { // EIO-008
			t.Errorf("got %s", text)
		}
		status, text, _ := w.request(http.MethodGet, "/socket.io/?EIO=4&transport=webtransport", "")
		if status != 400 || text != `{"code":0,"message":"Transport unknown"}` { // EIO-015
			t.Errorf("got %d %s", status, text)
		}
	})
}
