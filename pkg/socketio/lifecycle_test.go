package socketio

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// book is a log that may be read while it is written.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines returns those about the app itself.
func (b *book) lines() (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, `msg="app `) {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

func TestRunLogs(t *testing.T) {
	lost := errors.New("lost")
	for reason, stop := range map[string]func(s *Server, end context.CancelFunc){
		"context ended": func(_ *Server, end context.CancelFunc) { end() },
		"closed":        func(s *Server, _ context.CancelFunc) { _ = s.Close(t.Context()) },
		"mesh lost":     func(s *Server, _ context.CancelFunc) { s.deaf <- lost },
	} {
		t.Run(reason, func(t *testing.T) {
			r := newRing(t)
			r.startRooms()
			log := &book{}
			s, _ := r.serverFor(func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
			_ = errors.Join(s.OnConnection(nothing), s.Of("/chat").OnConnection(nothing))
			end, result := run(t, s)
			r.join(s, "/")
			eventually(t, "the first line", func() bool { return len(log.lines()) == 1 })
			stop(s, end)
			if err := receive(t, "Run", result); (err != nil) != (reason == "mesh lost") || err != nil && !errors.Is(err, lost) {
				t.Errorf("Run = %v", err)
			}
			who := " app=test instance=" + s.self.Instance.String()
			want := []string{
				`level=INFO msg="app serving"` + who + " namespaces=2",
				`level=INFO msg="app stopping"` + who + ` reason="` + reason + `" sockets=1`,
			}
			if reason == "closed" {
				want[1] = strings.ReplaceAll(want[1], `"closed"`, "closed")
			}
			got := log.lines()
			if len(got) != len(want) {
				t.Fatalf("got %q, want %q", got, want)
			}
			for i := range got {
				if !strings.HasSuffix(got[i], want[i]) {
					t.Errorf("got %s, want %s", got[i], want[i])
				}
			}
		})
	}
}
