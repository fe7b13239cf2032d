package edge

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// client is a raw client over WebSocket, which answers pings and keeps everything else it gets.
type client struct {
	w    *world
	tb   testing.TB
	conn net.Conn
	end  chan struct{}                 // closed when the connection has ended
	out  chan ws.Frame                 // to be written
	sent atomic.Int64                  // frames given to out that are not written
	gate atomic.Pointer[chan struct{}] // closed to let the client read its next frame; nil: it does

	mu  sync.Mutex
	got []string // text, or "b:" and binary; guarded by mu
}

// open opens a session.
func (w *world) open(header ...string) *client {
	w.tb.Helper()
	c := w.dialEIO("4", header...)
	w.settle()
	if got := c.take(); len(got) != 1 || !strings.HasPrefix(got[0], `0{"sid":"`) {
		w.tb.Fatalf("open: got %q", got)
	}
	return c
}

// dialEIO connects with a version of Engine.IO.
func (w *world) dialEIO(version string, header ...string) *client {
	w.tb.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	d := ws.Dialer{NetDial: w.dial, Header: ws.HandshakeHeaderHTTP(h)}
	conn, buffered, _, err := d.Dial(ctx, "ws://pipe/socket.io/?EIO="+version+"&transport=websocket&token=a%20b")
	if err != nil {
		w.tb.Fatalf("dial: %v", err)
	}
	c := &client{w: w, tb: w.tb, conn: conn, end: make(chan struct{}), out: make(chan ws.Frame, 4096)}
	var r io.Reader = conn
	if buffered != nil {
		r = buffered
	}
	var written sync.WaitGroup
	written.Go(c.writeAll) // ends with out, after the connection
	go c.read(r)           // ends with the connection, which the clean-up closes and waits for
	w.tb.Cleanup(func() {
		_ = conn.Close()
		<-c.end
		close(c.out)
		written.Wait()
	})
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
		if gate := c.gate.Load(); gate != nil {
			<-*gate
		}
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
			c.frame(ws.NewCloseFrame(nil))
		case h.OpCode == ws.OpBinary:
			c.keep("b:" + string(payload))
		case string(payload) == "2":
			c.frame(ws.NewTextFrame([]byte("3")))
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

func (c *client) frame(f ws.Frame) {
	c.sent.Add(1)
	c.out <- f
}

func (c *client) writeAll() {
	for f := range c.out {
		if ws.WriteFrame(c.conn, ws.MaskFrame(f)) == nil { // else the connection has ended
			c.sent.Add(-1)
		}
	}
}

// send sends text messages; it does not wait for the server to read them.
func (c *client) send(texts ...string) {
	for _, t := range texts {
		c.frame(ws.NewTextFrame([]byte(t)))
	}
}

func (c *client) sendBinary(text string) { c.frame(ws.NewBinaryFrame([]byte(text))) }

// unread reports whether the server has not read all that was sent.
func (c *client) unread() bool { return c.sent.Load() > 0 }

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

// poller is a polling client.
type poller struct {
	w   *world
	sid string
}

// poll opens a session over polling.
func (w *world) poll() *poller {
	w.tb.Helper()
	status, text, _ := w.request(http.MethodGet, "", "")
	_, rest, ok := strings.Cut(text, `0{"sid":"`)
	sid, _, _ := strings.Cut(rest, `"`)
	if status != http.StatusOK || !ok {
		w.tb.Fatalf("handshake: got %d %q", status, text)
	}
	return &poller{w: w, sid: sid}
}

// get makes a GET, which must succeed, and returns what comes.
func (p *poller) get() string {
	p.w.tb.Helper()
	status, text, _ := p.w.request(http.MethodGet, "&sid="+p.sid, "")
	if status != http.StatusOK {
		p.w.tb.Errorf("GET: got %d %q", status, text)
	}
	return text
}

// goGet makes a GET in the background and returns when the server has it.
func (p *poller) goGet() <-chan string {
	ch := make(chan string, 1)
	go func() { ch <- p.get() }() // the test receives, or the end of the edge ends it
	p.w.settle()
	return ch
}

// connect posts a CONNECT for the namespace /, which must succeed.
func (p *poller) connect() {
	p.w.tb.Helper()
	if status, text, _ := p.w.request(http.MethodPost, "&sid="+p.sid, "40"); status != http.StatusOK || text != "ok" {
		p.w.tb.Errorf("POST: got %d %q", status, text)
	}
}
