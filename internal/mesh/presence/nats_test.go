package presence

import (
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

// TestServerRestartKillsNobody: everybody loses the connection, and nobody takes that for a death.
func TestServerRestartKillsNobody(t *testing.T) {
	server := natstest.Start(t)
	dial := func(name string) *bus.NATS {
		b, err := bus.Dial(t.Context(), server.URL(), bus.NATSOptions{Name: name})
		if err != nil {
			t.Fatalf("dial: %v", err)
		}
		t.Cleanup(b.Close)
		return b
	}
	cfg := Config{SuspectFor: 5 * time.Second, DeadAfter: 10 * time.Second} // one may be back that much before the other
	a, e := join(t, dial("a"), app(), cfg), join(t, dial("e"), edge(), cfg)
	meet := func() bool { return a.Fresh(e.self.Instance) && e.Fresh(a.self.Instance) }
	eventually(t, "the instances meet", meet)
	eventually(t, "the edge knows all", func() bool {
		select {
		case <-e.Heard():
			return true
		default:
			return false
		}
	})
	if got := e.Live(mesh.KindApp); len(got) != 1 {
		t.Errorf("live apps = %+v, want one", got)
	}
	for _, m := range []*member{a, e} {
		eventually(t, "the watcher is told of the other", func() bool {
			news, _ := m.told()
			return len(news) > 0
		})
	}
	for range 3 {
		server.Stop()
		eventually(t, "the connections are lost", func() bool { return !a.line.Connected() && !e.line.Connected() })
		e.Suspect(a.self.Instance) // as somebody would who got no responders meanwhile
		server.Restart()
		eventually(t, "the instances meet again", meet)
	}
	for _, m := range []*member{a, e} {
		news, _ := m.told()
		for _, n := range news {
			if n == "died app" || n == "died edge" || n == "up app" || n == "up edge" {
				t.Errorf("news = %q, want no deaths", news)
			}
		}
	}
	a.stop()
	eventually(t, "the goodbye arrives", func() bool { return len(e.Live(mesh.KindApp)) == 0 })
}

func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%s: not within 20 s", what)
		}
	}
}
