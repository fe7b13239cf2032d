package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/freeport"
	"github.com/siomesh/siomesh/internal/natstest"
	"github.com/siomesh/siomesh/pkg/engine"
)

// patience bounds every wait of these tests. What they wait for takes a few hundredths of a second.
const patience = 15 * time.Second

// front is the address for clients with some flags, before an engine and a page.
type front struct {
	tb    testing.TB
	ln    *clientListener
	ended chan engine.Reason // of sessions
}

func startFront(t *testing.T, cfg engine.Config, args ...string) *front {
	t.Helper()
	flags := &parsed(t, "edge", args, "").Edge.listenFlags
	if err := flags.validate(); err != nil {
		t.Fatal(err)
	}
	f := &front{tb: t, ended: make(chan engine.Reason, 10)}
	srv, err := engine.New(func(*engine.Session, *http.Request) (engine.Handler, error) { return f, nil }, cfg)
	if err != nil {
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "page") })
	if f.ln, err = flags.listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { // received in the clean-up
		ended <- flags.serveClients(ctx, f.ln, beside("/engine.io/", srv, page), slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stopping, stopped := context.WithTimeout(context.Background(), patience)
		defer stopped()
		if err := srv.Close(stopping); err != nil {
			t.Errorf("close: %v", err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return f
}

func (f *front) Message([]byte, bool)                 {}
func (f *front) EndBatch()                            {}
func (f *front) Closed(reason engine.Reason, _ error) { f.ended <- reason }

// line is a connection that speaks no HTTP of its own.
type line struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
}

func (f *front) call(text string) *line {
	f.tb.Helper()
	return call(f.tb, f.ln.Addr().String(), text)
}

// call opens a connection and writes to it.
func call(tb testing.TB, address, text string) *line {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if errors.Is(err, syscall.ECONNRESET) { // cut before the dialer had a look at it
		cut, other := net.Pipe()
		_ = other.Close() // never fails
		return &line{tb, cut, bufio.NewReader(cut)}
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		tb.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // a connection that is cut shows in what is read
	return &line{tb, conn, bufio.NewReader(conn)}
}

// answer reads a response.
func (l *line) answer() (status int, body string, err error) {
	res, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

func (l *line) want(status int) string {
	l.tb.Helper()
	got, body, err := l.answer()
	if got != status {
		l.tb.Fatalf("got %d %q (%v), want %d", got, body, err, status)
	}
	return body
}

// wantEnd checks that the server ends the connection by itself.
func (l *line) wantEnd() {
	l.tb.Helper()
	b, err := io.ReadAll(l.in)
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // as it comes from the connection
		l.tb.Fatalf("the connection is still open after %v, got %q", patience, b)
	}
}

const open = "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n"

// A client that does not get to the end of its header, of a first request and of a later one.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	const part = "GET /engine.io/ HTTP/1.1\r\nHost: x\r\nX-Slow"
	f := startFront(t, engine.Config{}, "--header-timeout=5s") // which includes what the test takes to write a whole one
	first, behind, later := f.call(part), f.call(open+part), f.call(open)
	silent := f.call("") // says nothing at all
	behind.want(200)
	later.want(200)
	_, _ = io.WriteString(later.conn, part) // the end shows below
	for _, l := range []*line{first, behind, later, silent} {
		l.wantEnd()
	}
	f.wantUnread("header_timeout", 3)
	f.wantUnread("idle", 1) // the later request came with the first, so that nobody has read a byte of it since
}

// A client that does not get to the end of its body: in a session, where nobody reads it, and in the page.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	f := startFront(t, engine.Config{BodyTimeout: 50 * time.Millisecond}, "--header-timeout=5s")
	sid, _, _ := strings.Cut(strings.TrimPrefix(f.call(open).want(200), `0{"sid":"`), `"`)
	post := "POST /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4x"
	type slow struct {
		*line
		status int
	}
	var lines []slow // they wait at the same time
	for request, status := range map[string]int{
		fmt.Sprintf(post, "nobody"):                                                                    400,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n":                                     200,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx":                        200,
		"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: upgrade\r\nContent-Length: 10\r\n\r\n": 200,
	} {
		lines = append(lines, slow{f.call(request), status})
	}
	f.call(fmt.Sprintf(post, sid)).wantEnd()
	select {
	case reason := <-f.ended:
		if reason != engine.TransportError {
			t.Errorf("the session has ended with %q", reason)
		}
	case <-time.After(patience):
		t.Error("the session has not ended")
	}
	for _, l := range lines {
		l.want(l.status)
		l.wantEnd()
	}
}

// A header beyond the limit, of few long and of many short lines.
func TestHugeHeaders(t *testing.T) {
	f := startFront(t, engine.Config{}, "--max-header-bytes=2048")
	f.call("GET / HTTP/1.1\r\nHost: x\r\nX-Fits: " + strings.Repeat("x", 1500) + "\r\n\r\n").want(200)
	for _, header := range []string{"X-Long: " + strings.Repeat("x", 8000), strings.Repeat("X-Many: x\r\n", 800)} {
		l := f.call("GET / HTTP/1.1\r\nHost: x\r\n" + header)
		l.want(http.StatusRequestHeaderFieldsTooLarge)
		l.wantEnd()
	}
	f.wantUnread("header_too_large", 2)
}

// What is no request, as the first on its connection and as a later one. A client that goes without a word is not refused, nor
// is what a handler refuses.
func TestUnreadableRequests(t *testing.T) {
	f := startFront(t, engine.Config{})
	silent := f.call("")
	eventually(t, func() bool { return f.ln.open.Load() == 1 })
	silent.conn.Close()
	eventually(t, func() bool { return f.ln.open.Load() == 0 })
	for request, status := range map[string]int{
		"garbage\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n": 501,
		"GET / HTTP/1.1\r\nHost: x\r\nExpect: x\r\n\r\n":            417,
	} {
		f.call(request).want(status)
		l := f.call(open)
		l.want(200)
		_, _ = io.WriteString(l.conn, request) // the answer shows
		l.want(status)
	}
	f.wantUnread("malformed", 6)
	f.call("GET /engine.io/?EIO=4&transport=none HTTP/1.1\r\nHost: x\r\n\r\n").want(400)
	f.call("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").want(200)
	f.wantUnread("malformed", 6)
	f.wantUnread("header_timeout", 0)
}

// A connection that is kept alive for nothing; neither a GET that waits nor a WebSocket is one.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	f := startFront(t, engine.Config{PingInterval: 5 * time.Second}, "--idle-timeout=50ms", "--header-timeout=3s")
	w := f.call(webSocket) // stays; its ping comes while the GET waits
	l := f.call(open)
	sid, _, _ := strings.Cut(strings.TrimPrefix(l.want(200), `0{"sid":"`), `"`)
	l.wantEnd()
	waiting := f.call("GET /engine.io/?EIO=4&transport=polling&sid=" + sid + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if got := waiting.want(200); got != "2" {
		t.Errorf("the GET that waits got %q, want a ping", got)
	}
	waiting.wantEnd() // the engine keeps such a connection by itself meanwhile, and gives it back
	eventually(t, func() bool { return f.ln.open.Load() == 1 })
	f.wantUnread("idle", 1) // the engine's own is no refusal

	for _, want := range []string{"\x81", "\x81\x012"} { // the open packet, a ping
		if got := w.frame(); !strings.HasPrefix(got, want) {
			t.Errorf("frame %q, want %q", got, want)
		}
	}
}

const webSocket = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// frame reads a small frame, behind the 101 if that has not been read yet.
func (l *line) frame() string {
	l.tb.Helper()
	for {
		if b, err := l.in.Peek(1); err != nil || b[0] == 0x81 {
			break
		}
		if _, err := l.in.ReadString('\n'); err != nil {
			l.tb.Fatal(err)
		}
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(l.in, head); err != nil {
		l.tb.Fatalf("read frame: %v", err)
	}
	body := make([]byte, head[1])
	if _, err := io.ReadFull(l.in, body); err != nil {
		l.tb.Fatalf("read frame: %v", err)
	}
	return string(head) + string(body)
}

// Connections beyond the limit are cut at once, WebSockets count until they end, and each that ends makes room for one.
func TestTooManyConnections(t *testing.T) {
	f := startFront(t, engine.Config{}, "--max-tcp-connections=2")
	plain, ws := f.call(open), f.call(webSocket)
	plain.want(200)
	ws.frame()
	for range 3 {
		l := f.call(open)
		if status, body, err := l.answer(); err == nil {
			t.Errorf("a connection too many got %d %q", status, body)
		}
	}
	wantMetrics(t, f.ln, 2, 3)
	for _, l := range []*line{ws, plain} {
		l.conn.Close()
		eventually(t, func() bool { return f.ln.open.Load() == 1 })
		f.call(open).want(200)
	}
	wantMetrics(t, f.ln, 2, 3)
}

func wantMetrics(t *testing.T, ln *clientListener, want ...float64) {
	t.Helper()
	for i, m := range ln.telemetry()[:len(want)] {
		if got := m.Read(); got != want[i] {
			t.Errorf("%s is %v, want %v", m.Name, got, want[i])
		}
	}
}

// wantUnread checks how many connections were closed for a reason, since before their clients could see it.
func (f *front) wantUnread(reason string, want float64) {
	f.tb.Helper()
	for _, m := range f.ln.telemetry() {
		if m.Name == "sio_edge_requests_unread_total" && m.Labels["reason"] == reason {
			if got := m.Read(); got != want {
				f.tb.Errorf("%v unread for %s, want %v", got, reason, want)
			}
			return
		}
	}
	f.tb.Errorf("unread requests are not counted for %s", reason)
}

// Without a limit connections are counted alike.
func TestNoConnectionLimit(t *testing.T) {
	f := startFront(t, engine.Config{})
	for range 5 {
		f.call(open).want(200)
	}
	wantMetrics(t, f.ln, 5, 0)
}

func TestListenFlags(t *testing.T) {
	for _, args := range []string{
		"--max-tcp-connections=-1", "--header-timeout=0s", "--idle-timeout=-1s", "--max-header-bytes=1023",
		"--max-connections=-1", "--max-connections-per-ip=-1", "--accept-rate=-1", "--accept-rate=NaN", "--accept-rate=Inf", "--accept-burst=-1",
	} {
		if _, err := parsed(t, "edge", []string{args}, "").Edge.plan(); err == nil {
			t.Errorf("edge %s was accepted", args)
		}
	}
	for _, args := range []string{"--max-tcp-connections=-1", "--header-timeout=0s"} {
		if _, err := parsed(t, "up", []string{args}, "").Up.plan(); err == nil {
			t.Errorf("up %s was accepted", args)
		}
	}
	defaults := listenFlags{HeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second, MaxHeaderBytes: 16 << 10}
	set := listenFlags{MaxTCPConnections: 4, HeaderTimeout: time.Second, IdleTimeout: 2 * time.Second, MaxHeaderBytes: 3000}
	file := "max-tcp-connections: 4\nheader-timeout: 1s\nidle-timeout: 2s\nmax-header-bytes: 3000"
	for text, want := range map[string]listenFlags{"": defaults, file: set} {
		if got := parsed(t, "edge", nil, text).Edge.listenFlags; got != want {
			t.Errorf("edge, file %q: got %+v, want %+v", text, got, want)
		}
		if got := parsed(t, "up", nil, text).Up.listenFlags; got != want {
			t.Errorf("up, file %q: got %+v, want %+v", text, got, want)
		}
	}
}

func TestFileLimit(t *testing.T) {
	for _, tt := range []struct {
		hard          uint64
		sessions, tcp int
		needed        string // "" if nothing is said
	}{
		{10_000, 0, 0, ""},
		{9_999, 0, 0, "needed=10000"},
		{1 << 20, 1_000_000, 0, ""},
		{1_000_000, 1_000_000, 0, "needed=1000128"},
		{1_000, 500, 0, ""},
		{1_000, 500, 900, "needed=1028"},
		{1_000, 5_000, 800, ""}, // there will never be more than 800
	} {
		var log bytes.Buffer
		warnOfFileLimit(slog.New(slog.NewTextHandler(&log, nil)), tt.hard, tt.sessions, tt.tcp)
		if got := log.String(); strings.Count(got, "level=WARN") != min(len(tt.needed), 1) || !strings.Contains(got, tt.needed) {
			t.Errorf("limit %d for %d sessions on %d connections: logged %q, want %q", tt.hard, tt.sessions, tt.tcp, got, tt.needed)
		}
	}
	if hardFileLimit() < 3 { // which every process has
		t.Errorf("the hard limit is %d", hardFileLimit())
	}
}

// What edge and up listen with when they run: the flags reach the address for clients, and its metrics the internal port.
func TestLimitsOfRuns(t *testing.T) {
	limits := []string{"--max-tcp-connections=1", "--max-header-bytes=1024", "--log-level=error"}
	for _, name := range []string{"up", "edge"} {
		t.Run(name, func(t *testing.T) {
			listen, internal := freeport.Address(t), freeport.Address(t)
			args := append(limits, "--listen", listen, "--internal-listen", internal)
			var c command
			if name == "up" {
				c = &parsed(t, "up", append(args, "--nats-listen=none", "--data-dir", t.TempDir()), "").Up
			} else {
				c = &parsed(t, "edge", append(args, "--nats", natstest.Run(t)), "").Edge
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- c.run(ctx, slog.New(slog.DiscardHandler)) }() // received below
			eventually(t, func() bool { return status(t, internal, "/readyz") != 0 && status(t, listen, "/") != 0 })
			http.DefaultClient.CloseIdleConnections()

			eventually(t, func() bool { // as soon as the connection before has gone
				got, _, _ := call(t, listen, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 8000)).answer()
				return got == http.StatusRequestHeaderFieldsTooLarge
			})
			inside := &site{url: "http://" + internal}
			shows := func(metric string) bool {
				_, text, _ := inside.ask(t, http.MethodGet, "/metrics")
				return strings.Contains(text, "\n"+metric+"\n")
			}
			eventually(t, func() bool { return shows("sio_edge_tcp_connections 0") })
			held := call(t, listen, "")
			eventually(t, func() bool { return shows("sio_edge_tcp_connections 1") })
			call(t, listen, "").wantEnd()
			if shows("sio_edge_tcp_refused_total 0") {
				t.Error("the connection too many was not counted")
			}
			held.conn.Close()
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run = %v, want nil", err)
			}
		})
	}
}
