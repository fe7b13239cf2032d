package edge

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
)

// warnings keeps what an edge logs from warnings on. Safe for concurrent use.
type warnings struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (w *warnings) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(line)
}

func (w *warnings) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *warnings) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// TestSilentAuthIsLogged: nobody answers about CONNECTs or handshakes, which is told once a minute, without what clients wrote.
func TestSilentAuthIsLogged(t *testing.T) {
	for name, tt := range map[string]struct {
		handshakes bool
		subject    string
		ask        func(*world)
	}{
		"CONNECT": {false, "subject=sio.v1.auth.connect", func(w *world) {
			w.open("X-Own", "hush").send(`40{"token":"hush"}`)
			w.pass(time.Second) // asked several times
		}},
		"handshake": {true, "subject=sio.v1.auth.handshake", func(w *world) {
			for range 3 {
				w.request(http.MethodGet, "&own=hush", "", "X-Own", "hush")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logged warnings
				w := newLoggedWorld(t, Config{AuthHandshake: tt.handshakes}, logged.log())
				w.newRing(1)
				w.newApp(true, "/")
				w.settle()
				want := func(lines int) {
					t.Helper()
					got := logged.String()
					if n := strings.Count(got, `level=WARN msg="no auth service answers"`); n != lines || strings.Count(got, "\n") != n {
						t.Errorf("logged %q, want %d lines", got, lines)
					}
					if strings.Count(got, tt.subject+" consequence=") != lines || strings.Contains(got, "hush") {
						t.Errorf("logged %q, want the subject, and nothing of a client", got)
					}
				}
				tt.ask(w)
				want(1)
				w.pass(10 * time.Second)
				tt.ask(w)
				want(1)
				w.pass(silenceInterval)
				tt.ask(w)
				want(2)
				if last := logged.String(); strings.Count(last, " unanswered=1 ") != 1 {
					t.Errorf("logged %q, want what was not answered meanwhile", last)
				}
			})
		})
	}
}

// TestSilentAuthOrNoTime: a client that leaves, or an edge that stops, says nothing about auth; one that answers is not missed.
func TestSilentAuthOrNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged warnings
		w := newLoggedWorld(t, Config{}, logged.log())
		w.newRing(1)
		w.newApp(true, "/")
		never := make(chan struct{})
		answer := make(chan string, 1)
		w.auth(func(authn.ConnectRequest) string {
			select {
			case a := <-answer:
				return a
			case <-never:
				return ""
			}
		})
		w.settle()
		c := w.open()
		c.send("40")
		w.pass(time.Second)
		c.send("1") // the client leaves while auth thinks
		w.settle()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		var q silence
		w.edge.unheard(&q, "subject", "", context.Canceled, t.Context(), gone)
		if got := logged.String(); got != "" {
			t.Errorf("logged %q, want nothing", got)
		}
		w.open().send("40")
		w.pass(time.Second)
		if got := logged.String(); got != "" { // it has a second yet
			t.Errorf("logged %q, want nothing", got)
		}
		w.pass(1500 * time.Millisecond)
		if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no auth service answers") {
			t.Errorf("logged %q, want that nobody answers in time", got)
		}
		close(never)
	})
}
