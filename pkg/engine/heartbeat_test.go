package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// within checks that d is want, give or take what the wheel's ticks allow.
func within(tb testing.TB, what string, d, want time.Duration, ticks int) {
	tb.Helper()
	if d < want || d >= want+time.Duration(ticks)*wheelTick {
		tb.Errorf("%s after %v, want %v and less than %d ticks more", what, d, want, ticks)
	}
}

// HB-002, HB-005, HB-006: the instants of pings and of the timeout, on both transports.
func TestHeartbeatInstants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: time.Second, PingTimeout: 3 * time.Second}, options{})
		<-time.After(1234 * time.Microsecond) // between two ticks
		c, p := e.openWS()
		last := time.Now()
		for i := range 20 {
			if got := c.text(); got != "2" {
				t.Fatalf("got %q, want a ping", got)
			}
			within(t, "ping", time.Since(last), time.Second, 1)
			<-time.After(time.Duration(i) * 137 * time.Millisecond)
			c.send("3")
			synctest.Wait()
			last = time.Now()
		}
		c.text()
		c.wantClose("")
		within(t, "timeout", time.Since(last), 4*time.Second, 1)
		p.waitClosed(PingTimeout)

		start := time.Now() // HB-004: without any GET
		poll := e.openPolling()
		poll.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(start), 4*time.Second, 1)

		<-time.After(3456 * time.Microsecond) // between two ticks again
		start = time.Now()
		poll = e.openPolling()
		<-time.After(4*time.Second - time.Nanosecond)
		wantResponse(t, poll.post("4x"), 200, "ok") // HB-005
		poll.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(start), 7*time.Second, 2) // HB-012

		start = time.Now()
		poll = e.openPolling()
		<-time.After(4 * time.Second)
		poll.wantGone() // HB-003, though the tick is still to come
		poll.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(start), 4*time.Second, 1)

		start = time.Now() // HB-007: a GET that waits is answered
		poll = e.openPolling()
		poll.wantGet(200, "2")
		poll.wantGet(200, "1")
		within(t, "timeout", time.Since(start), 4*time.Second, 1)
		poll.wantGone()
	})
}

// TestPingsTogether: long intervals end a little early, so that the pings of many sessions go together.
func TestPingsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		var clients []*wsClient
		began := time.Now()
		for range 10 {
			c, _ := e.openWS()
			clients = append(clients, c)
			<-time.After(24 * time.Millisecond)
		}
		clients[0].text()
		if got := time.Since(began); got <= 25*time.Second-250*time.Millisecond || got > 25*time.Second {
			t.Errorf("the first ping after %v", got)
		}
		first := time.Now()
		for _, c := range clients[1:] {
			c.text()
		}
		if got := time.Since(first); got > 250*time.Millisecond { // at two instants at most
			t.Errorf("the others %v after the first", got)
		}
		for i, c := range clients {
			c.send("3")
			<-time.After(time.Duration(i) * time.Millisecond)
		}
		clients[0].text()
		first = time.Now()
		for _, c := range clients[1:] {
			c.text()
		}
		if got := time.Since(first); got != 0 && got != 250*time.Millisecond {
			t.Errorf("the others %v after the first, want them with it", got)
		}
	})
}

// TestTimeoutOfEarlyPings: a ping that goes with others, and so early, leaves its client the whole time.
func TestTimeoutOfEarlyPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		for i := range 5 {
			<-time.After(time.Duration(i)*77*time.Millisecond + time.Microsecond)
			start := time.Now()
			_, p := e.openWS()
			p.waitClosed(PingTimeout)
			if got := time.Since(start); got < 45*time.Second || got > 45*time.Second+250*time.Millisecond+wheelTick { // HB-005
				t.Errorf("closed %v after the opening, want 45 s and a little", got)
			}
			c, p := e.openWS()
			c.text()
			<-time.After(time.Duration(i)*41*time.Millisecond + time.Microsecond)
			c.send("3")
			synctest.Wait()
			start = time.Now()
			c.text()
			c.send("4extends") // HB-012, but this soon it must not make it shorter
			p.waitClosed(PingTimeout)
			if got := time.Since(start); got < 45*time.Second || got > 45*time.Second+250*time.Millisecond+wheelTick { // HB-006
				t.Errorf("closed %v after a pong, want 45 s and a little", got)
			}
		}
	})
}

// HB-012: one other packet extends the timeout, the second does not; nor does one before the ping.
func TestHeartbeatExtension(t *testing.T) {
	for _, transport := range []string{Polling, WebSocket} {
		t.Run(transport, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newPipeEnv(t, Config{PingInterval: 10 * time.Second, PingTimeout: 10 * time.Second}, options{})
				start := time.Now()
				var p *peer
				var send func(string)
				if transport == WebSocket {
					c, peer := e.openWS()
					go func() { // reads pings; ends with the connection, which the server closes
						for {
							if f, err := c.read(); err != nil || f.Header.OpCode == ws.OpClose {
								_ = c.conn.Close()
								return
							}
						}
					}()
					p, send = peer, c.send
				} else {
					c := e.openPolling()
					p, send = c.p, c.wantPost
				}
				at := func(d time.Duration) { <-time.After(d - time.Since(start)) }
				at(5 * time.Second)
				send("4before the ping")
				at(18 * time.Second)
				send("4extends to 28")
				at(25 * time.Second)
				send("4extends nothing")
				p.waitClosed(PingTimeout)
				within(t, "timeout", time.Since(start), 28*time.Second, 2)
			})
		})
	}
}

// The timeout is suspended while the session is paused, pings go on, and a pong is due
// within the timeout after Resume.
func TestHeartbeatPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: 5 * time.Second, PingTimeout: 3 * time.Second}, options{})
		c, p := e.openWS()
		start := time.Now()
		p.s.Pause()
		for i := range 4 {
			if got := c.text(); got != "2" {
				t.Fatalf("got %q, want a ping", got)
			}
			within(t, "ping", time.Since(start), time.Duration(i+1)*5*time.Second, 1)
		}
		go func() { // the pipe takes it when the session reads again
			c.send("3")
		}()
		<-time.After(4 * time.Second)
		synctest.Wait()
		resumed := time.Now()
		p.s.Resume()
		if got := c.text(); got != "2" {
			t.Fatalf("got %q, want a ping", got)
		}
		within(t, "ping after the pong", time.Since(resumed), 5*time.Second, 1)
		p.s.Pause()
		<-time.After(2 * time.Second)
		p.s.Resume()
		resumed = time.Now()
		c.wantClose("")
		within(t, "timeout", time.Since(resumed), 3*time.Second, 6) // by which pings of 5 s may be early
		p.waitClosed(PingTimeout)
	})
}

// TestTimeoutAfterResume: a client that is read again right behind an early ping has the whole time for its pong.
func TestTimeoutAfterResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		<-time.After(249 * time.Millisecond) // so that the ping is as early as can be
		start := time.Now()
		c, p := e.openWS()
		c.text()
		if early := 25*time.Second - time.Since(start); early < 200*time.Millisecond {
			t.Fatalf("the ping is %v early, want more", early)
		}
		p.s.Pause()
		p.s.Resume()
		p.waitClosed(PingTimeout)
		if got := time.Since(start); got < 45*time.Second || got > 45*time.Second+250*time.Millisecond+wheelTick { // HB-005
			t.Errorf("closed %v after the opening, want 45 s and a little", got)
		}
	})
}

// HB-008: the cycle goes on across an upgrade, and a client that goes silent with a ping
// unanswered at that moment is still found out.
func TestHeartbeatAcrossUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: 5 * time.Second, PingTimeout: 3 * time.Second}, options{})
		start := time.Now()
		c := e.openPolling()
		<-time.After(2 * time.Second)
		w := c.upgrade()
		if got := w.text(); got != "2" {
			t.Fatalf("got %q, want a ping", got)
		}
		within(t, "ping", time.Since(start), 5*time.Second, 1)
		w.send("3")
		w.text()
		w.wantClose("")
		c.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(start), 13*time.Second, 6) // by which pings of 5 s may be early

		c = e.openPolling() // a ping that came by polling may be answered on WebSocket
		c.wantGet(200, "2")
		<-time.After(time.Second)
		upgraded := time.Now()
		w = c.upgrade()
		for range 5 { // HB-008: no timeout while pongs continue
			w.send("3")
			if got := w.text(); got != "2" {
				t.Fatalf("got %q, want a ping", got)
			}
			within(t, "ping", time.Since(upgraded), 5*time.Second, 2)
			upgraded = time.Now()
		}

		c = e.openPolling()
		c.wantGet(200, "2")
		<-time.After(time.Second)
		upgraded = time.Now()
		w = c.upgrade()
		w.wantClose("")
		c.p.waitClosed(PingTimeout)
		within(t, "timeout", time.Since(upgraded), 3*time.Second, 7) // HB-008: it is armed anew
	})
}

// A ping that is due while a probe is answered waits, so that the GET the client must end
// gets exactly the noop (UPG-002).
func TestPingWaitsForUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: time.Second, PingTimeout: 2 * time.Second}, options{})
		c := e.openPolling()
		<-time.After(960 * time.Millisecond)
		w := c.probe()
		<-time.After(60 * time.Millisecond)
		c.wantGet(200, "6")
		w.send("5")
		if got := w.text(); got != "2" {
			t.Errorf("got %q, want the ping that waited", got)
		}

		c = e.openPolling() // but not for ever
		<-time.After(960 * time.Millisecond)
		_ = c.probe()
		<-time.After(time.Second + 40*time.Millisecond)
		c.wantGet(200, "2")
	})
}
