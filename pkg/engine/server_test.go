package engine

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Close refuses handshakes, ends every session with what it has queued lost, and leaves
// nothing behind (EVT-005, HB-013).
func TestServerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c, p := e.openWS()
		if err := p.s.Queue(text("lost")); err != nil {
			t.Fatal(err)
		}
		waiting := e.openPolling()
		get := waiting.goGet()
		closing := e.openPolling()
		closing.p.s.Close()
		upgrading := e.openPolling()
		probe := upgrading.probe()
		lingering, q := e.openWS()
		q.s.Close()
		lingering.want(8)
		synctest.Wait() // all that was sent is out, so that a close frame can follow it

		done := make(chan error, 1)
		go func() { done <- e.srv.Close(t.Context()) }() // waited for below
		wantResponse(t, wait(t, get), 200, "1")
		c.wantClose("")
		probe.wantClose("")
		lingering.wantEnd()
		if err := <-done; err != nil {
			t.Errorf("Close: %v", err)
		}
		for _, p := range []*peer{p, waiting.p, closing.p, upgrading.p} {
			p.waitClosed(ForcedClose)
		}
		if n := e.srv.ClientsCount(); n != 0 {
			t.Errorf("%d sessions", n)
		}
		wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling", ""), 503, `{"code":3,"message":"Server is closing"}`)
		if _, err := e.dialWS(t.Context(), "transport=websocket"); err == nil {
			t.Error("WebSocket handshake accepted after Close")
		}
	})
}

// HB-013: a session that has ended leaves no timer behind, whatever it was waiting for.
func TestEndedSessionsHaveNoTimers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		for name, end := range map[string]func() *peer{
			"polling": func() *peer {
				c := e.openPolling()
				get := c.goGet()
				c.wantPost("1")
				wait(t, get)
				return c.p
			},
			"polling amid a heartbeat": func() *peer {
				c := e.openPolling()
				c.wantGet(200, "2")
				_ = c.post("abc")
				return c.p
			},
			"polling, closing": func() *peer {
				c := e.openPolling()
				c.p.s.Close()
				c.wantGet(200, "6\x1e1")
				return c.p
			},
			"polling, probed": func() *peer {
				c := e.openPolling()
				w := c.probe()
				c.p.s.Discard(ForcedClose)
				w.wantClose("")
				return c.p
			},
			"upgraded": func() *peer {
				c := e.openPolling()
				w := c.upgrade()
				w.send("1")
				w.wantClose("")
				return c.p
			},
			"websocket": func() *peer {
				c, p := e.openWS()
				_ = c.conn.Close()
				return p
			},
			"websocket, closed by the server": func() *peer {
				c, p := e.openWS()
				p.s.Close()
				c.wantClose("")
				return p
			},
		} {
			<-end().closed
			synctest.Wait()
			e.srv.wheel.mu.Lock()
			if n := e.srv.wheel.armed; n != 0 { // HB-013
				t.Errorf("%s: %d timers are left", name, n)
			}
			e.srv.wheel.mu.Unlock()
		}
	})
}

// Close gives up when its context ends, and says so.
func TestServerCloseTimeout(t *testing.T) {
	hold := make(chan struct{})
	e := newEnv(t, Config{}, options{peer: func(p *peer) {
		p.onMessage = func(*peer, string) { <-hold }
	}})
	c, p := e.openWS()
	c.send("4x")
	p.waitMessages(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := e.srv.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close with a handler that hangs: %v, want DeadlineExceeded", err)
	}
	close(hold)
	p.waitClosed(ForcedClose)
}

// Metrics after a session's life.
func TestMetrics(t *testing.T) {
	m := &Metrics{}
	e := newEnv(t, Config{Metrics: m}, echoing())
	c, p := e.openWS()
	c.send("4hello")
	c.text()
	if s := m.Snapshot(); s.SessionsOpen != 1 || s.SessionsOpened != 1 {
		t.Errorf("snapshot %+v", s)
	}
	p.s.Discard("taken over")
	p.waitClosed("taken over")
	s := m.Snapshot()
	if s.SessionsOpen != 0 || s.SessionsClosed[reasonOther] != 1 || s.PacketsIn["message"] != 1 ||
		s.PacketsOut["open"] != 1 || s.PacketsOut["message"] != 1 || s.BytesIn != 6 || s.BytesOut <= 6 {
		t.Errorf("snapshot %+v", s)
	}
}

// Every reason has a counter of its own, and what is none of this package's has one, too.
func TestMetricsOfReasons(t *testing.T) {
	m := &Metrics{}
	known := countedReasons()
	for i, r := range append(known[:], "somebody else's") {
		for range i + 1 {
			m.sessionClosed(r)
		}
	}
	got := m.Snapshot().SessionsClosed
	for i, r := range known {
		want := uint64(i + 1)
		if r == reasonOther {
			want = 8 + 9
		}
		if got[r] != want {
			t.Errorf("%q is counted %d times, want %d", r, got[r], want)
		}
	}
}

// 500 WebSocket clients vanish: goroutines and descriptors are back where they were.
func TestMassDisconnect(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("descriptors are counted on Linux only")
	}
	const clients = 500
	e := newEnv(t, Config{}, options{})
	c, p := e.openWS() // warm up
	_ = c.conn.Close()
	p.waitClosed(TransportClose)
	e.http.CloseIdleConnections()
	fds, goroutines := openDescriptors(t), runtime.NumGoroutine()

	conns := make([]*wsClient, clients)
	var wg sync.WaitGroup
	for part := range 10 {
		wg.Go(func() {
			for i := part; i < clients; i += 10 {
				c, err := e.dialWS(t.Context(), "transport=websocket")
				if err != nil {
					t.Errorf("dial %d: %v", i, err)
					return
				}
				conns[i] = c
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	eventually(t, "500 sessions", func() bool { return e.srv.ClientsCount() == clients })
	eventually(t, "end of the goroutines of 500 handshakes", func() bool { return runtime.NumGoroutine()-goroutines <= clients+50 })
	for _, c := range conns {
		_ = c.conn.Close()
	}
	for range clients {
		e.accepted().waitClosed(TransportClose)
	}
	eventually(t, "end of all sessions", func() bool { return e.srv.ClientsCount() == 0 })
	eventually(t, "end of their goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	if fds >= 0 {
		eventually(t, "end of their descriptors", func() bool { return openDescriptors(t) <= fds+5 })
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := e.srv.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// openDescriptors counts this process's descriptors, -1 where that is not possible.
func openDescriptors(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}
