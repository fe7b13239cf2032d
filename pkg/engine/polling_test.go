package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// POL-020, POL-021, POL-022: headers of the answers.
func TestPollingHeaders(t *testing.T) {
	e := newEnv(t, Config{}, echoing())
	c := e.openPolling()
	post := c.post("4x", "User-Agent", "Mozilla/4.0 (compatible;MSIE 8.0)") // POL-022
	get := c.get()
	c.wantPost("4y")
	const oldest, old = "Mozilla/4.0 (compatible;MSIE 8.0)", "Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko"
	trident := e.do(t.Context(), http.MethodGet, "transport=polling&sid="+c.sid, "", "User-Agent", old)
	c.wantPost("4z")
	other := e.do(t.Context(), http.MethodGet, "transport=polling&sid="+c.sid, "", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	for name, tt := range map[string]struct {
		res      response
		ct, n, x string
	}{
		"post": {post, "text/html", "2", "0"}, "get": {get, "text/plain; charset=UTF-8", "2", ""},
		"trident": {trident, "text/plain; charset=UTF-8", "2", "0"}, // POL-022
		"firefox": {other, "text/plain; charset=UTF-8", "2", ""},    // POL-022
	} {
		h := tt.res.header
		if h.Get("Content-Type") != tt.ct || h.Get("Content-Length") != tt.n || h.Get("Cache-Control") != "no-store" || h.Get("X-Xss-Protection") != tt.x {
			t.Errorf("%s: headers %v", name, h)
		}
	}
	for _, agent := range []string{oldest, old} {
		res := e.do(t.Context(), http.MethodGet, "transport=polling", "", "User-Agent", agent)
		if h := res.header; h.Get("X-Xss-Protection") != "0" || h.Get("Cache-Control") != "no-store" { // POL-022, POL-020
			t.Errorf("handshake of %s: headers %v", agent, h)
		}
	}
}

// POL-006, POL-016: bodies that end the session.
func TestPostRefused(t *testing.T) {
	tests := []struct {
		name, body, contentType string
		reason                  Reason
	}{
		{"empty", "", "", ParseError},
		{"octet stream", "4x", "application/octet-stream", TransportError},
		{"bad base64", "4a\x1eb***", "", ParseError},
		{"not UTF-8", "4\xff", "", ParseError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnv(t, Config{}, options{})
			c := e.openPolling()
			get := c.goGet()
			wantResponse(t, c.post(tt.body, "Content-Type", tt.contentType), 400, "") // POL-005, POL-006, POL-016
			wantResponse(t, wait(t, get), 200, "1")
			c.wantGone()
			c.p.waitClosed(tt.reason)
			if strings.HasPrefix(tt.body, "4a") && fmt.Sprint(c.p.heard()) != "[t:a |]" { // EPA-003
				t.Errorf("heard %q before the bad packet", c.p.heard())
			}
		})
	}
}

// POL-012 to POL-015: the limit is exact, with and without a length, and does not end the session.
func TestPostLimit(t *testing.T) {
	m := &Metrics{}
	e := newEnv(t, Config{MaxHTTPBufferSize: 1000, Metrics: m}, options{})
	c := e.openPolling()
	limit := int(parseOpen(t, e.do(t.Context(), http.MethodGet, "transport=polling", "").body).MaxPayload) // EIO-003: what is told is what holds
	post := func(n int, chunked bool) response {
		body := io.Reader(strings.NewReader("4" + strings.Repeat("x", n-1)))
		if chunked {
			body = struct{ io.Reader }{body} // hides the length
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.base+"/engine.io/?EIO=4&transport=polling&sid="+c.sid, body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.http.Do(r)
		if err != nil {
			return response{err: err}
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return response{status: res.StatusCode, body: string(b), err: err}
	}
	for _, chunked := range []bool{false, true} {
		wantResponse(t, post(limit+1, chunked), 413, "") // POL-012, POL-015
		wantResponse(t, post(limit, chunked), 200, "ok") // POL-013, POL-017
		wantResponse(t, post(5, chunked), 200, "ok")     // POL-013, POL-017
	}
	if n := m.Snapshot().BodiesRefused["too_large"]; n != 2 {
		t.Errorf("%d bodies are counted as too large, want 2", n)
	}
	if got := c.p.waitMessages(4); len(got) != 4 || len(got[0]) != 2+999 {
		t.Errorf("got %d messages", len(got))
	}
}

// POL-018, POL-024: a large body in many pieces; any script.
func TestPostLargeAndMultibyte(t *testing.T) {
	e := newEnv(t, Config{MaxHTTPBufferSize: 2 << 20, MaxOutboundBytes: 8 << 20}, echoing())
	c := e.openPolling()
	text := strings.Repeat("漢字 € 😀", 80_000)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.base+"/engine.io/?EIO=4&transport=polling&sid="+c.sid,
		io.MultiReader(strings.NewReader("4"), iotestOneKilobyte{strings.NewReader(text)}))
	if err != nil {
		t.Fatal(err)
	}
	res, err := e.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	c.wantGet(200, "4"+text)
}

// iotestOneKilobyte reads at most 1 KiB at a time.
type iotestOneKilobyte struct{ r io.Reader }

func (o iotestOneKilobyte) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 1024)]) }

// halfPost is a POST whose body stays incomplete.
type halfPost struct {
	conn   net.Conn
	answer <-chan string // all that comes until the connection ends
}

// goPost begins a POST of 100 bytes, sends a few of them, and returns when it is being read.
func (c *poller) goPost() *halfPost {
	c.e.tb.Helper()
	conn, err := c.e.dial(c.e.tb.Context(), "tcp", strings.TrimPrefix(c.e.base, "http://"))
	if err != nil {
		c.e.tb.Fatal(err)
	}
	c.e.tb.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "POST /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4half", c.sid); err != nil {
		c.e.tb.Fatal(err)
	}
	ch := make(chan string, 1)
	go func() { // ends with the connection, which the clean-up closes
		b, _ := io.ReadAll(conn) // an error is an end too
		ch <- string(b)
	}()
	eventually(c.e.tb, "a POST being read", func() bool {
		c.p.s.mu.Lock()
		defer c.p.s.mu.Unlock()
		return c.p.s.post != nil
	})
	return &halfPost{conn, ch}
}

// wantCut checks that the connection ends without an answer.
func (h *halfPost) wantCut(tb testing.TB) {
	tb.Helper()
	select {
	case got := <-h.answer:
		if got != "" {
			tb.Errorf("POST got %q, want a broken connection", got)
		}
	case <-time.After(deadline):
		tb.Error("POST goes on")
	}
}

// POL-008: a second POST gets 400, the first is aborted, the session ends.
func TestPostOverlap(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	first := c.goPost()
	wantResponse(t, c.post("4second"), 400, "")
	first.wantCut(t)
	c.wantGone()
	c.p.waitClosed(TransportError)
	if got := c.p.heard(); len(got) != 0 {
		t.Errorf("heard %q", got)
	}
}

// POL-010: the client gives a POST up.
func TestPostAborted(t *testing.T) {
	m := &Metrics{}
	e := newEnv(t, Config{Metrics: m}, options{})
	c := e.openPolling()
	_ = c.goPost().conn.Close()
	c.p.waitClosed(TransportError)
	if n := m.Snapshot().BodiesRefused["too_slow"]; n != 0 {
		t.Errorf("%d bodies are counted as too slow, want 0", n)
	}
	if !errors.Is(c.p.cause, errPostAborted) {
		t.Errorf("cause %v, want %v", c.p.cause, errPostAborted)
	}
	c.wantGone()
}

// POL-035: a close does not wait for a body that is still coming.
func TestCloseAbortsPost(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	post := c.goPost()
	c.p.s.Discard(ForcedClose)
	post.wantCut(t)
	c.p.waitClosed(ForcedClose)

	c = e.openPolling()
	post = c.goPost()
	c.p.s.Close()
	post.wantCut(t)
	c.wantGet(200, "6\x1e1") // the client still learns of the close
	c.p.waitClosed(ForcedClose)
}

// A body that comes too slowly ends the session after BodyTimeout.
func TestPostTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Metrics{}
		e := newPipeEnv(t, Config{PingInterval: time.Hour, BodyTimeout: 3 * time.Second, Metrics: m}, options{})
		c := e.openPolling()
		start := time.Now()
		post := c.goPost()
		c.p.waitClosed(TransportError)
		if d := time.Since(start); d < 3*time.Second || d > 3200*time.Millisecond {
			t.Errorf("closed after %v, want 3s", d)
		}
		if n := m.Snapshot().BodiesRefused["too_slow"]; n != 1 {
			t.Errorf("%d bodies are counted as too slow, want 1", n)
		}
		post.wantCut(t)
	})
}

// A GET outlives the HTTP server's own timeouts, which are meant for requests being read.
func TestPollOutlivesServerTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{server: func(s *http.Server) {
			s.ReadTimeout, s.WriteTimeout = 5*time.Second, 5*time.Second
		}})
		c := e.openPolling()
		start := time.Now()
		c.wantGet(200, "2")
		if d := time.Since(start); d < 25*time.Second || d >= 25*time.Second+wheelTick {
			t.Errorf("ping after %v, want 25s", d)
		}
	})
}

// POL-011 when the POST overtakes the GET that the client has under way.
func TestClientCloseOvertakesGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{}, options{})
		c := e.openPolling()
		post := make(chan response, 1)
		go func() { post <- c.post("4last\x1e1\x1e4ignored") }() // waited for below
		synctest.Wait()
		if !c.p.s.Closing() {
			t.Error("the session does not know that it is about to end")
		}
		c.wantGet(200, "6")
		wantResponse(t, wait(t, post), 200, "ok")
		c.wantGone()
		c.p.waitClosed(TransportClose)
		if got := fmt.Sprint(c.p.heard()); got != "[t:last |]" {
			t.Errorf("heard %s", got)
		}

		c = e.openPolling()
		start := time.Now()
		c.wantPost("1") // and without any GET
		if d := time.Since(start); d != crossingTimeout {
			t.Errorf("answered after %v, want %v", d, crossingTimeout)
		}
		c.wantGone()
		c.p.waitClosed(TransportClose)
	})
}

// POL-032, POL-033, POL-034: the graceful close of a polling session.
func TestPollingClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{PingInterval: time.Hour}, options{})
		c := e.openPolling() // with a GET waiting
		get := c.goGet()
		c.p.s.Close()
		wantResponse(t, wait(t, get), 200, "1")
		c.p.waitClosed(ForcedClose)
		c.wantGone()

		c = e.openPolling() // with packets queued, and then no GET
		if err := c.p.s.Send(NewText([]byte("a")), NewText([]byte("b"))); err != nil {
			t.Fatal(err)
		}
		c.p.s.Close()
		if err := c.p.s.Send(NewText([]byte("late"))); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Close = %v, want ErrClosed", err)
		}
		c.wantPost("4ignored")
		c.wantGet(200, "4a\x1e4b")
		c.wantGet(200, "6\x1e1")
		c.p.waitClosed(ForcedClose)
		c.wantGone()
		if got := c.p.heard(); len(got) != 0 {
			t.Errorf("heard %q while closing", got)
		}

		c = e.openPolling() // with no GET ever
		start := time.Now()
		c.p.s.Close()
		c.p.waitClosed(ForcedClose)
		if d := time.Since(start); d < closeTimeout || d > closeTimeout+wheelTick {
			t.Errorf("closed after %v, want %v", d, closeTimeout)
		}
		c.wantGone()
	})
}

// POL-023: every request on a connection of its own.
func TestPollingWithoutKeepAlive(t *testing.T) {
	e := newEnv(t, Config{}, echoing())
	c := e.openPolling()
	for i := range 5 {
		wantResponse(t, c.post(fmt.Sprintf("4%d", i), "Connection", "close"), 200, "ok")
		wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling&sid="+c.sid, "", "Connection", "close"), 200, fmt.Sprintf("4%d", i))
	}
}

// A payload whose packets outgrow the pooled buffer arrives whole.
func TestPollLargePayload(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	data := bytes.Repeat([]byte("x"), bufferSize)
	for range 3 {
		if err := c.p.s.Send(NewText(bytes.Clone(data))); err != nil {
			t.Fatal(err)
		}
	}
	one := "4" + string(data)
	c.wantGet(200, one+"\x1e"+one+"\x1e"+one)
}
