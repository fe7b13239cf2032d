package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
)

// onEachConn runs a test on a descriptor and on TLS.
func onEachConn(t *testing.T, cfg Config, o options, run func(*testing.T, *env)) {
	t.Helper()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			o := o
			o.tls = secure
			run(t, newEnv(t, cfg, o))
		})
	}
}

// WS-006 and its relatives: what breaks the protocol, and the close code for it.
func TestWebSocketViolations(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewTextFrame([]byte("4a")))
	tests := []struct {
		name   string
		wire   []byte
		code   ws.StatusCode // 0 = none
		reason Reason
	}{
		{"too big", client(ws.NewTextFrame([]byte("4" + strings.Repeat("x", 1000)))), 1009, TransportError},
		{"too big in fragments", client(part(ws.OpBinary, false, strings.Repeat("x", 999)), part(ws.OpContinuation, false, "xx")), 1009, TransportError},
		{"unmasked", unmasked, 1002, TransportError},
		{"garbage", []byte("GET / HTTP/1.1\r\n\r\n"), 1002, TransportError}, // EIO-044
		{"not UTF-8", client(ws.NewTextFrame([]byte("4\xff"))), 1007, TransportError},
		{"bad close code", client(ws.NewCloseFrame(ws.NewCloseFrameBody(1005, ""))), 1002, TransportError},
		{"short close code", client(ws.NewCloseFrame([]byte{3})), 1002, TransportError},
		{"unknown packet", client(ws.NewTextFrame([]byte("9"))), 0, ParseError},
		{"empty text", client(ws.NewTextFrame(nil)), 0, ParseError},
		{"ping packet", client(ws.NewTextFrame([]byte("2"))), 0, TransportError}, // HB-009
	}
	onEachConn(t, Config{MaxHTTPBufferSize: 1000}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				c, p := e.openWS()
				if _, err := c.conn.Write(tt.wire); err != nil {
					t.Fatal(err)
				}
				payload := ""
				if tt.code != 0 {
					payload = string([]byte{byte(tt.code >> 8), byte(tt.code)})
				}
				c.wantClose(payload)
				p.waitClosed(tt.reason)
			})
		}
	})
}

// The rest of a message that is too big is thrown away: taken for frames it would cut the connection before the client has
// read why.
func TestTooBigInPieces(t *testing.T) {
	onEachConn(t, Config{MaxHTTPBufferSize: 1000}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		head := client(ws.NewTextFrame([]byte(strings.Repeat("\xff", 200<<10))))
		for len(head) > 0 {
			n := min(len(head), 40<<10)
			if _, err := c.conn.Write(head[:n]); err != nil {
				t.Fatalf("write: %v", err)
			}
			head = head[n:]
		}
		c.wantClose("\x03\xf1") // WS-006
		p.waitClosed(TransportError)
	})
}

// A message of exactly the limit passes, also with control frames between its fragments.
func TestWebSocketFragments(t *testing.T) {
	onEachConn(t, Config{MaxHTTPBufferSize: 1000}, echoing(), func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		rest := strings.Repeat("x", 499)
		c.write(part(ws.OpText, false, "4"+rest), ws.NewPingFrame([]byte("are you there")),
			part(ws.OpContinuation, false, ""), part(ws.OpContinuation, true, rest+"x"))
		if got := c.want(ws.OpPong); got != "are you there" {
			t.Errorf("pong %q", got)
		}
		if got := c.text(); got != "4"+rest+rest+"x" {
			t.Errorf("echo of %d bytes", len(got))
		}
		c.write(ws.NewPongFrame(nil)) // unasked for, and ignored
		for _, ignored := range []string{"0", "5", "6"} {
			c.send(ignored)
		}
		c.send("4")
		if got := c.text(); got != "4" {
			t.Errorf("empty message echoed as %q", got)
		}
		c.sendBinary("")
		if got := c.want(ws.OpBinary); got != "" {
			t.Errorf("empty binary message echoed as %q", got)
		}
		if got := p.messages(); len(got) != 3 {
			t.Errorf("heard %d messages", len(got))
		}
	})
}

// WS-008: the ways a client leaves.
func TestWebSocketClientCloses(t *testing.T) {
	onEachConn(t, Config{}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		c.write(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")))
		if got := c.want(ws.OpClose); got != "\x03\xe8" {
			t.Errorf("close answered with %q", got)
		}
		c.wantEnd()
		p.waitClosed(TransportClose)

		c, p = e.openWS() // just goes
		_ = c.conn.Close()
		p.waitClosed(TransportClose)
		if !errors.Is(p.cause, io.EOF) {
			t.Errorf("cause %v, want EOF", p.cause)
		}
	})
}

// WS-007, WS-009: all that was sent arrives before the close frame, even what the kernel refused.
func TestWebSocketClose(t *testing.T) {
	onEachConn(t, Config{MaxOutboundBytes: 64 << 20}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c, p := e.openWS()
		const n, size = 100, 64 << 10
		for i := range n {
			data := make([]byte, size)
			_, _ = rand.Read(data) // never fails
			data[0] = byte(i)
			if err := p.s.Send(NewBinary(data)); err != nil {
				t.Fatal(err)
			}
		}
		c.send("4the client still talks")
		p.s.Close()
		p.s.Close()
		for i := range n {
			if got := c.want(ws.OpBinary); len(got) != size || got[0] != byte(i) {
				t.Fatalf("message %d: %d bytes, first %d", i, len(got), got[0])
			}
		}
		c.wantClose("")
		p.waitClosed(ForcedClose)
	})
}

// A client that does not answer the close frame is cut after a while.
func TestWebSocketCloseIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c, p := e.openWS()
		start := time.Now()
		p.s.Close()
		c.want(ws.OpClose)
		p.waitClosed(ForcedClose)
		c.wantEnd()
		if d := time.Since(start); d < lingerTimeout || d > lingerTimeout+wheelTick {
			t.Errorf("cut after %v, want %v", d, lingerTimeout)
		}
	})
}

// A client that does not read what is sent before the close is cut after a while.
func TestWebSocketCloseIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: time.Hour, PingTimeout: time.Hour}, options{})
		_, p := e.openWS()
		if err := p.s.Send(NewText([]byte("unread"))); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		p.s.Close()
		p.waitClosed(ForcedClose)
		if d := time.Since(start); d < closeTimeout || d > closeTimeout+wheelTick {
			t.Errorf("closed after %v, want %v", d, closeTimeout)
		}
	})
}

// Bytes that came right behind the request, in the same segment, are not lost.
func TestWebSocketEarlyBytes(t *testing.T) {
	e := newEnv(t, Config{}, echoing())
	conn, err := e.dial(t.Context(), "tcp", strings.TrimPrefix(e.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	early := client(ws.NewTextFrame([]byte("4early")), ws.NewTextFrame([]byte("4bird")))
	_, err = conn.Write(append([]byte("GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"), early[:len(early)-3]...))
	if err != nil {
		t.Fatal(err)
	}
	p := e.accepted()
	p.waitMessages(1)
	if _, err := conn.Write(early[len(early)-3:]); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(p.waitMessages(2)); got != "[t:early t:bird]" {
		t.Errorf("heard %s", got)
	}
}

// One read, one EndBatch: and one write for all the echoes (the batch is the client's).
func TestWebSocketBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, echoing())
		c, p := e.openWS()
		var frames []ws.Frame
		for i := range 20 {
			frames = append(frames, ws.NewTextFrame(fmt.Appendf(nil, "4%d", i)))
		}
		if _, err := c.conn.Write(client(frames...)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		log := p.heard()
		if len(log) != 21 || log[20] != "|" {
			t.Errorf("heard %q, want 20 messages and one end", log)
		}
		for i := range 20 {
			if got := c.text(); got != fmt.Sprintf("4%d", i) {
				t.Errorf("echo %d is %q", i, got)
			}
		}
	})
}

// Echo of messages of all sizes, split anywhere, with pings between the fragments.
func TestWebSocketRandomTraffic(t *testing.T) {
	onEachConn(t, Config{}, echoing(), func(t *testing.T, e *env) {
		t.Helper()
		c, _ := e.openWS()
		sizes := []int{0, 1, 125, 126, 4096, 40_000, 65_535, 65_536, 200_000}
		go func() { // ends when all is written; the echoes below prove that
			for _, size := range sizes {
				text := "4" + strings.Repeat("s", size)
				third := len(text) / 3
				c.write(part(ws.OpText, false, text[:third]), ws.NewPingFrame([]byte("p")),
					part(ws.OpContinuation, false, text[third:2*third]), part(ws.OpContinuation, true, text[2*third:]))
				c.sendBinary(text)
			}
		}()
		pongs := 0
		for i := 0; i < 2*len(sizes); {
			f, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			if f.Header.OpCode == ws.OpPong { // may overtake echoes, which wait for the end of the batch
				pongs++
				continue
			}
			op, want := []ws.OpCode{ws.OpText, ws.OpBinary}[i%2], "4"+strings.Repeat("s", sizes[i/2])
			if f.Header.OpCode != op || string(f.Payload) != want {
				t.Errorf("echo %d: opcode %d with %d bytes, want %d with %d", i, f.Header.OpCode, len(f.Payload), op, len(want))
			}
			i++
		}
		if pongs != len(sizes) {
			t.Errorf("%d pongs, want %d", pongs, len(sizes))
		}
	})
}
