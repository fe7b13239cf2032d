package engine

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// deadline bounds every wait of a test that is not about time.
const deadline = 10 * time.Second

// env is a server under test and the way to reach it.
type env struct {
	tb    testing.TB
	srv   *Server
	base  string // URL up to the path
	http  *http.Client
	dial  func(context.Context, string, string) (net.Conn, error)
	peers chan *peer // one for each accepted session
}

// options change what startEnv starts.
type options struct {
	tls    bool
	accept func(*peer, *http.Request) error // called inside Accept
	peer   func(*peer)                      // prepares each handler
	server func(*http.Server)
}

// newEnv starts a server on the loopback interface.
func newEnv(tb testing.TB, cfg Config, o options) *env {
	tb.Helper()
	e := newServer(tb, cfg, o)
	hs := httptest.NewUnstartedServer(e.srv)
	if o.server != nil {
		o.server(hs.Config)
	}
	if o.tls {
		hs.TLS = hs.Config.TLSConfig
		hs.StartTLS()
	} else {
		hs.Start()
	}
	e.base = hs.URL
	tr := &http.Transport{
		DialContext:     (&net.Dialer{}).DialContext,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own server
	}
	e.http, e.dial = &http.Client{Transport: tr}, tr.DialContext
	tb.Cleanup(func() {
		e.close()
		tr.CloseIdleConnections()
		hs.Close()
	})
	return e
}

// newPipeEnv starts a server on pipes, for a bubble of testing/synctest.
func newPipeEnv(tb testing.TB, cfg Config, o options) *env {
	tb.Helper()
	e := newServer(tb, cfg, o)
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	hs := &http.Server{Handler: e.srv, ReadHeaderTimeout: time.Minute}
	if o.server != nil {
		o.server(hs)
	}
	served := make(chan struct{})
	go func() { // ended by hs.Close; waited for in the clean-up
		defer close(served)
		_ = hs.Serve(ln)
	}()
	e.base, e.dial = "http://pipe", ln.dial
	tr := &http.Transport{DialContext: ln.dial}
	e.http = &http.Client{Transport: tr}
	tb.Cleanup(func() {
		e.close()
		tr.CloseIdleConnections()
		_ = hs.Close()
		<-served
	})
	return e
}

func newServer(tb testing.TB, cfg Config, o options) *env {
	tb.Helper()
	e := &env{tb: tb, peers: make(chan *peer, 1024)}
	srv, err := New(func(s *Session, r *http.Request) (Handler, error) {
		p := &peer{tb: tb, s: s, closed: make(chan struct{}), changed: make(chan struct{}, 1)}
		if o.peer != nil {
			o.peer(p)
		}
		if o.accept != nil {
			if err := o.accept(p, r); err != nil {
				return nil, err
			}
		}
		e.peers <- p
		return p, nil
	}, cfg)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	e.srv = srv
	return e
}

func (e *env) close() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := e.srv.Close(ctx); err != nil {
		e.tb.Errorf("Close: %v", err)
	}
}

// accepted returns the handler of the next accepted session.
func (e *env) accepted() *peer {
	e.tb.Helper()
	select {
	case p := <-e.peers:
		return p
	case <-time.After(deadline):
		e.tb.Fatal("no session accepted")
		return nil
	}
}

// peer is the handler of one session; it records what it is told.
type peer struct {
	tb        testing.TB
	s         *Session
	echo      bool
	onMessage func(*peer, string) // called inside Message
	state     string              // what the handler leaves to another server; "" if it does not leave

	closed  chan struct{} // closed by Closed
	changed chan struct{} // a Message or EndBatch came
	reason  Reason        // valid after closed
	cause   error

	mu     sync.Mutex
	log    []string // "t:…", "b:…" and "|" for EndBatch; guarded by mu
	ended  bool     // guarded by mu
	inside bool     // guarded by mu
}

func (p *peer) enter() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inside || p.ended {
		p.tb.Errorf("handler called while inside=%v ended=%v", p.inside, p.ended)
	}
	p.inside = true
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.inside = false
	}
}

func (p *peer) Message(data []byte, binary bool) {
	defer p.enter()()
	kind := "t:"
	m := NewText([]byte(string(data)))
	if binary {
		kind, m = "b:", NewBinary([]byte(string(data)))
	}
	p.note(kind + string(data))
	if p.onMessage != nil {
		p.onMessage(p, string(data))
	}
	if p.echo {
		_ = p.s.Queue(m) // fails after a close, which tests look at otherwise
	}
}

func (p *peer) EndBatch() {
	defer p.enter()()
	p.note("|")
	p.s.Flush()
}

func (p *peer) Closed(reason Reason, cause error) {
	p.enter()()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.reason, p.cause = reason, cause
	close(p.closed)
}

// Move implements Mover.
func (p *peer) Move() ([]byte, bool) {
	defer p.enter()()
	return []byte(p.state), p.state != ""
}

func (p *peer) note(what string) {
	p.mu.Lock()
	p.log = append(p.log, what)
	p.mu.Unlock()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// heard returns what was recorded so far.
func (p *peer) heard() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// messages returns the messages recorded so far.
func (p *peer) messages() []string {
	var out []string
	for _, m := range p.heard() {
		if m != "|" {
			out = append(out, m)
		}
	}
	return out
}

// waitMessages waits until n messages have come and returns them.
func (p *peer) waitMessages(n int) []string {
	p.tb.Helper()
	timeout := time.After(deadline)
	for {
		if got := p.messages(); len(got) >= n {
			return got
		}
		select {
		case <-p.changed:
		case <-timeout:
			p.tb.Fatalf("got %d messages %q, want %d", len(p.messages()), p.messages(), n)
		}
	}
}

// waitClosed waits for the end of the session and checks its reason.
func (p *peer) waitClosed(want Reason) {
	p.tb.Helper()
	select {
	case <-p.closed:
	case <-time.After(2 * time.Minute): // of virtual time, or the test binary's patience
		p.tb.Fatalf("session not closed, want %q", want)
	}
	if p.reason != want {
		p.tb.Errorf("closed with reason %q (%v), want %q", p.reason, p.cause, want)
	}
}

// pipeListener listens for net.Pipe connections.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// response is an HTTP response that has been read.
type response struct {
	status int
	body   string
	header http.Header
	err    error
}

// do makes a request and reads the response; query starts with EIO=4 unless given.
func (e *env) do(ctx context.Context, method, query, body string, header ...string) response {
	if !strings.Contains(query, "EIO=") {
		query = "EIO=4&" + query
	}
	r, err := http.NewRequestWithContext(ctx, method, e.base+"/engine.io/?"+query, strings.NewReader(body))
	if err != nil {
		return response{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := e.http.Do(r)
	if err != nil {
		return response{err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return response{status: res.StatusCode, body: string(b), header: res.Header, err: err}
}

// dialWS opens a WebSocket with the query.
func (e *env) dialWS(ctx context.Context, query string, header ...string) (*wsClient, error) {
	if !strings.Contains(query, "EIO=") {
		query = "EIO=4&" + query
	}
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	d := ws.Dialer{
		NetDial: e.dial, Header: ws.HandshakeHeaderHTTP(h),
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the test's own server
	}
	url := "ws" + strings.TrimPrefix(e.base, "http") + "/engine.io/?" + query
	conn, br, _, err := d.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	c := &wsClient{tb: e.tb, conn: conn, r: conn}
	if br != nil {
		c.r = br
	}
	e.tb.Cleanup(func() { _ = conn.Close() })
	return c, nil
}
