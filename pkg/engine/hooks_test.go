package engine

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// EVT-007, EVT-008, EVT-009: headers of the first response, and of each.
func TestHeaders(t *testing.T) {
	var initial, every atomic.Int32
	e := newEnv(t, Config{
		InitialHeaders: func(h http.Header, r *http.Request) {
			initial.Add(1)
			h.Set("X-First", r.URL.Query().Get("transport"))
			h.Add("Set-Cookie", "mine=1")
		},
		Headers: func(h http.Header, r *http.Request) {
			every.Add(1)
			h.Set("X-Every", r.Method)
			h.Set("Cache-Control", "private") // they have the last word
		},
	}, echoing())
	check := func(what string, h http.Header, first, each string) {
		t.Helper()
		if got := h.Get("X-First"); got != first {
			t.Errorf("%s: initial header %q, want %q", what, got, first)
		}
		if got := h.Get("X-Every"); got != each {
			t.Errorf("%s: header %q, want %q", what, got, each)
		}
		if got := h.Get("Set-Cookie"); (got == "mine=1") != (first != "") {
			t.Errorf("%s: cookie %q", what, got)
		}
	}
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
	check("handshake", res.header, "polling", "GET") // EVT-007
	if got := res.header.Get("Cache-Control"); got != "private" {
		t.Errorf("Cache-Control %q, want private", got)
	}
	c := &poller{e: e, sid: parseOpen(t, res.body).SID, p: e.accepted()}
	check("POST", c.post("4x").header, "", "POST") // EVT-009
	check("GET", c.get().header, "", "GET")        // EVT-009
	upgrade, _ := e.shake("sid=" + c.sid)
	check("101 of the upgrade", upgrade.header, "", "GET") // EVT-008, EVT-009
	if n := every.Load(); n != 4 {                         // EVT-008
		t.Errorf("headers of %d responses, want 4", n)
	}
	direct, w := e.shake("")
	wantShaken(t, direct, w)
	check("101", direct.header, "websocket", "GET") // EVT-007
	if n := initial.Load(); n != 2 {                // EVT-007
		t.Errorf("initial headers of %d responses, want one of each session", n)
	}
	check("refusal", e.do(t.Context(), http.MethodGet, "transport=polling&sid=x", "").header, "", "")
	if n := every.Load(); n != 5 {
		t.Errorf("headers of %d responses, want 5", n)
	}
}

// EVT-010, EVT-011, EVT-012: the cookie.
func TestCookie(t *testing.T) {
	id := func(*http.Request) (SessionID, error) { return "a b+c/1", nil }
	with := func(change func(*http.Cookie)) *http.Cookie {
		c := DefaultCookie()
		change(c)
		return c
	}
	tests := []struct {
		name   string
		cookie *http.Cookie
		want   string
	}{
		{"none", nil, ""}, // EVT-012
		{"default", DefaultCookie(), "io=a%20b%2Bc%2F1; Path=/; HttpOnly; SameSite=Lax"},                                                               // EVT-010
		{"name", with(func(c *http.Cookie) { c.Name = "woot" }), "woot=a%20b%2Bc%2F1; Path=/; HttpOnly; SameSite=Lax"},                                 // EVT-011
		{"path", with(func(c *http.Cookie) { c.Path = "/custom" }), "io=a%20b%2Bc%2F1; Path=/custom; HttpOnly; SameSite=Lax"},                          // EVT-011
		{"no path", with(func(c *http.Cookie) { c.Path = "" }), "io=a%20b%2Bc%2F1; HttpOnly; SameSite=Lax"},                                            // EVT-011
		{"not httpOnly", with(func(c *http.Cookie) { c.HttpOnly = false }), "io=a%20b%2Bc%2F1; Path=/; SameSite=Lax"},                                  // EVT-011
		{"strict", with(func(c *http.Cookie) { c.SameSite = http.SameSiteStrictMode }), "io=a%20b%2Bc%2F1; Path=/; HttpOnly; SameSite=Strict"},         // EVT-011
		{"more", with(func(c *http.Cookie) { c.MaxAge, c.Secure = 60, true }), "io=a%20b%2Bc%2F1; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"}, // EVT-011
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := newEnv(t, Config{Cookie: tt.cookie, GenerateID: id}, options{})
			res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
			if got := res.header.Get("Set-Cookie"); got != tt.want {
				t.Errorf("cookie %q, want %q", got, tt.want)
			}
			c := &poller{e: e, sid: "a+b%2Bc%2F1", p: e.accepted()}
			if got := c.post("4x").header.Values("Set-Cookie"); got != nil { // EVT-010
				t.Errorf("cookie %q of a POST", got)
			}
			upgrade, _ := e.shake("sid=" + c.sid)
			if got := upgrade.header.Values("Set-Cookie"); upgrade.status != 101 || got != nil { // EVT-012
				t.Errorf("upgrade got %d, cookie %q", upgrade.status, got)
			}
			c.p.s.Discard(ForcedClose)
			eventually(t, "end of the session", func() bool { return e.srv.ClientsCount() == 0 })
			direct, w := e.shake("")
			wantShaken(t, direct, w)
			if got := direct.header.Values("Set-Cookie"); got != nil { // EVT-012
				t.Errorf("cookie %q on WebSocket", got)
			}
		})
	}
	if c := DefaultCookie(); c.Value != "" {
		t.Errorf("DefaultCookie has value %q", c.Value)
	}
}

// EIO-031: the initial packet, right behind open.
func TestInitialPacket(t *testing.T) {
	for name, m := range map[string]*Message{"4faster!": text("faster!"), "bAQI=": NewBinary([]byte{1, 2})} {
		e := newEnv(t, Config{InitialPacket: m}, options{accept: func(p *peer, _ *http.Request) error {
			return p.s.Send(text("then"))
		}})
		res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
		open, rest, _ := strings.Cut(res.body, "\x1e")
		parseOpen(t, open)
		if rest != name+"\x1e4then" {
			t.Errorf("behind the open packet came %q, want %q and then the rest", rest, name)
		}
		c, err := e.dialWS(t.Context(), "transport=websocket")
		if err != nil {
			t.Fatal(err)
		}
		parseOpen(t, c.text())
		op := ws.OpText
		if m.bin {
			op = ws.OpBinary
		}
		if got := c.want(op); got != string(m.payload()) {
			t.Errorf("behind the open packet came %q, want %q", got, m.payload())
		}
	}
}

// AllowRequest and GenerateID may take their time, and are asked about handshakes alone.
func TestSlowHooks(t *testing.T) {
	var allowed, named atomic.Int32
	asked, answer := make(chan string), make(chan error)
	var told refusals
	e := newEnv(t, Config{
		OnConnectionError: told.add,
		AllowRequest: func(r *http.Request) error {
			allowed.Add(1)
			asked <- "allow " + r.URL.Query().Get("transport")
			return <-answer
		},
		GenerateID: func(r *http.Request) (SessionID, error) {
			named.Add(1)
			asked <- "name " + r.URL.Query().Get("transport")
			return SessionID("id of " + r.URL.Query().Get("transport")), <-answer
		},
	}, echoing())
	ask := func(want string, err error) {
		t.Helper()
		if got := <-asked; got != want {
			t.Errorf("asked %q, want %q", got, want)
		}
		if n := e.srv.ClientsCount(); n > 1 {
			t.Errorf("%d sessions before the answer", n)
		}
		answer <- err
	}
	get := func() <-chan response {
		ch := make(chan response, 1)
		go func() { ch <- e.do(t.Context(), http.MethodGet, "transport=polling", "") }() // waited for by its user
		return ch
	}
	ch := get()
	ask("allow polling", nil) // EIO-024
	ask("name polling", nil)  // EIO-028
	res := wait(t, ch)
	if o := parseOpen(t, res.body); o.SID != "id of polling" { // EIO-027
		t.Errorf("sid %q", o.SID)
	}
	ch = get()
	ask("allow polling", errors.New("thou shall not pass"))
	wantResponse(t, wait(t, ch), 403, `{"code":4,"message":"thou shall not pass"}`) // EIO-022
	if got := told.last(t); got.code != CodeForbidden || got.message != "Forbidden" {
		t.Errorf("told %+v, want Forbidden", got) // EIO-022
	}
	ch = get()
	ask("allow polling", nil)
	ask("name polling", errors.New("out of names"))
	wantResponse(t, wait(t, ch), 400, `{"code":3,"message":"Bad request"}`)
	if got := told.last(t); got.code != CodeBadRequest || got.context["name"] != "ID_GENERATION_ERROR" {
		t.Errorf("told %+v, want ID_GENERATION_ERROR", got) // EIO-029
	}

	type shaken struct {
		res response
		c   *wsClient
	}
	shake := func() <-chan shaken {
		ch := make(chan shaken, 1)
		go func() { // waited for by its user
			res, c := e.shake("")
			ch <- shaken{res, c}
		}()
		return ch
	}
	s := shake()
	ask("allow websocket", errors.New("nor you"))
	if got := <-s; got.res.status != 400 { // EIO-023
		t.Errorf("WebSocket got %d, want 400", got.res.status)
	}
	s = shake()
	ask("allow websocket", nil)
	ask("name websocket", errors.New("out of names"))
	if got := <-s; got.res.status != 400 { // EIO-029
		t.Errorf("WebSocket got %d, want 400", got.res.status)
	}
	s = shake()
	ask("allow websocket", nil) // EIO-024
	ask("name websocket", nil)  // EIO-028
	got := <-s
	if o := wantShaken(t, got.res, got.c); o.SID != "id of websocket" { // EIO-027
		t.Errorf("sid %q", o.SID)
	}

	before := [2]int32{allowed.Load(), named.Load()}
	c := &poller{e: e, sid: "id+of+polling", p: e.accepted()}
	c.wantPost("4x")
	c.wantGet(200, "4x")
	c.upgrade()
	if after := [2]int32{allowed.Load(), named.Load()}; after != before { // EIO-025
		t.Errorf("asked %v times, %v after requests that carry a sid", before, after)
	}
}

// EIO-021: net/http itself refuses such a request; another server around the engine may not.
func TestInvalidOriginRefused(t *testing.T) {
	var told refusals
	e := newEnv(t, Config{OnConnectionError: told.add}, options{})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/engine.io/?EIO=4&transport=polling", http.NoBody)
	r.Header["Origin"] = []string{"http://a.example/\x01"}
	rec := httptest.NewRecorder()
	e.srv.ServeHTTP(rec, r)
	if rec.Code != 400 || rec.Body.String() != `{"code":3,"message":"Bad request"}` {
		t.Errorf("got %d %q", rec.Code, rec.Body)
	}
	if got := told.last(t); got.context["name"] != "INVALID_ORIGIN" || got.context["origin"] != "http://a.example/\x01" {
		t.Errorf("told %+v, want INVALID_ORIGIN", got)
	}
	head, _ := e.raw(t, "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n")
	if !strings.HasPrefix(head, "HTTP/1.1 400 ") { // EIO-021
		t.Errorf("got %q, want status 400", head)
	}
	if n := e.srv.ClientsCount(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}
