package edge

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestTooManyUnjoined: beyond the limit the oldest guest makes room if it had its time, else the new one is refused; who has
// joined does not count.
func TestTooManyUnjoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxUnjoined: 3})
		w.newApp(true, "/")
		member := w.join("/")
		oldest := w.open()
		for range 2 {
			w.open()
		}
		status, text, h := w.request(http.MethodGet, "", "")
		if status != http.StatusServiceUnavailable || h.Get("Retry-After") != "5" || text != `{"code":3,"message":"Too many connections without a namespace"}` {
			t.Errorf("a fourth: got %d %s, Retry-After %q", status, text, h.Get("Retry-After"))
		}
		if n := w.m.UnjoinedRefused.Load(); n != 1 {
			t.Errorf("counted %d refused, want 1", n)
		}
		oldest.wantOpen()
		w.pass(w.edge.cfg.AppWait)
		late := w.open()
		oldest.wantClosed()
		if n := w.m.UnjoinedClosed.Load(); n != 1 {
			t.Errorf("counted %d closed, want 1", n)
		}
		late.send("40")
		w.settle()
		if got := late.take(); len(got) != 1 {
			t.Errorf("the last to come joins: got %q", got)
		}
		w.open() // in its place
		member.wantOpen()
		if n := w.edge.guests.count; n != 3 {
			t.Errorf("%d guests, want 3", n)
		}
		w.pass(w.edge.cfg.ConnectTimeout + time.Second)
		if n := w.edge.guests.count; n != 0 || w.m.ConnectTimeouts.Load() != 3 {
			t.Errorf("after the connect timeout: %d guests, %d timed out, want 0 and 3", n, w.m.ConnectTimeouts.Load())
		}
	})
}

func TestUnjoinedWithoutLimit(t *testing.T) {
	if n := (Config{}).withDefaults().MaxUnjoined; n != 10_000 {
		t.Errorf("default: %d, want 10 000", n)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newMesh(t, Config{MaxUnjoined: -1})
		for range 20 {
			w.open()
		}
		if n := w.edge.guests.count; n != 20 {
			t.Errorf("%d guests, want 20", n)
		}
	})
}
