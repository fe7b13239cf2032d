package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// heartbeatV3 is a server of protocol 3 whose sessions live 8 s.
func heartbeatV3() Config {
	return Config{AllowEIO3: true, PingInterval: 5 * time.Second, PingTimeout: 3 * time.Second}
}

// V3-006, V3-007: a ping is answered at once and starts the time anew; nothing else does, and
// the server sends none.
func TestHeartbeatV3WebSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, heartbeatV3(), options{})
		<-time.After(1234 * time.Microsecond) // between two ticks
		c, p := e.openWSV3()
		for i := range 20 {
			<-time.After(time.Duration(i) * 400 * time.Millisecond) // up to 7.6 s
			c.send("2")
			sent := time.Now()
			if got := c.text(); got != "3" {
				t.Fatalf("ping answered with %q, want 3", got)
			}
			if d := time.Since(sent); d != 0 {
				t.Errorf("ping answered after %v", d)
			}
		}
		c.send("2data") // is not echoed
		last := time.Now()
		if got := c.text(); got != "3" {
			t.Errorf("ping with data answered with %q, want 3", got)
		}
		<-time.After(7 * time.Second)
		c.send("4a message does not count") // HB-012 is of protocol 4
		c.send("6")
		c.wantClose("")
		p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(last), 8*time.Second, 1)
	})
}

// V3-006, V3-007 over polling, with a GET that waits, without, and at the very instant.
func TestHeartbeatV3Polling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, heartbeatV3(), options{})
		c := e.openPollingV3("")
		var last time.Time
		for range 3 {
			<-time.After(6 * time.Second)
			get := c.goGet()
			c.wantPost("1:2")
			last = time.Now()
			wantResponse(t, wait(t, get), 200, "1:3")
		}
		c.wantPost("1:2")
		c.wantGet(200, "1:3")
		c.wantGet(200, "1:1") // answered by the end
		within(t, "timeout", time.Since(last), 8*time.Second, 1)
		c.p.waitClosed(PingTimeout)

		start := time.Now()
		c = e.openPollingV3("")
		c.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(start), 8*time.Second, 1)

		c = e.openPollingV3("")
		<-time.After(8 * time.Second)
		wantResponse(t, c.post("1:2"), 400, `{"code":1,"message":"Session ID unknown"}`)
		c.p.waitClosed(PingTimeout)
	})
}

// HB-010: only the client pings.
func TestHeartbeatV3Direction(t *testing.T) {
	e := newEnv(t, Config{AllowEIO3: true}, options{})
	c := e.openPollingV3("")
	get := c.goGet()
	if res := c.post("1:3"); res.err == nil && res.status == 200 {
		t.Errorf("a pong got %d %q", res.status, res.body)
	}
	wantResponse(t, wait(t, get), 200, "1:1")
	c.p.waitClosed(TransportError)
	c.wantGone()
	w, p := e.openWSV3()
	w.send("3")
	w.wantClose("")
	p.waitClosed(TransportError)
	if p.cause == nil || p.cause.Error() != "invalid heartbeat direction" {
		t.Errorf("cause %v", p.cause)
	}
}

// The time goes on across an upgrade, which is a sign of life itself.
func TestHeartbeatV3AcrossUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, heartbeatV3(), options{})
		c := e.openPollingV3("")
		<-time.After(6 * time.Second)
		w := c.upgrade()
		upgraded := time.Now()
		<-time.After(7 * time.Second)
		w.send("2")
		if got := w.text(); got != "3" {
			t.Fatalf("got %q, want 3", got)
		}
		within(t, "pong", time.Since(upgraded), 7*time.Second, 1)
		last := time.Now()
		w.wantClose("")
		c.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(last), 8*time.Second, 1)
	})
}

// A paused session does not end and does not read: its client gets a pong whenever it would
// ping, and has the whole time after Resume.
func TestHeartbeatV3Paused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, heartbeatV3(), options{})
		c, p := e.openWSV3()
		start := time.Now()
		<-time.After(time.Second)
		p.s.Pause()
		for i := range 4 {
			if got := c.text(); got != "3" {
				t.Fatalf("got %q, want a pong", got)
			}
			within(t, "pong", time.Since(start), time.Duration(i+1)*5*time.Second, i+1)
		}
		<-time.After(time.Second)
		p.s.Resume()
		resumed := time.Now()
		<-time.After(6 * time.Second)
		p.s.Pause() // later than the client would ping
		if got := c.text(); got != "3" {
			t.Fatalf("got %q, want a pong", got)
		}
		within(t, "late pong", time.Since(resumed), 6*time.Second, 2)
		p.s.Resume()
		resumed = time.Now()
		c.wantClose("")
		within(t, "timeout", time.Since(resumed), 8*time.Second, 1)
		p.waitClosed(PingTimeout)
	})
}

// A session that Accept has paused gets its pongs from the opening on.
func TestHeartbeatV3PausedInAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, heartbeatV3(), options{peer: func(p *peer) { p.s.Pause() }})
		c, p := e.openWSV3()
		start := time.Now()
		if got := c.text(); got != "3" {
			t.Fatalf("got %q, want a pong", got)
		}
		within(t, "pong", time.Since(start), 5*time.Second, 1)
		p.s.Resume()
		c.wantClose("")
		within(t, "timeout", time.Since(start), 13*time.Second, 2)
		p.waitClosed(PingTimeout)
	})
}

// A client that pings and does not read is too slow like any other (its pongs are bounded).
func TestHeartbeatV3Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := heartbeatV3()
		cfg.MaxOutboundBytes = 300
		e := newPipeEnv(t, cfg, options{})
		c, p := e.openWSV3()
		var pings []byte
		for range 200 {
			pings = append(pings, client(ws.NewTextFrame([]byte("2")))...)
		}
		_, _ = c.conn.Write(pings) // ends with the connection
		p.waitClosed(SlowClient)
	})
}
