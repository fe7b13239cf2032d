package engine

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// UPG-002: a GET that waits is released 100 ms after the probe, when the client has
// stopped polling, and every 100 ms after.
func TestUpgradeReleasesGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c := e.openPolling()
		get := c.goGet()
		w := c.probe()
		start := time.Now()
		wantResponse(t, wait(t, get), 200, "6")
		within(t, "noop", time.Since(start), noopInterval, 2)
		c.wantGet(200, "6")
		within(t, "second noop", time.Since(start), 2*noopInterval, 3)
		if c.p.s.Upgraded() || c.p.s.Transport() != Polling {
			t.Error("upgraded by the probe alone")
		}
		w.send("5")
		eventually(t, "upgrade", c.p.s.Upgraded)
		if c.p.s.Transport() != WebSocket {
			t.Errorf("transport %q", c.p.s.Transport())
		}
	})
}

// A GET that still waits when the upgrade completes: from before the probe, and after it.
func TestUpgradeWithGetWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c := e.openPolling()
		get := c.goGet()
		w := c.probe()
		w.send("5")
		wantResponse(t, wait(t, get), 200, "6")

		c = e.openPolling()
		w = c.probe()
		get = c.goGet()
		w.send("5")
		wantResponse(t, wait(t, get), 400, `{"code":3,"message":"Bad request"}`) // UPG-004
		eventually(t, "upgrade", c.p.s.Upgraded)
	})
}

// UPG-008: without 5 only the new transport is closed, after UpgradeTimeout.
func TestUpgradeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Metrics{}
		e := newPipeEnv(t, Config{UpgradeTimeout: 2 * time.Second, Metrics: m}, echoing())
		for _, probed := range []bool{true, false} {
			c := e.openPolling()
			start := time.Now()
			var w *wsClient
			if probed {
				w = c.probe()
			} else {
				w = c.dialProbe()
			}
			w.wantClose("")
			within(t, "close", time.Since(start), 2*time.Second, 1)
			c.wantPost("4still polling")
			c.wantGet(200, "4still polling")
		}
		if n := m.Snapshot().Upgrades["timed_out"]; n != 2 {
			t.Errorf("%d upgrades are counted as timed out, want 2", n)
		}
	})
}

// dialProbe opens a WebSocket for the session and says nothing on it.
func (c *poller) dialProbe() *wsClient {
	c.e.tb.Helper()
	w, err := c.e.dialWS(c.e.tb.Context(), "transport=websocket&sid="+c.sid)
	if err != nil {
		c.e.tb.Fatal(err)
	}
	return w
}

// probing reports whether the server is in an upgrade of the session.
func (c *poller) probing() bool {
	c.p.s.mu.Lock()
	defer c.p.s.mu.Unlock()
	return c.p.s.probe != nil
}

// UPG-010, UPG-011, UPG-012: whatever a probing transport does wrong ends it alone, and
// the upgrade can be tried again.
func TestUpgradeFailsAndIsRetried(t *testing.T) {
	onEachConn(t, Config{Metrics: &Metrics{}}, echoing(), func(t *testing.T, e *env) {
		t.Helper()
		before := e.srv.cfg.Metrics.Snapshot().Upgrades
		c := e.openPolling()
		for name, spoil := range map[string]func(*wsClient){
			"message":       func(w *wsClient) { w.send("4x"); w.wantClose("") },
			"other ping":    func(w *wsClient) { w.send("2prob"); w.wantClose("") },
			"binary":        func(w *wsClient) { w.sendBinary("2probe"); w.wantClose("") },
			"garbage":       func(w *wsClient) { _, _ = io.WriteString(w.conn, "\x00\x00\x00\x00"); w.wantClose("\x03\xea") }, // EIO-044
			"close frame":   func(w *wsClient) { w.write(ws.NewCloseFrame(nil)); w.wantClose("") },
			"disconnection": func(w *wsClient) { _ = w.conn.Close() },
			"after probe": func(w *wsClient) {
				w.send("2probe")
				w.text()
				w.send("3")
				w.wantClose("")
			},
		} {
			w := c.dialProbe()
			eventually(t, "start of the probe for "+name, c.probing)
			second := c.dialProbe() // UPG-005: during the upgrade
			second.wantClose("")
			spoil(w)
			eventually(t, "end of the probe after "+name, func() bool { return !c.probing() })
			c.wantPost("4" + name)
			c.wantGet(200, "4"+name)
		}
		w := c.upgrade()
		w.send("4done")
		if got := w.text(); got != "4done" {
			t.Errorf("got %q", got)
		}
		now := e.srv.cfg.Metrics.Snapshot().Upgrades
		for end, want := range map[string]uint64{"failed": 7, "refused": 7, "completed": 1, "timed_out": 0} {
			if n := now[end] - before[end]; n != want {
				t.Errorf("%d upgrades are counted as %s, want %d", n, end, want)
			}
		}
	})
}

// UPG-009: the end of the session ends the probe.
func TestUpgradeSessionCloses(t *testing.T) {
	onEachConn(t, Config{}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c := e.openPolling()
		w := c.probe()
		c.p.s.Discard(ForcedClose)
		w.wantClose("")
		c.p.waitClosed(ForcedClose)
		c.wantGone()
	})
}

// UPG-014: a session that is closing when the upgrade completes ends on the new transport.
func TestUpgradeWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c := e.openPolling()
		w := c.probe()
		if err := c.p.s.Send(NewText([]byte("last"))); err != nil {
			t.Fatal(err)
		}
		c.p.s.Close()
		start := time.Now()
		w.send("5")
		if got := w.text(); got != "4last" {
			t.Errorf("got %q", got)
		}
		w.wantClose("")
		c.p.waitClosed(ForcedClose)
		if d := time.Since(start); d != 0 { // UPG-014: not when the close has timed out
			t.Errorf("closed %v after the upgrade, want at once", d)
		}
	})
}

// UPG-013, EIO-036: it is the same session after the upgrade.
func TestUpgradeKeepsSession(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	address := c.p.s.RemoteAddr()
	w := c.upgrade()
	if got := c.p.s.RemoteAddr(); got != address || got == w.conn.LocalAddr().String() { // UPG-013, EIO-035: that of the first request
		t.Errorf("address %q, was %q, and is not that of the new connection", got, address)
	}
	if n := e.srv.ClientsCount(); n != 1 || len(e.peers) != 0 {
		t.Errorf("%d sessions, %d more accepted", n, len(e.peers))
	}
	if string(c.p.s.ID()) != c.sid {
		t.Errorf("id %q, want %q", c.p.s.ID(), c.sid)
	}
}

// UPG-006: many messages each way across an upgrade, which happens at any point of them:
// none is lost, repeated or out of order.
func TestUpgradeKeepsOrder(t *testing.T) {
	const messages = 60
	for _, after := range []int{0, 1, 7, 30, 59} {
		onEachConn(t, Config{}, options{}, func(t *testing.T, e *env) {
			t.Helper()
			c := e.openPolling()
			var sending sync.WaitGroup
			sending.Go(func() {
				for i := range messages {
					if err := c.p.s.Send(NewText(fmt.Appendf(nil, "down %d", i))); err != nil {
						t.Errorf("send %d: %v", i, err)
					}
					<-time.After(time.Millisecond)
				}
			})
			defer sending.Wait()

			r := &upgradingClient{c: c, t: t}
			down := r.poll()
			sent := 0
			for ; sent < after; sent++ {
				c.wantPost(fmt.Sprintf("4up %d", sent))
			}
			w := c.probe()
			for ; sent < after+2 && sent < messages; sent++ { // polling goes on during the probe
				c.wantPost(fmt.Sprintf("4up %d", sent))
			}
			r.stop()
			got := <-down
			w.send("5")
			for ; sent < messages; sent++ {
				w.send(fmt.Sprintf("4up %d", sent))
			}
			for len(got) < messages {
				got = append(got, w.text())
			}
			for i, m := range c.p.waitMessages(messages) {
				if m != fmt.Sprintf("t:up %d", i) {
					t.Fatalf("server heard %q as number %d", m, i)
				}
			}
			for i, m := range got {
				if m != fmt.Sprintf("4down %d", i) {
					t.Fatalf("client heard %q as number %d", m, i)
				}
			}
		})
	}
}

// Packets of a POST that is still being handled when the upgrade completes come before those
// of the WebSocket; a POST whose body is still coming is cut, and the session goes on.
func TestUpgradeWithPostUnderWay(t *testing.T) {
	e := newEnv(t, Config{}, options{peer: func(p *peer) {
		p.onMessage = func(p *peer, m string) {
			if m == "hold" {
				p.s.Pause()
			}
		}
	}})
	c := e.openPolling()
	post := make(chan response, 1)
	go func() { post <- c.post("4hold\x1e4second") }() // waited for below
	eventually(t, "held POST", func() bool { return c.p.s.gate() != nil })
	w := c.upgrade()
	w.send("4third")
	c.p.s.Resume()
	wantResponse(t, wait(t, post), 200, "ok")
	if got := fmt.Sprint(c.p.waitMessages(3)); got != "[t:hold t:second t:third]" {
		t.Errorf("heard %s", got)
	}

	c = e.openPolling()
	half := c.goPost()
	w = c.upgrade()
	half.wantCut(t)
	w.send("4alive")
	if got := fmt.Sprint(c.p.waitMessages(1)); got != "[t:alive]" {
		t.Errorf("heard %s", got)
	}
}

// upgradingClient polls until it is told to stop, like the official client.
type upgradingClient struct {
	c       *poller
	t       *testing.T
	mu      sync.Mutex
	stopped bool // guarded by mu
}

func (r *upgradingClient) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
}

// poll returns a channel that gets all messages received by polling, once stopped and the
// last GET is answered.
func (r *upgradingClient) poll() <-chan []string {
	ch := make(chan []string, 1)
	go func() { // ends after stop, which the test waits for on ch
		var got []string
		defer func() { ch <- got }()
		for {
			r.mu.Lock()
			stopped := r.stopped
			r.mu.Unlock()
			if stopped {
				return
			}
			res := r.c.e.do(r.t.Context(), http.MethodGet, "transport=polling&sid="+r.c.sid, "")
			if res.err != nil || res.status != http.StatusOK {
				r.t.Errorf("poll: %d %q %v", res.status, res.body, res.err)
				return
			}
			for p := range strings.SplitSeq(res.body, "\x1e") {
				if p != "6" {
					got = append(got, p)
				}
			}
		}
	}()
	return ch
}
