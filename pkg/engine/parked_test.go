package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// rawPoll is a polling session whose GETs are made by hand, all on one connection.
type rawPoll struct {
	*poller
	tb   testing.TB
	conn net.Conn
	r    *bufio.Reader
}

func (e *env) openRawPoll() *rawPoll {
	e.tb.Helper()
	c := &rawPoll{poller: e.openPolling(), tb: e.tb}
	conn, err := e.dial(e.tb.Context(), "tcp", strings.TrimPrefix(strings.TrimPrefix(e.base, "http://"), "https://"))
	if err != nil {
		e.tb.Fatal(err)
	}
	if strings.HasPrefix(e.base, "https") {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own server
	}
	e.tb.Cleanup(func() { _ = conn.Close() })
	c.conn, c.r = conn, bufio.NewReader(conn)
	return c
}

// ask sends a GET.
func (c *rawPoll) ask() {
	c.tb.Helper()
	if _, err := fmt.Fprintf(c.conn, "GET /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n", c.sid); err != nil {
		c.tb.Fatal(err)
	}
}

// answered reads an answer, whose body must be as given.
func (c *rawPoll) answered(body string) http.Header {
	c.tb.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.tb.Fatalf("answer: %v", err)
	}
	got, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != http.StatusOK || string(got) != body {
		c.tb.Fatalf("got %d %q (%v), want 200 %q", res.StatusCode, got, err, body)
	}
	return res.Header
}

// isParked reports whether the session's GET waits outside of the HTTP server.
func (c *rawPoll) isParked() bool {
	c.p.s.mu.Lock()
	defer c.p.s.mu.Unlock()
	return c.p.s.poll != nil && c.p.s.poll.parked != nil
}

func (c *rawPoll) waitParked() {
	c.tb.Helper()
	eventually(c.tb, "a parked GET", c.isParked)
}

// A GET that waits long leaves the HTTP server; its answer is the same, and the connection serves the next.
func TestParkedPoll(t *testing.T) {
	headers := func(h http.Header, _ *http.Request) { h.Set("X-Test", "yes") }
	onEachConn(t, Config{Headers: headers}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c := e.openRawPoll()
		c.ask()
		c.waitPending()
		send(t, c.p.s, "at once")
		quick := c.answered("4at once")
		for range 2 {
			c.ask()
			c.waitParked()
			send(t, c.p.s, "late")
			late := c.answered("4late")
			if got, want := fmt.Sprint(noDate(late)), fmt.Sprint(noDate(quick)); len(late["Date"]) != 1 || lengthless(got) != lengthless(want) {
				t.Errorf("headers of a parked GET: got %s, want %s", got, want)
			}
		}
	})
}

func send(tb testing.TB, s *Session, text string) {
	tb.Helper()
	if err := s.Send(NewText([]byte(text))); err != nil {
		tb.Fatal(err)
	}
}

func noDate(h http.Header) http.Header {
	h = h.Clone()
	h.Del("Date")
	return h
}

// lengthless is headers without the length of the body.
func lengthless(headers string) string {
	before, after, _ := strings.Cut(headers, "Content-Length:[")
	_, after, _ = strings.Cut(after, "]")
	return before + after
}

// A parked GET is one goroutine.
func TestParkedPollsAreSmall(t *testing.T) {
	const n = 50
	e := newEnv(t, Config{}, options{})
	polls := make([]*rawPoll, n)
	for i := range polls {
		polls[i] = e.openRawPoll()
	}
	e.http.CloseIdleConnections()
	first := e.openRawPoll()
	e.http.CloseIdleConnections()
	first.ask()
	first.waitParked()
	var before int
	eventually(t, "quiet", func() bool {
		last := before
		before = runtime.NumGoroutine()
		return before == last
	})
	for _, c := range polls {
		c.ask()
	}
	for _, c := range polls {
		c.waitParked()
	}
	eventually(t, "no more goroutines than GETs", func() bool { return runtime.NumGoroutine() <= before+n })
}

// A client that gives a parked GET up ends its session, as any does (POL-009).
func TestParkedPollAborted(t *testing.T) {
	onEachConn(t, Config{}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c := e.openRawPoll()
		c.ask()
		c.waitParked()
		_ = c.conn.Close()
		c.p.waitClosed(TransportError)
	})
}

// What a client sends behind a parked GET is served after it, as on any other connection.
func TestParkedPollWithAnother(t *testing.T) {
	headers := func(h http.Header, r *http.Request) { h.Set("X-TLS", fmt.Sprint(r.TLS != nil)) }
	onEachConn(t, Config{Headers: headers}, options{}, func(t *testing.T, e *env) {
		t.Helper()
		c := e.openRawPoll()
		secure := fmt.Sprint(strings.HasPrefix(e.base, "https"))
		c.ask()
		for range 2 {
			c.waitParked()
			c.p.s.mu.Lock()
			if kind := fmt.Sprintf("%T", c.p.s.poll.parked.conn); strings.Contains(kind, "prefixed") {
				t.Errorf("the connection is a %s still", kind)
			}
			c.p.s.mu.Unlock()
			c.ask()
			send(t, c.p.s, "one")
			if got := c.answered("4one").Get("X-TLS"); got != secure {
				t.Errorf("request over TLS: %s, want %s", got, secure)
			}
		}
		c.waitPending()
		send(t, c.p.s, "two")
		c.answered("4two")
	})
}

// The end of the server answers a parked GET.
func TestParkedPollAtTheEnd(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openRawPoll()
	c.ask()
	c.waitParked()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	if err := e.srv.Close(ctx); err != nil {
		t.Fatalf("Close: %v", err)
	}
	c.answered("1")
}

// A GET that a middleware has wrapped stays where that sees the answer.
func TestWrappedPollIsNotParked(t *testing.T) {
	w, r := http.ResponseWriter(&switching{}), (&http.Request{}).WithContext(t.Context())
	s := &Session{srv: &Server{}}
	if s.mayPark(w, r) {
		t.Error("parked although wrapped")
	}
}

// The payload of a broadcast is compressed once for all polling clients.
func TestPollingPayloadIsCompressedOnce(t *testing.T) {
	s, _, _, _ := newSinkSession(t)
	other := newSession(s.srv, "other", "", Polling)
	m := []*Message{NewText([]byte(strings.Repeat("text ", 1000)))}
	for _, coding := range []string{codingGzip, codingDeflate} {
		one, got := s.payload(nil, m, []string{coding})
		if got != coding || len(one) >= 5000 {
			t.Fatalf("payload of %d bytes in %q", len(one), got)
		}
		if again, _ := other.payload(nil, m, []string{coding}); &again[0] != &one[0] {
			t.Errorf("%s: compressed twice", coding)
		}
	}
	if a, b := s.conn.frame(m[0]), (&wsConn{srv: s.srv}).frame(m[0]); &a[0] != &b[0] {
		t.Error("two frames of one message")
	}
}
