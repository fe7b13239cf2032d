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

// TestUnjoinedPolling: a polling client that does not take its close packet is a guest until it is gone, and makes room first.
func TestUnjoinedPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, closed := range []string{"connect timeout", "invalid packet"} {
			w := newMesh(t, Config{MaxUnjoined: 3, ConnectTimeout: 10 * time.Second})
			for range 3 {
				p := w.poll()
				if closed == "invalid packet" {
					w.request(http.MethodPost, "&sid="+p.sid, "4nonsense")
				}
			}
			if closed == "connect timeout" {
				w.pass(w.edge.cfg.ConnectTimeout + time.Second)
			} else {
				w.pass(w.edge.cfg.AppWait)
			}
			if n := w.edge.engine.ClientsCount(); n != 3 || w.edge.guests.count != 3 {
				t.Errorf("%s: %d sessions wait for their end, %d guests, want 3", closed, n, w.edge.guests.count)
			}
			for range 3 {
				w.poll()
				w.settle()
				if n := w.edge.engine.ClientsCount(); n != 3 || w.edge.guests.count != 3 {
					t.Errorf("%s: %d sessions, %d guests, want 3", closed, n, w.edge.guests.count)
				}
			}
			if status, _, _ := w.request(http.MethodGet, "", ""); status != http.StatusServiceUnavailable {
				t.Errorf("%s: one more got %d, want 503", closed, status)
			}
			if n := w.m.UnjoinedClosed.Load(); n != 0 {
				t.Errorf("%s: counted %d closed to make room, want 0: they were closed already", closed, n)
			}
			w.pass(time.Minute)
			if n := w.edge.engine.ClientsCount(); n != 0 || w.edge.guests.count != 0 {
				t.Errorf("%s: %d sessions, %d guests are left", closed, n, w.edge.guests.count)
			}
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
