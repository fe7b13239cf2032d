package engine

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/cors"
)

// conformanceConfig is the server that the official suite wants; in real time its heartbeat
// would be too quick for a busy machine.
func conformanceConfig(virtual bool) Config {
	c := Config{CORS: &cors.Options{AllowedOrigins: []string{"*"}}}
	if virtual {
		c.PingInterval, c.PingTimeout = 300*time.Millisecond, 200*time.Millisecond
	}
	return c
}

// wantOpen checks the content of an open packet.
func (e *env) wantOpen(o opened, upgrades ...string) {
	e.tb.Helper()
	cfg := e.srv.cfg
	if o.SID == "" || o.Upgrades == nil || !slices.Equal(o.Upgrades, upgrades) || o.MaxPayload != 1_000_000 ||
		o.PingInterval != cfg.PingInterval.Milliseconds() || o.PingTimeout != cfg.PingTimeout.Milliseconds() {
		e.tb.Errorf("open packet %+v", o)
	}
}

func echoing() options { return options{peer: func(p *peer) { p.echo = true }} }

// TestConformance covers the 25 cases of the official Engine.IO v4 suite on every way to
// use a connection: descriptor, TLS, and a pipe in virtual time.
func TestConformance(t *testing.T) {
	for _, c := range conformanceCases {
		t.Run(c.name, func(t *testing.T) {
			if !c.timed {
				t.Run("tcp", func(t *testing.T) { c.run(t, newEnv(t, conformanceConfig(false), echoing())) })
				t.Run("tls", func(t *testing.T) {
					o := echoing()
					o.tls = true
					c.run(t, newEnv(t, conformanceConfig(false), o))
				})
				t.Run("relayed", func(t *testing.T) { c.run(t, newPair(t, conformanceConfig(false), echoing()).front()) })
			}
			t.Run("pipe", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { c.run(t, newPipeEnv(t, conformanceConfig(true), echoing())) })
			})
		})
	}
}

var conformanceCases = []struct {
	name  string
	timed bool // asserts instants: only in virtual time
	run   func(*testing.T, *env)
}{
	{"handshake/polling opens", false, func(t *testing.T, e *env) { // EIO-001, EIO-002, EIO-003, EIO-004, EIO-005
		t.Helper()
		res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
		if res.status != 200 {
			t.Errorf("handshake: %d", res.status)
		}
		e.wantOpen(parseOpen(t, res.body), "websocket")
	}},
	{"handshake/polling wants EIO", false, func(t *testing.T, e *env) { // EIO-009
		t.Helper()
		for _, q := range []string{"noEIO=&transport=polling", "EIO=&transport=polling", "EIO=abc&transport=polling"} {
			wantResponse(t, e.do(t.Context(), http.MethodGet, q, ""), 400, `{"code":5,"message":"Unsupported protocol version"}`)
		}
	}},
	{"handshake/polling wants a transport", false, func(t *testing.T, e *env) { // EIO-012
		t.Helper()
		for _, q := range []string{"EIO=4", "transport=abc"} {
			wantResponse(t, e.do(t.Context(), http.MethodGet, q, ""), 400, `{"code":0,"message":"Transport unknown"}`)
		}
	}},
	{"handshake/polling wants GET", false, func(t *testing.T, e *env) { // EIO-018
		t.Helper()
		for _, m := range []string{http.MethodPost, http.MethodPut} {
			wantResponse(t, e.do(t.Context(), m, "transport=polling", ""), 400, `{"code":2,"message":"Bad handshake method"}`)
		}
	}},
	{"handshake/websocket opens", false, func(t *testing.T, e *env) { // WS-001, EIO-006
		t.Helper()
		c, err := e.dialWS(t.Context(), "transport=websocket")
		if err != nil {
			t.Fatal(err)
		}
		e.wantOpen(parseOpen(t, c.text()))
	}},
	{"handshake/websocket wants EIO", false, func(t *testing.T, e *env) { // EIO-010
		t.Helper()
		for _, q := range []string{"noEIO=&transport=websocket", "EIO=&transport=websocket", "EIO=abc&transport=websocket"} {
			if _, err := e.dialWS(t.Context(), q); err == nil {
				t.Errorf("%s was accepted", q)
			}
		}
	}},
	{"handshake/websocket wants a transport", false, func(t *testing.T, e *env) { // EIO-012
		t.Helper()
		for _, q := range []string{"EIO=4", "transport=abc"} {
			if _, err := e.dialWS(t.Context(), q); err == nil {
				t.Errorf("%s was accepted", q)
			}
		}
	}},
	{"message/polling one packet", false, func(t *testing.T, e *env) { // POL-001
		t.Helper()
		c := e.openPolling()
		c.wantPost("4hello")
		c.wantGet(200, "4hello")
	}},
	{"message/polling several packets", false, func(t *testing.T, e *env) { // POL-002, POL-003
		t.Helper()
		c := e.openPolling()
		c.wantPost("4test1\x1e4test2\x1e4test3")
		c.wantGet(200, "4test1\x1e4test2\x1e4test3")
	}},
	{"message/polling text and binary", false, func(t *testing.T, e *env) { // POL-004
		t.Helper()
		c := e.openPolling()
		c.wantPost("4hello\x1ebAQIDBA==")
		c.wantGet(200, "4hello\x1ebAQIDBA==")
	}},
	{"message/polling invalid packet", false, func(t *testing.T, e *env) { // POL-005
		t.Helper()
		c := e.openPolling()
		wantResponse(e.tb, c.post("abc"), 400, "") // POL-005: told at once
		c.wantGone()
		c.p.waitClosed(ParseError)
	}},
	{"message/polling two GETs", false, func(t *testing.T, e *env) { // POL-007
		t.Helper()
		c := e.openPolling()
		first := c.goGet()
		c.wantGet(400, "")
		wantResponse(t, wait(t, first), 200, "1")
		c.wantGone()
		c.p.waitClosed(TransportError)
	}},
	{"message/polling cancelled GET", false, func(t *testing.T, e *env) { // POL-009
		t.Helper()
		c := e.openPolling()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan response, 1)
		go func() { done <- e.do(ctx, http.MethodGet, "transport=polling&sid="+c.sid, "") }() // ended by cancel
		c.waitPending()
		cancel()
		if r := wait(t, done); r.err == nil && r.status != 400 {
			t.Errorf("cancelled GET got %d %q", r.status, r.body)
		}
		c.p.waitClosed(TransportError)
		if got := fmt.Sprint(c.p.cause); got != "poll connection closed prematurely" {
			t.Errorf("cause %q", got)
		}
		c.wantGone()
	}},
	{"message/websocket text", false, func(t *testing.T, e *env) { // WS-002
		t.Helper()
		c, _ := e.openWS()
		c.send("4hello")
		if got := c.text(); got != "4hello" {
			t.Errorf("got %q", got)
		}
	}},
	{"message/websocket binary", false, func(t *testing.T, e *env) { // WS-003
		t.Helper()
		c, _ := e.openWS()
		c.sendBinary("\x01\x02\x03\x04")
		if got := c.want(2); got != "\x01\x02\x03\x04" {
			t.Errorf("got %q", got)
		}
	}},
	{"message/websocket invalid packet", false, func(t *testing.T, e *env) { // WS-004
		t.Helper()
		c, p := e.openWS()
		c.send("abc")
		c.wantClose("")
		p.waitClosed(ParseError)
	}},
	{"heartbeat/polling", true, func(t *testing.T, e *env) { // HB-001
		t.Helper()
		c := e.openPolling()
		last := time.Now()
		for range 3 {
			c.wantGet(200, "2")
			within(t, "ping", time.Since(last), 300*time.Millisecond, 1)
			c.wantPost("3")
			last = time.Now()
		}
	}},
	{"heartbeat/polling timeout", true, func(t *testing.T, e *env) { // HB-003, at the very instant
		t.Helper()
		c := e.openPolling()
		<-time.After(500 * time.Millisecond)
		c.wantGone()
		c.p.waitClosed(PingTimeout)
	}},
	{"heartbeat/websocket", true, func(t *testing.T, e *env) { // HB-002
		t.Helper()
		c, _ := e.openWS()
		for range 3 {
			if got := c.text(); got != "2" {
				t.Errorf("got %q, want a ping", got)
			}
			c.send("3")
		}
	}},
	{"heartbeat/websocket timeout", true, func(t *testing.T, e *env) { // HB-003, HB-007
		t.Helper()
		c, p := e.openWS()
		c.text()
		c.wantClose("")
		p.waitClosed(PingTimeout)
	}},
	{"close/polling", false, func(t *testing.T, e *env) { // POL-011
		t.Helper()
		c := e.openPolling()
		get := c.goGet()
		c.wantPost("1")
		wantResponse(t, wait(t, get), 200, "6")
		c.wantGone() // POL-036
		c.p.waitClosed(TransportClose)
	}},
	{"close/websocket", false, func(t *testing.T, e *env) { // WS-005
		t.Helper()
		c, p := e.openWS()
		c.send("1")
		c.wantClose("")
		p.waitClosed(TransportClose)
	}},
	{"upgrade/completes", false, func(t *testing.T, e *env) { // UPG-001, UPG-002, UPG-003
		t.Helper()
		c := e.openPolling()
		w := c.probe()
		c.wantGet(200, "6")
		w.send("5")
		w.send("4hello")
		if got := w.text(); got != "4hello" {
			t.Errorf("got %q", got)
		}
	}},
	{"upgrade/refuses polling afterwards", false, func(t *testing.T, e *env) { // UPG-004
		t.Helper()
		c := e.openPolling()
		w := c.upgrade()
		c.wantGet(400, `{"code":3,"message":"Bad request"}`)
		w.send("4hello")
		if got := w.text(); got != "4hello" {
			t.Errorf("got %q", got)
		}
	}},
	{"upgrade/closes a second websocket", false, func(t *testing.T, e *env) { // UPG-005, WS-016
		t.Helper()
		c := e.openPolling()
		w := c.upgrade()
		second, err := e.dialWS(t.Context(), "transport=websocket&sid="+c.sid)
		if err != nil {
			t.Fatal(err)
		}
		second.wantClose("")
		w.send("4hello")
		if got := w.text(); got != "4hello" {
			t.Errorf("got %q", got)
		}
	}},
}
