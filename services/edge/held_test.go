package edge

import (
	"testing"
	"testing/synctest"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// TestHeldBytesAreBounded: an app that asks again and again does not have its client read without end.
func TestHeldBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{})
		app := w.newApp(true, "/")
		c := w.join("/")
		of, _ := app.connect()
		app.do(of, handled(1))
		app.records()
		c.say(3, 100<<10) // two are sent, one is held, and the client is not read
		const asked = 10
		for i := range asked {
			app.do(of, emit(uint64(100+i), `["q"]`))
			c.say(1, 900<<10)
		}
		for _, sk := range w.edge.table.all() {
			if limit := w.edge.cfg.MaxHeld + 1_000_000; sk.flow.waiting > limit {
				t.Errorf("%d bytes held, want at most %d: the bound and one message", sk.flow.waiting, limit)
			}
		}
		failed := 0
		for _, r := range app.records() {
			if r.Kind == wire.KindAckFailed {
				failed++
			}
		}
		if failed == 0 || failed > asked {
			t.Errorf("%d of %d requests failed, want those that could not be answered", failed, asked)
		}
		if n := w.m.AcksFailed.Load(); n != uint64(failed) {
			t.Errorf("counted %d failed requests, want %d", n, failed)
		}
	})
}
