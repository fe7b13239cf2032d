package edge

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// another lets another edge join the mesh.
func (w *world) another() {
	w.tb.Helper()
	e, err := New(w.bus, mesh.Subjects{}, slog.New(slog.DiscardHandler), Config{})
	if err != nil {
		w.tb.Fatal(err)
	}
	runs(w.tb, e.Run)
	w.pass(time.Second)
}

// A CONNECT on polling waits for the upgrade only if there is another edge, and not for ever.
func TestConnectWaitsForUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/", "/b")
		total := 0
		asked := func() int {
			for _, r := range app.records() {
				if r.Kind == wire.KindConnect {
					total++
				}
			}
			return total
		}
		alone := w.poll()
		alone.connect()
		w.settle()
		if asked() != 1 {
			t.Fatalf("one edge: %d CONNECTs came through at once, want 1", asked())
		}
		w.another()

		c := w.open() // a WebSocket has nothing to wait for
		c.send("40")
		w.settle()
		if asked() != 2 {
			t.Errorf("on WebSocket: %d CONNECTs came through, want 2", asked())
		}
		p := w.poll()
		p.connect()
		w.pass(280 * time.Millisecond)
		if asked() != 2 {
			t.Error("on polling: the CONNECT did not wait")
		}
		w.pass(30 * time.Millisecond)
		if asked() != 3 {
			t.Error("on polling: the CONNECT waited too long")
		}
		if status, _, _ := w.request("POST", "&sid="+p.sid, "40/b,"); status != 200 { // it has waited once
			t.Errorf("status %d", status)
		}
		w.settle()
		if asked() != 4 {
			t.Error("a second CONNECT waited too")
		}
	})
}

// What comes behind a CONNECT that waits ends the wait, so that it does not overtake it; and a client that leaves meanwhile
// leaves nothing behind.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		w.another()
		p := w.poll()
		if status, _, _ := w.request("POST", "&sid="+p.sid, "40\x1e41"); status != 200 {
			t.Errorf("status %d", status)
		}
		w.settle()
		if n := len(app.records()); n != 0 {
			t.Errorf("a client that left the namespace at once became %d records", n)
		}
		p = w.poll()
		p.connect()
		w.request("POST", "&sid="+p.sid, "1")
		w.pass(time.Second)
		if n := len(app.records()); n != 0 {
			t.Errorf("a client that closed while its CONNECT waited became %d records", n)
		}
		if n := w.m.Connections.Load(); n != 1 { // the first one's
			t.Errorf("%d connections left, want 1", n)
		}
	})
}
