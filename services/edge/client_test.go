package edge

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// client is a raw client over WebSocket, which answers pings and keeps everything else it gets.
type client struct {
	w    *world
	tb   testing.TB
	conn net.Conn
	end  chan struct{} // closed when the connection has ended

	write sync.Mutex
	mu    sync.Mutex
	got   []string // text, or "b:" and binary; guarded by mu
}

// open opens a session.
func (w *world) open(header ...string) *client {
	w.tb.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := ws.Dialer{NetDial: w.dial, Header: ws.HandshakeHeaderHTTP(h)}
	conn, buffered, _, err := d.Dial(ctx, "ws://pipe/socket.io/?EIO=4&transport=websocket&token=a%20b")
	if err != nil {
		w.tb.Fatalf("dial: %v", err)
	}
	c := &client{w: w, tb: w.tb, conn: conn, end: make(chan struct{})}
	var r io.Reader = conn
	if buffered != nil {
		r = buffered
	}
	go c.read(r) // ends with the connection, which the clean-up closes and waits for
	w.tb.Cleanup(func() {
		_ = conn.Close()
		<-c.end
	})
	w.settle()
	if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], `0{"sid":"`) {
		w.tb.Fatalf("open: got %q", got)
	}
	return c
}

// join opens a session and joins namespaces.
func (w *world) join(namespaces ...string) *client {
	w.tb.Helper()
	c := w.open()
	for _, n := range namespaces {
		packet, want := "40"+n+",", `40`+n+`,{"sid":"`
		if n == "/" {
			packet, want = "40", `40{"sid":"`
		}
		c.send(packet)
		w.settle()
		if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			w.tb.Fatalf("connect to %s: got %q", n, got)
		}
	}
	return c
}

func (c *client) read(r io.Reader) {
	defer close(c.end)
	for {
		h, err := ws.ReadHeader(r)
		if err != nil {
			return
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		switch {
		case h.OpCode == ws.OpClose:
			_ = c.frame(ws.NewCloseFrame(nil)) // the server may have cut the connection
		case h.OpCode == ws.OpBinary:
			c.keep("b:" + string(payload))
		case string(payload) == "2":
			_ = c.frame(ws.NewTextFrame([]byte("3"))) // as above
		default:
			c.keep(string(payload))
		}
	}
}

func (c *client) keep(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, text)
}

func (c *client) frame(f ws.Frame) error {
	c.write.Lock()
	defer c.write.Unlock()
	return ws.WriteFrame(c.conn, ws.MaskFrame(f))
}

// send sends text messages, in one piece each; it does not wait for the server to read them.
func (c *client) send(texts ...string) { c.sendFrames(texts, ws.NewTextFrame) }

func (c *client) sendBinary(texts ...string) { c.sendFrames(texts, ws.NewBinaryFrame) }

func (c *client) sendFrames(texts []string, frame func([]byte) ws.Frame) {
	c.write.Lock()
	started := make(chan struct{})
	go func() { // ends when the server has read, or the connection is closed, which the clean-up does
		defer c.write.Unlock()
		close(started)
		for _, t := range texts {
			if ws.WriteFrame(c.conn, ws.MaskFrame(frame([]byte(t)))) != nil {
				return
			}
		}
	}()
	<-started
}

// unread reports whether the server has not read all that was sent.
func (c *client) unread() bool {
	if c.write.TryLock() {
		c.write.Unlock()
		return false
	}
	return true
}

// take takes what has come.
func (c *client) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// expect lets everything settle and takes what has come, which must be want.
func (c *client) expect(want ...string) {
	c.tb.Helper()
	c.w.settle()
	got := c.take()
	if len(got) != len(want) {
		c.tb.Fatalf("client: got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			c.tb.Fatalf("client: got %q, want %q", got, want)
		}
	}
}

// closed reports whether the connection has ended.
func (c *client) closed() bool {
	c.w.settle()
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// wantClosed fails unless the connection has ended.
func (c *client) wantClosed() {
	c.tb.Helper()
	if !c.closed() {
		c.tb.Error("the connection is open")
	}
}

// wantOpen fails if the connection has ended.
func (c *client) wantOpen() {
	c.tb.Helper()
	if c.closed() {
		c.tb.Error("the connection is closed")
	}
}

// request makes an HTTP request to the endpoint, or to a path that begins with a slash.
func (w *world) request(method, query, body string, header ...string) (status int, text string, h http.Header) {
	w.tb.Helper()
	url := "http://pipe/socket.io/?EIO=4&transport=polling" + query
	if strings.HasPrefix(query, "/") {
		url = "http://pipe" + query
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		w.tb.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.tb.Fatalf("%s %s: %v", method, query, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.tb.Fatalf("read body: %v", err)
	}
	return res.StatusCode, string(b), res.Header
}
