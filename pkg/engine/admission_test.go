package engine

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/cors"
)

const (
	fullBody  = `{"code":3,"message":"Too many connections"}`
	perIPBody = `{"code":3,"message":"Too many connections from this address"}`
	fastBody  = `{"code":3,"message":"Connecting too fast"}`
)

// header is that of a client address, which the servers of these tests believe.
const header = "X-Address"

func byHeader(r *http.Request) string { return r.Header.Get(header) }

// come makes a polling handshake from an address.
func (e *env) come(address string) response {
	return e.do(e.tb.Context(), http.MethodGet, "transport=polling", "", header, address)
}

// wantSeats checks how many seats are taken.
func (e *env) wantSeats(want int) {
	e.tb.Helper()
	a := e.srv.seats
	a.mu.Lock()
	defer a.mu.Unlock()
	sum := 0
	for _, n := range a.from {
		sum += n
	}
	if a.open != want || a.perIP > 0 && sum != want {
		e.tb.Errorf("%d seats are taken, by address %v, want %d", a.open, a.from, want)
	}
}

// Each limit: status, body and Retry-After on both transports, what is told and counted, and
// who is not asked any more.
func TestNotAdmitted(t *testing.T) {
	for _, tt := range []struct {
		name              string
		cfg               Config
		status            int
		body, bare, retry string
	}{
		{"MAX_CONNECTIONS", Config{MaxConnections: 2}, 503, fullBody, "Too many connections", "5"},
		{"MAX_CONNECTIONS_PER_IP", Config{MaxConnections: 2, MaxConnectionsPerIP: 2}, 429, perIPBody, "Too many connections from this address", "5"},
		{"ACCEPT_RATE", Config{AcceptRate: 0.01, AcceptBurst: 2}, 503, fastBody, "Connecting too fast", "100"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told refusals
			asked, metrics := 0, &Metrics{} // asked is written by handshakes, which come one after another
			tt.cfg.OnConnectionError, tt.cfg.Metrics = told.add, metrics
			tt.cfg.AllowRequest = func(*http.Request) error { asked++; return nil }
			e := newEnv(t, tt.cfg, echoing())
			c := e.openPolling()
			_, p := e.openWS()

			res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
			wantResponse(t, res, tt.status, tt.body)
			if got := told.last(t); got.code != CodeBadRequest || got.message != "Bad request" || got.context["name"] != tt.name { // EIO-026
				t.Errorf("told %+v, want %s", got, tt.name)
			}
			up, _ := e.shake("")
			wantResponse(t, up, tt.status, tt.bare)
			if got := told.last(t); got.context["name"] != tt.name { // EIO-026
				t.Errorf("told %+v, want %s", got, tt.name)
			}
			for _, got := range []string{res.header.Get("Retry-After"), up.header.Get("Retry-After")} {
				seconds, err := strconv.Atoi(got)
				if late := tt.name == "ACCEPT_RATE" && err == nil && seconds >= 80 && seconds <= 100; got != tt.retry && !late { // time passes
					t.Errorf("Retry-After %q, want %s", got, tt.retry)
				}
			}
			s := metrics.Snapshot()
			for name, n := range s.NotAdmitted {
				if want := map[bool]uint64{true: 2}[name == tt.name]; n != want {
					t.Errorf("%d counted as %s, want %d", n, name, want)
				}
			}
			if len(s.NotAdmitted) != 3 || s.Refused[CodeBadRequest] != 2 || s.SessionsOpen != 2 || asked != 2 {
				t.Errorf("asked %d times, counted %+v", asked, s)
			}

			c.wantPost("4x") // requests with a sid are not refused
			c.wantGet(200, "4x")
			w := c.upgrade()
			w.send("4y")
			if got := w.text(); got != "4y" {
				t.Errorf("got %q", got)
			}
			if tt.name == "ACCEPT_RATE" {
				return
			}
			p.s.Discard(ForcedClose)
			p.waitClosed(ForcedClose)
			e.openPolling()
			wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling", ""), tt.status, tt.body)
		})
	}
}

// However a session ends, its seat is free when the handler knows.
func TestSeatsAreGivenBack(t *testing.T) {
	refuse := errors.New("no")
	e := newEnv(t, Config{
		MaxConnections: 1, MaxConnectionsPerIP: 1, PingInterval: time.Hour, AllowEIO3: false,
		AllowRequest: func(r *http.Request) error {
			if r.URL.Query().Has("forbid") {
				return refuse
			}
			return nil
		},
		GenerateID: func(r *http.Request) (SessionID, error) {
			if r.URL.Query().Has("noid") {
				return "", refuse
			}
			return randomID(), nil
		},
		InitialHeaders: func(_ http.Header, r *http.Request) {
			if r.URL.Query().Has("abort") {
				panic(http.ErrAbortHandler)
			}
		},
	}, options{accept: func(p *peer, r *http.Request) error {
		switch q := r.URL.Query(); {
		case q.Has("refuse"):
			return refuse
		case q.Has("panic"):
			panic(http.ErrAbortHandler)
		case q.Has("close"):
			p.s.Close()
		case q.Has("discard"):
			p.s.Discard(ForcedClose)
		}
		return nil
	}})
	for _, query := range []string{"forbid", "noid", "refuse", "panic", "discard", "EIO=3"} {
		if res := e.do(t.Context(), http.MethodGet, query+"&transport=polling", ""); res.status == 200 {
			t.Errorf("%s: got a session %q", query, res.body)
		}
		e.wantSeats(0)
		if c, err := e.dialWS(t.Context(), query+"&transport=websocket"); err == nil {
			t.Errorf("%s: got a WebSocket %v", query, c.conn.RemoteAddr())
		}
		e.wantSeats(0)
		if query == "discard" {
			e.accepted().waitClosed(ForcedClose)
			e.accepted().waitClosed(ForcedClose)
		}
	}
	if c, err := e.dialWS(t.Context(), "abort&transport=websocket"); err == nil {
		t.Errorf("abort: got a WebSocket %v", c.conn.RemoteAddr())
	}
	e.accepted().waitClosed(TransportError) // told although its own function has panicked
	e.wantSeats(0)

	for name, end := range map[string]func() *peer{
		"client closes polling": func() *peer { c := e.openPolling(); c.wantPost("1"); return c.p },
		"client cuts WebSocket": func() *peer { c, p := e.openWS(); _ = c.conn.Close(); return p },
		"bad packet":            func() *peer { c, p := e.openWS(); c.send("x"); return p },
		"second GET": func() *peer {
			c := e.openPolling()
			get := c.goGet()
			_ = c.get()
			wait(t, get)
			return c.p
		},
		"closed after the upgrade": func() *peer { c := e.openPolling(); w := c.upgrade(); c.p.s.Close(); w.wantClose(""); return c.p },
		"closed in Accept": func() *peer {
			open := e.do(t.Context(), http.MethodGet, "transport=polling&close", "")
			c := &poller{e: e, sid: parseOpen(t, open.body).SID, p: e.accepted()}
			e.wantSeats(1)
			if res := c.get(); !strings.HasSuffix(res.body, "1") { // the close packet
				t.Errorf("closed in Accept: got %q", res.body)
			}
			return c.p
		},
		"discarded": func() *peer { c := e.openPolling(); c.p.s.Discard(ForcedClose); c.p.s.Discard(ForcedClose); return c.p },
	} {
		p := end()
		select {
		case <-p.closed:
		case <-time.After(deadline):
			t.Fatalf("%s: the session has not ended", name)
		}
		e.wantSeats(0)
	}
}

// A session that times out, and one that the server closes but the client does not fetch.
func TestSeatsOfSilentClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{MaxConnections: 2, PingInterval: time.Second, PingTimeout: time.Second}, options{})
		gone, kept := e.openPolling(), e.openPolling()
		kept.p.s.Close()
		e.wantSeats(2)
		gone.p.waitClosed(PingTimeout)
		e.wantSeats(1)
		kept.p.waitClosed(ForcedClose)
		e.wantSeats(0)
	})
}

// A server that moves its session away has a seat again; the one that gets it takes it in,
// even beyond its limit, and refuses others until it has gone.
func TestSeatsMove(t *testing.T) {
	p := newPair(t, Config{MaxConnections: 1, MaxConnectionsPerIP: 1}, options{peer: func(p *peer) { p.echo, p.state = true, "state" }})
	resident, _ := p.relay.openWS()
	c := p.visitor()
	p.owner.wantSeats(1)
	wantResponse(t, p.owner.do(t.Context(), http.MethodGet, "transport=polling", ""), 429, perIPBody)
	w := c.probe()
	w.send("5")
	moved := p.relay.accepted()
	p.relay.wantSeats(2)
	eventually(t, "seat at the first server", func() bool {
		return p.owner.do(t.Context(), http.MethodGet, "transport=polling", "").status == 200
	})
	wantResponse(t, p.relay.do(t.Context(), http.MethodGet, "transport=polling", ""), 429, perIPBody)
	_ = resident.conn.Close()
	moved.s.Close()
	w.wantClose("")
	moved.waitClosed(ForcedClose)
	eventually(t, "free seats", func() bool {
		return p.relay.do(t.Context(), http.MethodGet, "transport=polling", "").status == 200
	})
}

// 200 at once for 50 seats, twice.
func TestAdmissionOfMany(t *testing.T) {
	e := newEnv(t, Config{MaxConnections: 50}, options{})
	for range 2 {
		var wg sync.WaitGroup
		start, statuses := make(chan struct{}), make(chan int, 200)
		for i := range 200 {
			wg.Go(func() { // waited for below
				<-start
				if i%2 == 0 {
					statuses <- e.come("x").status
					return
				}
				res, _ := e.shake("")
				statuses <- res.status
			})
		}
		close(start)
		wg.Wait()
		close(statuses)
		got := map[int]int{}
		for s := range statuses {
			if s == http.StatusSwitchingProtocols {
				s = http.StatusOK
			}
			got[s]++
		}
		if got[200] != 50 || got[503] != 150 {
			t.Errorf("answers by status: %v, want 50 and 150", got)
		}
		e.wantSeats(50)
		for range 50 {
			p := e.accepted()
			p.s.Discard(ForcedClose)
			p.waitClosed(ForcedClose)
		}
		e.wantSeats(0)
	}
}

// Who shares an address has one limit; others are not touched by it.
func TestPerAddress(t *testing.T) {
	e := newEnv(t, Config{MaxConnectionsPerIP: 1, RemoteAddr: byHeader}, options{})
	for _, tt := range []struct {
		address string
		status  int
	}{
		{"192.0.2.1:1000", 200},
		{"192.0.2.1:2000", 429},
		{"::ffff:192.0.2.1", 429},
		{"192.0.2.2", 200},
		{"[2001:db8:0:1::1]:1000", 200},
		{"[2001:db8:0:1:ffff::2]:1000", 429},
		{"2001:db8:0:2::1", 200},
		{"[fe80::1%eth0]:1", 200},
		{"fe80::2", 429},
		{"pipe", 200},
		{"pipe", 429},
		{"host:1", 200},
		{"host:2", 429},
		{"", 200},
		{"", 429},
	} {
		if res := e.come(tt.address); res.status != tt.status {
			t.Errorf("from %q: %d %q, want %d", tt.address, res.status, res.body, tt.status)
		}
	}
}

// One second's worth comes at once, the rest as the bucket fills; the clients that are refused
// for another limit take nothing from it.
func TestAcceptRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{AcceptRate: 2, MaxConnectionsPerIP: 3, RemoteAddr: byHeader, PingInterval: time.Hour}, options{})
		come := func(address string, want ...int) {
			t.Helper()
			for i, status := range want {
				if res := e.come(address); res.status != status {
					t.Errorf("client %d of %s: %d %q, want %d", i, address, res.status, res.body, status)
				}
			}
		}
		come("192.0.2.1", 200, 200, 503, 503)
		<-time.After(500 * time.Millisecond)
		come("192.0.2.1", 200, 429, 429)
		<-time.After(time.Hour)
		come("192.0.2.1", 429, 429)
		come("192.0.2.2", 200, 200, 503)
		if got := e.come("192.0.2.3").header.Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After %q, want 1", got)
		}
	})
}

func TestAdmissionConfig(t *testing.T) {
	for perSecond, want := range map[float64]int{0: 1, 0.1: 1, 1: 1, 1.5: 2, 200: 200, 1e300: math.MaxInt32} {
		if got := (Config{AcceptRate: perSecond}).withDefaults().AcceptBurst; got != want {
			t.Errorf("burst of %v per second is %d, want %d", perSecond, got, want)
		}
	}
	accept := func(*Session, *http.Request) (Handler, error) { return nil, nil }
	for name, c := range map[string]Config{
		"negative connections":        {MaxConnections: -1},
		"negative connections per IP": {MaxConnectionsPerIP: -1},
		"negative rate":               {AcceptRate: -1},
		"no rate":                     {AcceptRate: math.NaN()},
		"infinite rate":               {AcceptRate: math.Inf(1)},
		"negative burst":              {AcceptRate: 1, AcceptBurst: -1},
	} {
		if _, err := New(accept, c); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// A client that announces a body and does not send it, wherever nobody reads that: it gets its
// answer if that is due at the end, and loses its connection, after BodyTimeout or twice that.
func TestUnreadBody(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"unknown session", "POST /engine.io/?EIO=4&transport=polling&sid=x", "HTTP/1.1 400 "},
		{"handshake", "GET /engine.io/?EIO=4&transport=polling", ""}, // its answer is too late then
		{"method", "PUT /engine.io/?EIO=4&transport=polling", "HTTP/1.1 400 "},
		{"path", "POST /engine.io", "HTTP/1.1 404 "},
		{"refused upgrade", "GET /engine.io/?EIO=4&transport=none", "HTTP/1.1 400 "},
		{"preflight", "OPTIONS /engine.io/?EIO=4&transport=polling", "HTTP/1.1 204 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newPipeEnv(t, Config{BodyTimeout: 3 * time.Second, CORS: &cors.Options{AllowedOrigins: []string{"*"}}}, options{})
				start := time.Now()
				more := ""
				if strings.Contains(tt.name, "upgrade") {
					more = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
				}
				head, _ := e.raw(t, tt.line+" HTTP/1.1\r\nHost: x\r\n"+more+"Content-Length: 10\r\n\r\n123") // reads up to the end
				if took := time.Since(start); !strings.HasPrefix(head, tt.want) || took > 6*time.Second {
					t.Errorf("got %q after %v, want %s", head, took, tt.want)
				}
			})
		})
	}
}

// A WebSocket whose handshake announced a body lives longer than that may take to come.
func TestUpgradeWithBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newPipeEnv(t, Config{BodyTimeout: 3 * time.Second, PingInterval: time.Hour}, echoing())
		up, c := e.shake("", "Content-Length: 10")
		wantShaken(t, up, c)
		<-time.After(time.Minute)
		c.send("4still here")
		if got := c.text(); got != "4still here" {
			t.Errorf("got %q", got)
		}
	})
}

// A session that cannot go on where it has moved leaves no seat anywhere.
func TestSeatsOfFailedMove(t *testing.T) {
	p := newPair(t, Config{MaxConnections: 1, MaxConnectionsPerIP: 1}, options{peer: func(p *peer) { p.state = "state" }})
	p.relay.srv.cfg.Adopt = func(*Session, []byte) (Handler, error) {
		p.relay.wantSeats(1)
		return nil, errors.New("no")
	}
	w := p.visitor().probe()
	w.send("5")
	w.wantEnd()
	for _, e := range []*env{p.owner, p.relay} {
		eventually(t, "free seat", func() bool {
			e.srv.seats.mu.Lock()
			defer e.srv.seats.mu.Unlock()
			return e.srv.seats.open == 0
		})
		e.wantSeats(0)
	}
}
