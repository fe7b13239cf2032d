package engine

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// pair is two servers: every session is the owner's, until it moves, and every request of a
// client of the relay for one that the relay has not got goes to the owner.
type pair struct {
	relay, owner *env
}

func newPair(t *testing.T, cfg Config, o options) *pair {
	t.Helper()
	p := &pair{owner: newEnv(t, cfg, o)}
	cfg.Foreign = p.foreign
	cfg.Adopt = func(s *Session, state []byte) (Handler, error) {
		m := &peer{tb: t, s: s, echo: o.peer != nil, closed: make(chan struct{}), changed: make(chan struct{}, 1)}
		m.note("state:" + string(state))
		p.relay.peers <- m
		return m, nil
	}
	p.relay = newEnv(t, cfg, o)
	return p
}

func (p *pair) foreign(w http.ResponseWriter, r *http.Request, _ SessionID) bool {
	if !isUpgrade(r) {
		p.owner.srv.ServeRelayed(w, r, nil)
		return true
	}
	ours, theirs := net.Pipe()
	joined, answered := make(chan struct{}), make(chan struct{})
	refusal := httptest.NewRecorder()
	go func() { // waited for below
		defer close(answered)
		p.owner.srv.ServeRelayed(refusal, r.Clone(p.owner.tb.Context()), func() (net.Conn, error) {
			close(joined)
			return theirs, nil
		})
	}()
	select {
	case <-joined:
		if err := p.relay.srv.RelayUpgrade(w, r, ours); err != nil {
			p.relay.tb.Errorf("RelayUpgrade: %v", err)
		}
		<-answered
	case <-answered:
		w.WriteHeader(refusal.Code)
		_, _ = w.Write(refusal.Body.Bytes())
	}
	return true
}

// front is the pair as one server: sessions are opened at the owner, and everything else goes to the relay.
func (p *pair) front() *env {
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sid") == "" {
			p.owner.srv.ServeHTTP(w, r)
		} else {
			p.relay.srv.ServeHTTP(w, r)
		}
	}))
	e := *p.owner
	e.base = hs.URL
	p.owner.tb.Cleanup(func() { // before those of the servers
		p.owner.close()
		p.relay.close()
		hs.Close()
	})
	return &e
}

// visitor is a client of the owner's session that makes its requests of the relay.
func (p *pair) visitor() *poller {
	c := p.owner.openPolling()
	c.e = p.relay
	return c
}

// CEN-001 to CEN-004: requests of a session that reach another server, and end there.
func TestRelayedPolling(t *testing.T) {
	p := newPair(t, Config{}, echoing())
	c := p.visitor()
	c.wantPost("4one\x1e4two")
	c.wantGet(200, "4one\x1e4two")
	get := c.goGet()
	if err := c.p.s.Send(NewText([]byte("later"))); err != nil {
		t.Fatal(err)
	}
	wantResponse(t, wait(t, get), 200, "4later")

	get = c.goGet()
	wantResponse(t, c.get(), 400, "") // CEN-005
	wantResponse(t, wait(t, get), 200, "1")
	c.p.waitClosed(TransportError)
	c.wantGone()

	res := p.relay.do(t.Context(), http.MethodGet, "transport=polling&sid=nobody", "")
	wantResponse(t, res, 400, `{"code":1,"message":"Session ID unknown"}`) // CEN-009
}

// CEN-010: the upgrade at another server, from which the owner does not part.
func TestRelayedUpgradeStays(t *testing.T) {
	p := newPair(t, Config{}, echoing())
	c := p.visitor()
	c.wantPost("4before") // CEN-011
	w := c.probe()
	w.write(ws.NewTextFrame([]byte("5")), ws.NewTextFrame([]byte("4behind")))
	for _, want := range []string{"4before", "4behind"} {
		if got := w.text(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	w.sendBinary("bin") // CEN-012
	if got := w.want(ws.OpBinary); got != "bin" {
		t.Errorf("got %q, want %q", got, "bin")
	}
	big := strings.Repeat("x", 300_000)
	w.send("4" + big)
	if got := w.text(); got != "4"+big {
		t.Errorf("a large message came back with %d bytes", len(got))
	}
	wantResponse(t, c.get(), 400, `{"code":3,"message":"Bad request"}`)
	if p.owner.srv.ClientsCount() != 1 || p.relay.srv.ClientsCount() != 0 {
		t.Error("the session is not the owner's")
	}
	c.p.s.Close()
	w.wantClose("")
	c.p.waitClosed(ForcedClose)
}

// The session moves to the server that has the WebSocket.
func TestRelayedUpgradeMoves(t *testing.T) {
	o := echoing()
	echo := o.peer
	o.peer = func(p *peer) { echo(p); p.state = `"kept"` }
	p := newPair(t, Config{Metrics: &Metrics{}}, o)
	c := p.visitor()
	c.wantPost("4before")
	w := c.probe()
	w.write(ws.NewTextFrame([]byte("5")), ws.NewTextFrame([]byte("4behind")), ws.NewTextFrame([]byte("4last")))
	for _, want := range []string{"4before", "4behind", "4last"} {
		if got := w.text(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	moved := p.relay.accepted()
	if got := moved.messages(); got[0] != `state:"kept"` {
		t.Errorf("the new handler got %q first, want the old one's state", got[0])
	}
	if string(moved.s.ID()) != c.sid || !moved.s.Upgraded() || moved.s.RemoteAddr() != c.p.s.RemoteAddr() {
		t.Error("it is not the same session")
	}
	eventually(t, "owner without session", func() bool {
		return p.owner.srv.ClientsCount() == 0 && p.relay.srv.ClientsCount() == 1
	})
	for _, e := range []*env{p.owner, p.relay} { // stray requests
		c.e = e
		wantResponse(t, c.get(), 400, `{"code":3,"message":"Bad request"}`)
		wantResponse(t, c.post("4stray"), 400, `{"code":3,"message":"Bad request"}`)
		c.dialProbe().wantClose("") // WS-016
	}
	w.send("4still there")
	if got := w.text(); got != "4still there" {
		t.Errorf("got %q, want the echo", got)
	}
	if ends := p.owner.srv.cfg.Metrics.Snapshot().Upgrades; ends["moved"] != 1 || ends["refused"] != 2 {
		t.Errorf("upgrades are counted as %v, want one moved and two refused", ends)
	}
	if n := p.owner.srv.cfg.Metrics.Snapshot().SessionsClosed[Moved]; n != 1 {
		t.Errorf("%d sessions counted as moved, want 1", n)
	}
	_ = w.conn.Close()
	moved.waitClosed(TransportClose)
	select {
	case <-c.p.closed:
		t.Error("the old handler was told that its session closed")
	default:
	}
}

// CEN-014: an upgrade that fails leaves the session where it was, and may be tried again.
func TestRelayedUpgradeFails(t *testing.T) {
	p := newPair(t, Config{}, echoing())
	c := p.visitor()
	for range 3 {
		w := c.probe()
		_ = w.conn.Close()
		eventually(t, "end of the probe", func() bool {
			c.p.s.mu.Lock()
			defer c.p.s.mu.Unlock()
			return c.p.s.probe == nil
		})
		c.wantPost("4polling")
		c.wantGet(200, "4polling")
	}
	w := c.upgrade()
	w.send("4done")
	if got := w.text(); got != "4done" {
		t.Errorf("got %q, want the echo", got)
	}
}

// The heartbeat goes on where it was, and a session that is silent ends.
func TestMovedHeartbeat(t *testing.T) {
	t.Parallel()
	o := options{peer: func(p *peer) { p.state = `1` }}
	p := newPair(t, Config{PingInterval: 200 * time.Millisecond, PingTimeout: 3 * time.Second}, o)
	c := p.visitor()
	w := c.probe()
	w.send("5")
	moved := p.relay.accepted()
	for range 3 {
		if got := w.text(); got != "2" {
			t.Fatalf("got %q, want a ping", got)
		}
		w.send("3")
	}
	if got := w.text(); got != "2" {
		t.Fatalf("got %q, want a ping", got)
	}
	moved.waitClosed(PingTimeout)
}

// A relay that closes cuts the WebSockets that it relays.
func TestRelayCloses(t *testing.T) {
	p := newPair(t, Config{}, echoing())
	c := p.visitor()
	w := c.upgrade()
	p.relay.close()
	w.wantEnd()
	c.p.waitClosed(TransportClose)
}

// A server does not remember the sessions that have moved for ever, nor all of them.
func TestMovedMemory(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	for i := range movedCount + 10 {
		e.srv.rememberMoved(SessionID(strconv.Itoa(i)))
	}
	if n := len(e.srv.moved.order); n > movedCount || n != len(e.srv.moved.until) {
		t.Errorf("%d sessions remembered in order, %d by name, want at most %d", n, len(e.srv.moved.until), movedCount)
	}
}
