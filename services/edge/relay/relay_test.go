package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge/relay/relaytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	waits      = 10 * time.Second
	unknownSID = `{"code":1,"message":"Session ID unknown"}`
	badRequest = `{"code":3,"message":"Bad request"}`
)

// site is some nodes and how to reach each.
type site struct {
	tb       testing.TB
	nodes    []*relaytest.Node
	urls     []string
	stops    []func()
	sessions chan *engine.Session
	client   *http.Client
}

// newSite starts nodes on a bus inside the process.
func newSite(tb testing.TB, n int, cfg relaytest.Config) *site {
	tb.Helper()
	memory := bus.NewMemory()
	tb.Cleanup(memory.Close)
	return newSiteOn(tb, n, cfg, func() bus.Bus { return memory })
}

func newSiteOn(tb testing.TB, n int, cfg relaytest.Config, attach func() bus.Bus) *site {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	s := &site{tb: tb, sessions: make(chan *engine.Session, 1000), client: &http.Client{Transport: transport, Timeout: 3 * waits}}
	cfg.Opened = func(session *engine.Session) { s.sessions <- session }
	for range n {
		node, err := relaytest.New(attach(), cfg)
		if err != nil {
			tb.Fatal(err)
		}
		hs := httptest.NewServer(node)
		ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
		done := make(chan error, 1)
		go func() { done <- node.Run(ctx) }() // waited for in stop
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil {
				tb.Errorf("node: %v", err)
			}
			transport.CloseIdleConnections()
			hs.Close()
		})
		tb.Cleanup(stop)
		s.nodes, s.urls, s.stops = append(s.nodes, node), append(s.urls, hs.URL), append(s.stops, stop)
	}
	for _, node := range s.nodes {
		s.eventually("all nodes known", func() bool { return node.Others() == n-1 })
	}
	return s
}

func (s *site) eventually(what string, cond func() bool) {
	s.tb.Helper()
	for end := time.Now().Add(waits); !cond(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			s.tb.Fatalf("no %s within %v", what, waits)
		}
	}
}

// receive returns the next value of a channel.
func receive[T any](s *site, what string, c <-chan T) (v T) {
	s.tb.Helper()
	select {
	case v = <-c:
	case <-time.After(waits):
		s.tb.Fatalf("no %s within %v", what, waits)
	}
	return v
}

// reply is what a request was answered with.
type reply struct {
	status int
	body   string
	err    error
}

func (s *site) do(ctx context.Context, node int, method, query, body string) reply {
	r, err := http.NewRequestWithContext(ctx, method, s.urls[node]+"/engine.io/?EIO=4&"+query, strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	res, err := s.client.Do(r)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, string(b), err}
}

// open opens a session on polling at the first node.
func (s *site) open() (sid string, session *engine.Session) {
	s.tb.Helper()
	got := s.do(s.tb.Context(), 0, http.MethodGet, "transport=polling", "")
	var o struct{ SID string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(got.body, "0")), &o); err != nil {
		s.tb.Fatalf("handshake: %+v, %v", got, err)
	}
	return o.SID, receive(s, "session", s.sessions)
}

func (s *site) get(node int, sid string) reply {
	return s.do(s.tb.Context(), node, http.MethodGet, "transport=polling&sid="+sid, "")
}

func (s *site) post(node int, sid, body string) reply {
	return s.do(s.tb.Context(), node, http.MethodPost, "transport=polling&sid="+sid, body)
}

func (s *site) want(what string, got reply, status int, body string) {
	s.tb.Helper()
	if got.err != nil || got.status != status || got.body != body {
		s.tb.Errorf("%s: got %d %.200q (%v), want %d %.200q", what, got.status, got.body, got.err, status, body)
	}
}

// later makes a GET in the background, and returns when it waits at the session's owner.
func (s *site) later(ctx context.Context, node int, sid string, session *engine.Session) <-chan reply {
	s.tb.Helper()
	c := make(chan reply, 1)
	go func() { c <- s.do(ctx, node, http.MethodGet, "transport=polling&sid="+sid, "") }() // ends with the request
	s.eventually("a GET that waits", func() bool { return session.SendVolatile() })
	return c
}

func (s *site) dial(node int, sid string) net.Conn {
	s.tb.Helper()
	url := "ws" + strings.TrimPrefix(s.urls[node], "http") + "/engine.io/?EIO=4&transport=websocket&sid=" + sid
	conn, br, _, err := ws.Dial(s.tb.Context(), url)
	if err != nil {
		s.tb.Fatalf("dial: %v", err)
	}
	s.tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(waits))
	if br != nil {
		return heardConn{conn, br}
	}
	return conn
}

// heardConn is a connection on which the server has spoken with its 101.
type heardConn struct {
	net.Conn
	r io.Reader
}

// Read implements io.Reader.
func (c heardConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (s *site) say(conn net.Conn, text string) {
	s.tb.Helper()
	if err := wsutil.WriteClientText(conn, []byte(text)); err != nil {
		s.tb.Errorf("say %.20q: %v", text, err)
	}
}

func (s *site) hear(conn net.Conn, want string) {
	s.tb.Helper()
	got, _, err := wsutil.ReadServerData(conn)
	if err != nil || string(got) != want {
		s.tb.Errorf("heard %.100q (%v), want %.100q", got, err, want)
	}
}

// upgrade takes a session to WebSocket at a node.
func (s *site) upgrade(node int, sid string) net.Conn {
	s.tb.Helper()
	conn := s.dial(node, sid)
	s.say(conn, "2probe")
	s.hear(conn, "3probe")
	s.say(conn, "5")
	return conn
}

func TestPolling(t *testing.T) {
	s := newSite(t, 3, relaytest.Config{})
	sid, session := s.open()
	s.want("POST elsewhere", s.post(1, sid, "4one"), 200, "ok") // CEN-003
	s.want("GET elsewhere", s.get(2, sid), 200, "4one")         // CEN-001
	waiting := s.later(t.Context(), 1, sid, session)
	if err := session.Send(engine.NewText([]byte("later"))); err != nil {
		t.Fatal(err)
	}
	s.want("GET that waited", <-waiting, 200, "4later") // CEN-002

	var want strings.Builder
	for i := range 30 { // CEN-004
		s.want("POST", s.post(i%3, sid, fmt.Sprintf("4%d", i)), 200, "ok")
		if i > 0 {
			want.WriteString("\x1e")
		}
		fmt.Fprintf(&want, "4%d", i)
	}
	s.want("GET of 30", s.get(1, sid), 200, want.String())
	s.want("binary", s.post(1, sid, "bAAEC"), 200, "ok") // CEN-012
	s.want("binary", s.get(2, sid), 200, "bAAEC")

	large := "4" + strings.Repeat("x", 900_000) // many records, and more than a stream's window
	s.want("large POST", s.post(1, sid, large), 200, "ok")
	s.want("large GET", s.get(2, sid), 200, large)
	s.want("too large a POST", s.post(1, sid, large+large), 413, "")
	s.want("POST after it", s.post(1, sid, "4still"), 200, "ok")
	s.want("GET after it", s.get(1, sid), 200, "4still")
	s.want("malformed POST", s.post(1, sid, "4x\x1e"), 400, "")
	s.want("GET after the end", s.get(2, sid), 400, unknownSID)
}

// CEN-005: a second GET, wherever it comes, ends the session, as at one edge.
func TestOverlap(t *testing.T) {
	s := newSite(t, 3, relaytest.Config{})
	for _, nodes := range [][2]int{{0, 1}, {1, 0}, {1, 2}, {1, 1}} {
		sid, session := s.open()
		waiting := s.later(t.Context(), nodes[0], sid, session)
		s.want("second GET", s.get(nodes[1], sid), 400, "")
		s.want("first GET", <-waiting, 200, "1")
		s.want("later GET", s.get(nodes[0], sid), 400, unknownSID)
	}
}

// CEN-006: the owner's end of the session.
func TestOwnerCloses(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, session := s.open()
	waiting := s.later(t.Context(), 1, sid, session)
	session.Close()
	s.want("GET", <-waiting, 200, "1")
	s.want("GET after it", s.get(1, sid), 400, unknownSID)
}

// CEN-007: a request that its client gives up ends the session, wherever it was made.
func TestAborted(t *testing.T) {
	reasons := make(chan engine.Reason, 2)
	s := newSite(t, 2, relaytest.Config{Closed: func(r engine.Reason) { reasons <- r }})
	sid, session := s.open()
	ctx, cancel := context.WithCancel(t.Context())
	waiting := s.later(ctx, 1, sid, session)
	cancel()
	if got := <-waiting; got.err == nil {
		t.Errorf("got %+v", got)
	}
	s.eventually("the end", func() bool { return s.nodes[0].Engine.ClientsCount() == 0 })
	s.want("GET after it", s.get(0, sid), 400, unknownSID)

	sid, _ = s.open() // a POST that never comes whole
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.urls[1], "http://"))
	if err != nil {
		t.Fatal(err)
	}
	before := s.nodes[0].Streams.Accepted.Load()
	fmt.Fprintf(conn, "POST /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4begin", sid)
	s.eventually("a stream", func() bool { return s.nodes[0].Streams.Accepted.Load() > before })
	_ = conn.Close()
	s.eventually("the end", func() bool { return s.nodes[0].Engine.ClientsCount() == 0 })
	for range 2 {
		if got := receive(s, "reason", reasons); got != engine.TransportError {
			t.Errorf("closed with %q, want %q", got, engine.TransportError)
		}
	}
}

// CEN-008: pings fetched and pongs posted anywhere.
func TestHeartbeat(t *testing.T) {
	s := newSite(t, 3, relaytest.Config{Engine: engine.Config{PingInterval: 20 * time.Millisecond}})
	sid, _ := s.open()
	for i := range 10 {
		s.want("ping", s.get(i%3, sid), 200, "2")
		s.want("pong", s.post((i+1)%3, sid, "3"), 200, "ok")
	}
	for i, n := range s.nodes {
		s.eventually("streams closed", func() bool { return n.Streams.Open.Load() == 0 })
		if i > 0 && n.Metrics[0].Load() == 0 {
			t.Errorf("node %d relayed nothing", i)
		}
	}
}

// CEN-009: an id that nobody has given out, and ids that want to be more than an id.
func TestUnknown(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, _ := s.open()
	for _, id := range []string{
		"nobody", "aaaaaaaaaaaaaaaaaaaa", sid[:10], sid[:10] + "aaaaaaaaaaaaaaaaaaaa", "*", ">", "a.b.c", "%3E.%2A", sid[:9] + ".", sid[:10] + ".*.>",
		strings.Repeat("a", 5000),
	} {
		for node := range s.nodes {
			began := time.Now()
			s.want(fmt.Sprintf("GET with sid %.20q", id), s.get(node, id), 400, unknownSID)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("sid %.20q took %v", id, took)
			}
		}
	}
	s.want("the session lives", s.post(1, sid, "4x"), 200, "ok")
}

func TestUpgrade(t *testing.T) {
	for _, stay := range []bool{false, true} {
		t.Run(fmt.Sprintf("stay=%v", stay), func(t *testing.T) {
			s := newSite(t, 3, relaytest.Config{Stay: stay})
			sid, session := s.open()
			waiting := s.later(t.Context(), 2, sid, session)
			conn := s.dial(1, sid)
			s.say(conn, "2probe")
			s.hear(conn, "3probe")
			s.want("GET during the probe", <-waiting, 200, "6")
			s.want("POST before the upgrade", s.post(2, sid, "4before"), 200, "ok")
			s.say(conn, "5")
			s.say(conn, "4behind")
			s.hear(conn, "4before") // CEN-011
			s.hear(conn, "4behind") // CEN-010
			if err := wsutil.WriteClientBinary(conn, []byte{0, 1, 2}); err != nil {
				t.Fatal(err)
			}
			s.hear(conn, "\x00\x01\x02")
			large := "4" + strings.Repeat("y", 900_000)
			s.say(conn, large)
			s.hear(conn, large)
			for node := range s.nodes {
				s.want("a stray GET", s.get(node, sid), 400, badRequest)
				second := s.dial(node, sid)
				if _, _, err := wsutil.ReadServerData(second); err == nil {
					t.Error("a second WebSocket was served")
				}
			}
			s.say(conn, "4still")
			s.hear(conn, "4still")
			owner := 1
			if stay {
				owner = 0
			}
			for i, n := range s.nodes {
				want := 0
				if i == owner {
					want = 1
				}
				if got := n.Engine.ClientsCount(); got != want {
					t.Errorf("node %d has %d sessions, want %d", i, got, want)
				}
			}
			_ = conn.Close()
			s.eventually("the end", func() bool { return s.nodes[owner].Engine.ClientsCount() == 0 })
		})
	}
}

// CEN-014: an upgrade that fails at another node, and the next one.
func TestUpgradeFails(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, _ := s.open()
	for range 3 {
		conn := s.dial(1, sid)
		s.say(conn, "2probe")
		s.hear(conn, "3probe")
		_ = conn.Close()
		s.eventually("the end of the probe", func() bool { return s.nodes[0].Streams.Open.Load() == 0 })
		s.want("POST", s.post(1, sid, "4x"), 200, "ok")
		s.want("GET", s.get(1, sid), 200, "4x")
	}
	conn := s.upgrade(1, sid)
	s.say(conn, "4upgraded")
	s.hear(conn, "4upgraded")
}

// CEN-013: the owner leaves while requests of its sessions wait elsewhere.
func TestOwnerLeaves(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{Stay: true})
	sid, session := s.open()
	upgraded, _ := s.open()
	conn := s.upgrade(1, upgraded)
	s.say(conn, "4x")
	s.hear(conn, "4x")
	waiting := s.later(t.Context(), 1, sid, session)
	s.stops[0]()
	s.want("GET that waited", <-waiting, 200, "1")
	s.want("GET after it", s.get(1, sid), 400, unknownSID)
	if _, _, err := wsutil.ReadServerData(conn); err == nil {
		t.Error("the WebSocket lives on")
	}
	s.eventually("no streams", func() bool { return s.nodes[1].Streams.Open.Load() == 0 })
}

// cpu is the processor time that this process has used, client and servers together.
func cpu(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPoll is a message and its echo on polling, a POST and a GET: at the node that has the session, at another one of
// the same process, and at another one over NATS.
func BenchmarkPoll(b *testing.B) {
	run := func(b *testing.B, s *site, node int) {
		b.Helper()
		sid, _ := s.open()
		b.ReportAllocs()
		before := cpu(b)
		defer func() { b.ReportMetric(float64(cpu(b)-before)/float64(time.Microsecond)/float64(b.N), "cpu-µs/op") }()
		for b.Loop() {
			if got := s.post(node, sid, "4hello"); got.status != http.StatusOK {
				b.Fatalf("POST: %+v", got)
			}
			if got := s.get(node, sid); got.body != "4hello" {
				b.Fatalf("GET: %+v", got)
			}
		}
	}
	b.Run("own", func(b *testing.B) { run(b, newSite(b, 2, relaytest.Config{}), 0) })
	b.Run("relayed in process", func(b *testing.B) { run(b, newSite(b, 2, relaytest.Config{}), 1) })
	b.Run("relayed over NATS", func(b *testing.B) {
		url := natstest.Run(b)
		run(b, newSiteOn(b, 2, relaytest.Config{}, func() bus.Bus {
			conn, err := bus.Dial(b.Context(), url, bus.NATSOptions{Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(conn.Close)
			return conn
		}), 1)
	})
}
