package edge

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// doorman answers handshake questions; without an answer it says nothing.
type doorman struct {
	mu     sync.Mutex
	answer string                   // guarded by mu
	asked  []authn.HandshakeRequest // guarded by mu
}

func (d *doorman) says(answer string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answer = answer
}

// takeAsked returns the questions since the last call.
func (d *doorman) takeAsked() []authn.HandshakeRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	asked := d.asked
	d.asked = nil
	return asked
}

func (w *world) doorman() *doorman {
	w.tb.Helper()
	d := &doorman{}
	r := w.bus.NewReceiver(bus.Control, 64)
	err := r.Subscribe(mesh.Subjects{}.AuthHandshake(), mesh.AuthQueue, func(m bus.Msg) {
		q, err := authn.DecodeHandshakeRequest(m.Data)
		if err != nil {
			w.tb.Errorf("handshake request: %v", err)
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.asked = append(d.asked, *q)
		if d.answer == "" {
			return
		}
		if err := w.bus.Respond(m, []byte(d.answer)); err != nil {
			w.tb.Errorf("respond: %v", err)
		}
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	runs(w.tb, r.Run)
	w.settle()
	return d
}

// dialWS opens a WebSocket session, and returns the response, or the status that refused it.
func (w *world) dialWS() (h http.Header, status int) {
	w.tb.Helper()
	h = http.Header{}
	d := ws.Dialer{NetDial: w.dial, OnHeader: func(key, value []byte) error { h.Add(string(key), string(value)); return nil }}
	conn, _, _, err := d.Dial(w.tb.Context(), "ws://pipe/socket.io/?EIO=4&transport=websocket&a=1")
	var refused ws.StatusError
	switch {
	case errors.As(err, &refused):
		return h, int(refused)
	case err != nil:
		w.tb.Fatalf("dial: %v", err)
	}
	_ = conn.Close()
	w.settle()
	return h, http.StatusSwitchingProtocols
}

func TestAuthHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AuthHandshake: true})
		d := w.doorman()
		d.says(`{"allow":true,"headers":{"set-cookie":["a=1","b=2"],"x-region":"eu"}}`)
		status, text, h := w.request(http.MethodGet, "&a=1", "", "Cookie", "c=d") // EIO-024
		if status != 200 || h.Get("X-Region") != "eu" || strings.Join(h.Values("Set-Cookie"), " ") != "a=1 b=2" {
			t.Errorf("polling: got %d %v", status, h)
		}
		asked := d.takeAsked()
		if len(asked) != 1 {
			t.Fatalf("asked %d times, want once", len(asked))
		}
		if q := asked[0].Handshake; q.URL != "/socket.io/?EIO=4&transport=polling&a=1" || q.Headers["cookie"][0] != "c=d" ||
			q.Query["a"][0] != "1" || q.Address != "pipe" || q.Time.IsZero() {
			t.Errorf("asked %+v", q)
		}
		sid, _, _ := strings.Cut(strings.TrimPrefix(text, `0{"sid":"`), `"`)
		_, _, h = w.request(http.MethodPost, "&sid="+sid, "40")
		if n := len(d.takeAsked()); n != 0 || h.Get("X-Region") != "" { // EIO-025
			t.Errorf("a request of the session: asked %d times, headers %v", n, h)
		}
		if h, status := w.dialWS(); status != 101 || h.Get("X-Region") != "eu" || len(h.Values("Set-Cookie")) != 2 || len(d.takeAsked()) != 1 {
			t.Errorf("WebSocket: got %d %v", status, h)
		}
		if status, _, _ := w.request(http.MethodGet, "&transport=pigeon", ""); status != 200 { // the first transport counts
			t.Errorf("got %d", status)
		}
		d.takeAsked()
		for _, bad := range []string{"/socket.io/?EIO=4&transport=pigeon", "/socket.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=polling&sid=x"} {
			if status, _, _ := w.request(http.MethodGet, bad, ""); status != 400 || len(d.takeAsked()) != 0 {
				t.Errorf("%s: got %d, want 400 without a question", bad, status)
			}
		}
	})
}

func TestAuthHandshakeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, answer, message string
		outcome               int
	}{
		{"refused", `{"allow":false,"message":"not <you>"}`, "not <you>", authRefused},
		{"without words", `{"allow":false}`, "Forbidden", authRefused},
		{"no answer", ``, authn.Unavailable, authUnavailable},
		{"nonsense", `yes`, authn.Unavailable, authUnreadable},
		{"the server's header", `{"allow":true,"headers":{"Content-Length":"7"}}`, authn.Unavailable, authUnreadable},
		{"no header", `{"allow":true,"headers":{"a b":"7"}}`, authn.Unavailable, authUnreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Int64
				w := newWorld(t, Config{AuthHandshake: true, Hooks: Hooks{OnConnectionError: func(_ *http.Request, code int, message string, _ map[string]any) {
					if code == 4 && message == "Forbidden" { // EIO-022: and the event says what the code means
						told.Add(1)
					}
				}}})
				w.doorman().says(c.answer)
				began := time.Now()
				status, text, _ := w.request(http.MethodGet, "", "")
				if want := `{"code":4,"message":"` + c.message + `"}`; status != 403 || text != want { // EIO-022
					t.Errorf("polling: got %d %s, want 403 %s", status, text, want)
				}
				if took := time.Since(began); (c.answer == "") != (took == 2*time.Second) {
					t.Errorf("it took %s", took)
				}
				if _, status := w.dialWS(); status != 400 { // EIO-023
					t.Errorf("WebSocket: got %d, want 400", status)
				}
				if n := w.m.Handshakes[c.outcome].Load(); n != 2 || told.Load() != 2 || w.edge.ClientsCount() != 0 {
					t.Errorf("counted %d, told %d times, %d sessions", n, told.Load(), w.edge.ClientsCount())
				}
			})
		})
	}
}

// TestAuthHandshakeWithoutAuth: nobody there is a refusal at once; without the option nobody is asked.
func TestAuthHandshakeWithoutAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AuthHandshake: true})
		began := time.Now()
		status, text, _ := w.request(http.MethodGet, "", "")
		if status != 403 || text != `{"code":4,"message":"authentication unavailable"}` || time.Since(began) != 0 {
			t.Errorf("got %d %s after %s", status, text, time.Since(began))
		}
		status, _, _ = w.request(http.MethodGet, "", "", "X-Large", strings.Repeat("\\", 600_000))
		if n := w.m.Handshakes[authTooLarge].Load(); status != 403 || n != 1 {
			t.Errorf("more than a message can hold: got %d, counted %d, want 403, 1", status, n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		d := w.doorman()
		if status, _, _ := w.request(http.MethodGet, "", ""); status != 200 || len(d.takeAsked()) != 0 {
			t.Errorf("off: got %d, and somebody was asked", status)
		}
	})
}

// TestAuthHandshakesAreBounded: so many wait, the next is refused at once, and the end of a wait makes room.
func TestAuthHandshakesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AuthHandshake: true, MaxHandshakes: 2})
		d := w.doorman()
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				if status, _, _ := w.request(http.MethodGet, "", ""); status != 403 {
					t.Errorf("waiting: got %d, want 403", status)
				}
			})
		}
		w.settle()
		began := time.Now()
		status, text, _ := w.request(http.MethodGet, "", "")
		if status != 403 || !strings.Contains(text, "authentication unavailable") || time.Since(began) != 0 || w.m.Handshakes[authBusy].Load() != 1 {
			t.Errorf("one more: got %d %s after %s", status, text, time.Since(began))
		}
		waiting.Wait()
		d.says(`{"allow":true}`)
		if status, _, _ := w.request(http.MethodGet, "", ""); status != 200 {
			t.Errorf("later: got %d, want 200", status)
		}
	})
}

// TestAuthHandshakeEnds: neither a client that leaves nor an edge that stops waits for auth.
func TestAuthHandshakeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{AuthHandshake: true, AuthTimeout: time.Hour, AppWait: time.Second})
		w.doorman()
		ctx, cancel := context.WithCancel(t.Context())
		var left sync.WaitGroup
		left.Go(func() {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://pipe/socket.io/?EIO=4&transport=polling", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if res, err := w.http.Do(r); err == nil {
				res.Body.Close()
				t.Errorf("got %d", res.StatusCode)
			}
		})
		w.settle()
		cancel()
		left.Wait()
		w.settle()
		if n := w.m.Handshakes[authUnavailable].Load(); n != 1 {
			t.Errorf("after the client left: %d questions have ended, want 1", n)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if status, _, _ := w.request(http.MethodGet, "", ""); status != 403 {
				t.Errorf("stopping: got %d, want 403", status)
			}
		})
		w.settle()
		began := time.Now()
		if err := w.stop(); err != nil || time.Since(began) > time.Second {
			t.Errorf("stop: %v after %s", err, time.Since(began))
		}
		waiting.Wait()
	})
}
