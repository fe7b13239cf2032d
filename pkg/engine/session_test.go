package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

func text(s string) *Message { return NewText([]byte(s)) }

// Queue holds messages back until Flush or Send, which keeps the order; a GET takes them all.
func TestQueueAndFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c, p := e.openWS()
		if err := errors.Join(p.s.Queue(text("a"), NewBinary([]byte("b"))), p.s.Queue(text("c"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := p.s.conn.pending(); n != 0 {
			t.Errorf("%d bytes on their way before Flush", n)
		}
		p.s.Flush()
		if got := c.text() + c.want(ws.OpBinary) + c.text(); got != "4ab4c" {
			t.Errorf("got %q", got)
		}
		if err := errors.Join(p.s.Queue(text("d")), p.s.Send(text("e"))); err != nil {
			t.Fatal(err)
		}
		if got := c.text() + c.text(); got != "4d4e" {
			t.Errorf("got %q", got)
		}

		poll := e.openPolling()
		get := poll.goGet()
		if err := poll.p.s.Queue(text("a")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(get) != 0 {
			t.Error("the GET was answered before Flush")
		}
		poll.p.s.Flush()
		wantResponse(t, wait(t, get), 200, "4a")
	})
}

// Volatile on polling: only to a GET that waits, so the second of two is dropped.
func TestVolatilePolling(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	if c.p.s.SendVolatile(text("nobody waits")) {
		t.Error("sent without a GET")
	}
	get := c.goGet()
	if err := c.p.s.Queue(text("queued")); err != nil { // a batch in the making is no backpressure
		t.Fatal(err)
	}
	if !c.p.s.SendVolatile(text("one"), text("two")) {
		t.Error("not sent to a GET that waits")
	}
	if c.p.s.SendVolatile(text("three")) {
		t.Error("sent although the GET was answered")
	}
	wantResponse(t, wait(t, get), 200, "4queued\x1e4one\x1e4two")
	c.p.s.Discard(ForcedClose)
	if c.p.s.SendVolatile(text("late")) {
		t.Error("sent after the end")
	}
}

// Volatile on WebSocket is dropped while the kernel has not taken everything, and a
// client that does not read ends as SlowClient without anybody having waited.
func TestSlowWebSocket(t *testing.T) {
	onEachConn(t, Config{MaxOutboundBytes: 1 << 20}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		eventually(t, "writable connection", func() bool { return p.s.SendVolatile(text("volatile")) })
		if got := c.text(); got != "4volatile" {
			t.Errorf("got %q", got)
		}
		data := strings.Repeat("x", 64<<10)
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			err = p.s.Send(text(data))
			if err == nil && p.s.conn.pending() > 0 && p.s.SendVolatile(text("volatile")) && p.s.conn.pending() > 1<<19 {
				t.Error("volatile message sent behind data that waits")
			}
		}
		if !errors.Is(err, ErrSlow) {
			t.Fatalf("after %d messages: %v, want ErrSlow", n, err)
		}
		p.waitClosed(SlowClient)
		if err := p.s.Send(text("late")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after the end: %v, want ErrClosed", err)
		}
		if SlowClient.Wire() != TransportClose || ParseError.Wire() != ParseError {
			t.Error("wire meaning of reasons")
		}
	})
}

// The bound admits one send larger than itself when nothing waits, and nothing with it.
func TestOutboundBound(t *testing.T) {
	e := newEnv(t, Config{MaxOutboundBytes: 1000}, options{})
	c := e.openPolling()
	large := text(strings.Repeat("x", 5000))
	if err := c.p.s.Send(large); err != nil {
		t.Fatalf("large message to an empty queue: %v", err)
	}
	c.wantGet(200, "4"+strings.Repeat("x", 5000))
	if err := c.p.s.Send(text("small")); err != nil {
		t.Fatal(err)
	}
	if err := c.p.s.Send(large); !errors.Is(err, ErrSlow) {
		t.Errorf("large message behind a small one: %v, want ErrSlow", err)
	}
	c.p.waitClosed(SlowClient)
	c.wantGone()
}

// What is only queued is handed to a transport that can take it before the client counts as too slow.
func TestQueueBeyondBound(t *testing.T) {
	e := newEnv(t, Config{MaxOutboundBytes: 1000}, options{})
	part := strings.Repeat("x", 800)
	c, p := e.openWS()
	for range 3 {
		if err := p.s.Queue(text(part)); err != nil {
			t.Fatalf("WebSocket: %v", err)
		}
	}
	p.s.Flush()
	for range 3 {
		if got := c.text(); got != "4"+part {
			t.Errorf("WebSocket: got %.20q", got)
		}
	}
	l := e.openPolling()
	get := l.goGet()
	for i := range 3 { // one for the GET that waits, one for the next
		if err := l.p.s.Queue(text(part)); i < 2 && err != nil || i == 2 && !errors.Is(err, ErrSlow) {
			t.Fatalf("polling: message %d: %v", i, err)
		}
	}
	wantResponse(t, wait(t, get), 200, "4"+part)
}

// What is volatile is dropped before the bound makes a client too slow.
func TestVolatileWithinBound(t *testing.T) {
	e := newEnv(t, Config{MaxOutboundBytes: 1000}, options{})
	c := e.openPolling()
	get := c.goGet()
	if err := c.p.s.Queue(text(strings.Repeat("x", 800))); err != nil {
		t.Fatal(err)
	}
	if c.p.s.SendVolatile(text(strings.Repeat("v", 800))) {
		t.Error("sent beyond the bound")
	}
	c.p.s.Flush()
	wantResponse(t, wait(t, get), 200, "4"+strings.Repeat("x", 800))
}

// A client that pings without reading cannot make the server hoard pongs.
func TestPongsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{MaxOutboundBytes: 10_000}, options{})
		c, p := e.openWS()
		ping := client(ws.NewPingFrame([]byte(strings.Repeat("p", 125))))
		for range 200 {
			if _, err := c.conn.Write(ping); err != nil {
				break
			}
		}
		p.waitClosed(SlowClient)
	})
}

// Pause stops after the present message, and EndBatch comes before the wait; Resume goes on
// in order. On polling the POST is answered only then.
func TestPause(t *testing.T) {
	pausing := options{peer: func(p *peer) {
		p.onMessage = func(p *peer, m string) {
			if m == "pause" {
				p.s.Pause()
				p.s.Pause()
			}
		}
	}}
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, pausing)
		c, p := e.openWS()
		if _, err := c.conn.Write(client(ws.NewTextFrame([]byte("4pause")), ws.NewTextFrame([]byte("4pause")), ws.NewTextFrame([]byte("4end")))); err != nil {
			t.Fatal(err)
		}
		poll := e.openPolling()
		post := make(chan response, 1)
		go func() { post <- poll.post("4pause\x1e4pause\x1e4end") }() // waited for below
		for _, p := range []*peer{p, poll.p} {
			for _, want := range []string{"[t:pause |]", "[t:pause | t:pause |]", "[t:pause | t:pause | t:end |]"} {
				synctest.Wait()
				if got := fmt.Sprint(p.heard()); got != want {
					t.Errorf("heard %s, want %s", got, want)
				}
				if want != "[t:pause | t:pause | t:end |]" && p == poll.p && len(post) != 0 {
					t.Error("POST answered while paused")
				}
				p.s.Resume() // not twice: the session may have paused again by then
			}
			p.s.Resume()
		}
		wantResponse(t, wait(t, post), 200, "ok")
		c.send("4pause")
		synctest.Wait()
		p.s.Discard(ForcedClose) // ends a paused session
		p.waitClosed(ForcedClose)
	})
}

// A held POST ends with its session, gracefully or not, and with its client.
func TestPausedPostEnds(t *testing.T) {
	e := newEnv(t, Config{}, options{peer: func(p *peer) {
		p.onMessage = func(p *peer, _ string) { p.s.Pause() }
	}})
	held := func(c *poller) func() bool {
		return func() bool { return c.p.s.gate() != nil && len(c.p.heard()) == 2 }
	}
	hold := func(ctx context.Context) (*poller, chan response) {
		c := e.openPolling() //nolint:contextcheck // ctx is for the POST alone
		post := make(chan response, 1)
		go func() { // waited for by each use
			post <- e.do(ctx, http.MethodPost, "transport=polling&sid="+c.sid, "4x\x1e4y")
		}()
		eventually(t, "held POST", held(c))
		return c, post
	}
	c, post := hold(t.Context())
	c.p.s.Close()
	wantResponse(t, wait(t, post), 200, "ok")
	c.wantGet(200, "6\x1e1")
	c.p.waitClosed(ForcedClose)

	c, post = hold(t.Context())
	c.p.s.Discard(ForcedClose)
	if r := wait(t, post); r.err == nil {
		t.Errorf("POST of a discarded session got %d", r.status)
	}
	c.p.waitClosed(ForcedClose)

	ctx, cancel := context.WithCancel(t.Context())
	c, post = hold(ctx)
	cancel()
	wait(t, post)
	c.p.waitClosed(TransportError)
	if got := c.p.messages(); len(got) != 1 {
		t.Errorf("heard %q after the pause", got)
	}
}

// The handler may do anything to its session from inside Message, and hears the end once,
// after EndBatch.
func TestEndInsideMessage(t *testing.T) {
	for name, end := range map[string]func(*Session){
		"close": (*Session).Close, "discard": func(s *Session) { s.Discard(ForcedClose) },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, Config{}, options{peer: func(p *peer) {
				p.onMessage = func(p *peer, _ string) { end(p.s) }
			}})
			c, p := e.openWS()
			if _, err := c.conn.Write(client(ws.NewTextFrame([]byte("4end")), ws.NewTextFrame([]byte("4more")))); err != nil {
				t.Fatal(err)
			}
			c.wantClose("")
			p.waitClosed(ForcedClose)
			if got := fmt.Sprint(p.heard()); got != "[t:end |]" {
				t.Errorf("heard %s", got)
			}
			poll := e.openPolling()
			if res := poll.post("4end\x1e4more"); name == "close" {
				wantResponse(t, res, 200, "ok")
				poll.wantGet(200, "6\x1e1")
			} else if res.err == nil {
				t.Errorf("POST with a packet that was not heard got %d %q", res.status, res.body)
			}
			poll.p.waitClosed(ForcedClose)
			poll.wantGone()
		})
	}
}

// Everything at once, for the race detector: many senders, pauses, an upgrade and the end.
func TestSessionUnderFire(t *testing.T) {
	onEachConn(t, Config{MaxOutboundBytes: 64 << 20}, echoing(), func(t *testing.T, e *env) {
		t.Helper()
		c := e.openPolling()
		shared := NewBinary([]byte("shared"))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for j := range 50 {
					_ = c.p.s.Send(text(fmt.Sprintf("%d/%d", i, j)), shared)
					c.p.s.SendVolatile(shared)
					c.p.s.Pause()
					c.p.s.Resume()
				}
			})
		}
		w := c.upgrade()
		wg.Wait()
		c.p.s.Resume()
		if err := c.p.s.Send(text("end")); err != nil {
			t.Fatal(err)
		}
		next := [4]int{}
		for {
			f, err := w.read()
			if err != nil {
				t.Fatal(err)
			}
			got := string(f.Payload)
			if got == "4end" {
				break
			}
			if f.Header.OpCode == ws.OpBinary {
				continue
			}
			var i, j int
			if _, err := fmt.Sscanf(got, "4%d/%d", &i, &j); err != nil {
				t.Fatalf("got %q", got)
			}
			if j != next[i] {
				t.Errorf("sender %d: message %d came when %d was due", i, j, next[i])
			}
			next[i] = j + 1
		}
		if next != [4]int{50, 50, 50, 50} {
			t.Errorf("heard up to %v", next)
		}
		var ends sync.WaitGroup
		for range 4 {
			ends.Go(c.p.s.Close)
			ends.Go(func() { c.p.s.Discard(TransportClose) })
		}
		ends.Wait()
		select {
		case <-c.p.closed:
		case <-time.After(deadline):
			t.Error("not closed")
		}
	})
}

// Pausing a session that is closing holds nothing back: nobody would resume it.
func TestPauseAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{peer: func(p *peer) {
			p.onMessage = func(p *peer, _ string) {
				p.s.Close()
				p.s.Pause()
			}
		}})
		c := e.openPolling()
		start := time.Now()
		c.wantPost("4x\x1e4y")
		if d := time.Since(start); d != 0 {
			t.Errorf("POST was held for %v", d)
		}
		c.wantGet(200, "6\x1e1")
		c.p.waitClosed(ForcedClose)
	})
}
