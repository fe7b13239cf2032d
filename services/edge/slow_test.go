package edge

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
)

// TestSlowClient: what waits for a client is bounded in bytes. What is volatile is dropped first; then the client is closed,
// and its app is told why.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxOutboundBytes: 10_000})
		app := w.newApp(true, "/")
		p := w.poll()
		p.connect()
		p.get()
		of, _ := app.connect()
		app.records()
		volatile := emit(0, `["v"]`)
		volatile.Flags = wire.FlagVolatile
		packet := `["` + strings.Repeat("x", 4000) + `"]`
		for range 2 {
			app.do(of, emit(0, packet), volatile)
		}
		app.expect()
		if n := w.m.VolatileDropped.Load(); n != 2 {
			t.Errorf("dropped %d volatile packets, want 2", n)
		}
		app.do(of, emit(0, packet))
		d := disconnect(t, &app.expect(wire.KindDisconnect)[0])
		if d.GetReason() != "transport close" || d.GetDescription() != engine.ErrSlow.Error() {
			t.Errorf("the app is told %q, %q", d.GetReason(), d.GetDescription())
		}
		if n := w.m.Engine.Snapshot().SessionsClosed[engine.SlowClient]; n != 1 {
			t.Errorf("counted %d slow clients, want 1", n)
		}
		if status, _, _ := w.request(http.MethodGet, "&sid="+p.sid, ""); status != http.StatusBadRequest {
			t.Errorf("the session goes on: got status %d", status)
		}
	})
}
