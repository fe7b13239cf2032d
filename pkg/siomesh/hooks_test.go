package siomesh_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/siomesh"
)

// hooked is a mesh with every function that its program can give, and what they were told.
type hooked struct {
	url string

	mu    sync.Mutex
	codes []int    // guarded by mu: of OnConnectionError
	ends  []string // guarded by mu: reasons of the observer's Close
}

func startHooked(t *testing.T) (*siomesh.Mesh, *hooked) {
	t.Helper()
	k := &hooked{}
	m, err := siomesh.New(siomesh.Config{
		Log:           slog.New(slog.DiscardHandler),
		InitialPacket: engine.NewText([]byte("first")),
		AllowRequest: func(r *http.Request) error {
			if r.URL.Query().Get("pass") == "" {
				return errors.New("no pass")
			}
			return nil
		},
		GenerateID:     func(r *http.Request) (string, error) { return strings.Repeat(r.URL.Query().Get("pass"), 16), nil },
		InitialHeaders: func(h http.Header, _ *http.Request) { h.Set("X-Initial", "1") },
		Headers:        func(h http.Header, _ *http.Request) { h.Set("X-Each", "1") },
		OnConnectionError: func(_ *http.Request, code int, _ string, _ map[string]any) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.codes = append(k.codes, code)
		},
		Middleware: []func(http.Handler) http.Handler{func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Through", "1")
				next.ServeHTTP(w, r)
			})
		}},
		OnSession: func(s *engine.Session, _ *http.Request) {
			s.Observe(&engine.Observer{Close: func(reason engine.Reason, _ error, _ []engine.Packet) {
				k.mu.Lock()
				defer k.mu.Unlock()
				k.ends = append(k.ends, string(reason))
			}})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	k.url = start(t, m)
	return m, k
}

func (k *hooked) request(t *testing.T, method, query, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, k.url+"/socket.io/?EIO=4&transport=polling"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// TestHooksPolling: every function takes part in what polling clients get.
func TestHooksPolling(t *testing.T) {
	m, k := startHooked(t)
	status, text, h := k.request(t, http.MethodGet, "", "")
	if status != 403 || text != `{"code":4,"message":"no pass"}` || h.Get("X-Through") != "1" || h.Get("X-Initial") != "" { // EIO-022
		t.Errorf("refused: got %d %s %v", status, text, h)
	}
	status, text, h = k.request(t, http.MethodGet, "&pass=/", "")
	if status != 400 { // EIO-029
		t.Errorf("an id that cannot be: got %d %s %v", status, text, h)
	}
	status, text, h = k.request(t, http.MethodGet, "&pass=a", "")
	sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
	if status != 200 || !strings.HasSuffix(sid, strings.Repeat("a", 16)) || !strings.HasSuffix(text, "\x1e4first") { // EIO-027, EIO-031
		t.Errorf("opened: got %d %q", status, text)
	}
	if h.Get("X-Initial") != "1" || h.Get("X-Each") != "1" || h.Get("X-Through") != "1" { // EVT-007, EVT-018
		t.Errorf("opened: got %v", h)
	}
	if n := m.ClientsCount(); n != 1 {
		t.Errorf("ClientsCount = %d, want 1", n)
	}
	status, _, h = k.request(t, http.MethodPost, "&sid="+sid, "1")
	if status != 200 || h.Get("X-Initial") != "" || h.Get("X-Each") != "1" { // EVT-008, EVT-009
		t.Errorf("later: got %d %v", status, h)
	}
	k.wantEnds(t, "transport close")
	if n := m.ClientsCount(); n != 0 {
		t.Errorf("ClientsCount = %d after the end, want 0", n)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if want := []int{engine.CodeForbidden, engine.CodeBadRequest}; !slices.Equal(k.codes, want) { // EIO-026
		t.Errorf("refusals: told of the codes %v, want %v", k.codes, want)
	}
}

// TestHooksWebSocket: and in the 101 of a WebSocket.
func TestHooksWebSocket(t *testing.T) {
	m, k := startHooked(t)
	url := "ws" + strings.TrimPrefix(k.url, "http") + "/socket.io/?EIO=4&transport=websocket"
	h := http.Header{}
	d := ws.Dialer{OnHeader: func(key, value []byte) error { h.Add(string(key), string(value)); return nil }}
	_, _, _, err := d.Dial(t.Context(), url)
	if refused := ws.StatusError(0); !errors.As(err, &refused) || refused != 400 { // EIO-023
		t.Errorf("refused: got %v", err)
	}
	conn, in, _, err := d.Dial(t.Context(), url+"&pass=b")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if h.Get("X-Initial") != "1" || h.Get("X-Each") != "1" || h.Get("X-Through") != "1" { // EVT-007, EVT-008, EVT-018
		t.Errorf("got %v", h)
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if in == nil {
		in = bufio.NewReader(conn)
	}
	for _, want := range []string{strings.Repeat("b", 16), "4first"} { // EIO-027, EIO-031
		f, err := ws.ReadHeader(in)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, f.Length)
		if _, err := io.ReadFull(in, payload); err != nil || !strings.Contains(string(payload), want) {
			t.Errorf("got %q, %v, want %s", payload, err, want)
		}
	}
	if n := m.ClientsCount(); n != 1 {
		t.Errorf("ClientsCount = %d, want 1", n)
	}
	conn.Close()
	k.wantEnds(t, "transport close")
}

// TestAuthHandshake: the first client is answered by the stock service, which is ready when the mesh is.
func TestAuthHandshake(t *testing.T) {
	m, err := siomesh.New(siomesh.Config{
		Log: slog.New(slog.DiscardHandler), AuthHandshake: true, AuthHandshakePolicy: "tokens",
		AuthKeys: siomesh.AuthKeys{Tokens: `[{"token":"t"}]`},
	})
	if err != nil {
		t.Fatal(err)
	}
	k := &hooked{url: start(t, m)}
	if status, text, _ := k.request(t, http.MethodGet, "", ""); status != 403 || text != `{"code":4,"message":"token required"}` { // EIO-022
		t.Errorf("got %d %s, want the refusal of the service", status, text)
	}
}

// wantEnds waits until an observer was told of the end of a session.
func (k *hooked) wantEnds(t *testing.T, want string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		k.mu.Lock()
		ends := slices.Clone(k.ends)
		k.mu.Unlock()
		if len(ends) > 0 {
			if !slices.Equal(ends, []string{want}) {
				t.Errorf("ends: got %v, want %s", ends, want)
			}
			return
		}
		<-tick.C
	}
	t.Errorf("the end was not told")
}
