package engine

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/rs/cors"
)

// EIO-021: control characters in Origin, which net/http lets through to no handler.
func TestInvalidOrigin(t *testing.T) {
	for v, want := range map[string]bool{"": true, "https://a.example": true, "a\tb": true, "a\x01b": false, "a\nb": false, "a\x7f": false} {
		if got := validHeader(v); got != want {
			t.Errorf("validHeader(%q) = %v, want %v", v, got, want)
		}
	}
}

// EIO-032, EIO-033, EIO-042: the path is a prefix that ends in a slash.
func TestPath(t *testing.T) {
	e := newEnv(t, Config{Path: "/socket.io"}, options{})
	for path, want := range map[string]int{
		"/socket.io/?EIO=4&transport=polling":           200,
		"/socket.io/more/of/it?EIO=4&transport=polling": 200,
		"/socket.io?EIO=4&transport=polling":            404,
		"/engine.io/?EIO=4&transport=polling":           404,
		"/":                                             404,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.base+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := e.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

// EIO-027, EIO-034, EIO-035, EIO-036: what Accept sees, and the count of sessions.
func TestAccept(t *testing.T) {
	type seen struct{ query, header, remote, transport string }
	ch := make(chan seen, 2)
	e := newEnv(t, Config{
		GenerateID: func(r *http.Request) (SessionID, error) {
			return SessionID("id-" + r.URL.Query().Get("transport")), nil
		},
		RemoteAddr: func(r *http.Request) string { return "via " + r.Header.Get("X-Real") },
	}, options{accept: func(p *peer, r *http.Request) error {
		ch <- seen{r.URL.Query().Get("more"), r.Header.Get("X-Real"), p.s.RemoteAddr(), p.s.Transport()}
		return nil
	}})
	res := e.do(t.Context(), http.MethodGet, "transport=polling&more=1", "", "X-Real", "p")
	if o := parseOpen(t, res.body); o.SID != "id-polling" {
		t.Errorf("sid %q", o.SID)
	}
	if got, want := <-ch, (seen{"1", "p", "via p", Polling}); got != want {
		t.Errorf("accept saw %+v, want %+v", got, want)
	}
	c, err := e.dialWS(t.Context(), "transport=websocket&more=2", "X-Real", "w")
	if err != nil {
		t.Fatal(err)
	}
	if o := parseOpen(t, c.text()); o.SID != "id-websocket" {
		t.Errorf("sid %q", o.SID)
	}
	if got, want := <-ch, (seen{"2", "w", "via w", WebSocket}); got != want {
		t.Errorf("accept saw %+v, want %+v", got, want)
	}
	if n := e.srv.ClientsCount(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling", ""), 400, `{"code":3,"message":"Bad request"}`) // the id is in use
	e.accepted().s.Discard(ForcedClose)
	c.send("1")
	eventually(t, "end of all sessions", func() bool { return e.srv.ClientsCount() == 0 })
}

// EIO-031 in our form: what Accept sends follows the open packet at once.
func TestSendInsideAccept(t *testing.T) {
	e := newEnv(t, Config{}, options{accept: func(p *peer, _ *http.Request) error {
		if p.s.SendVolatile(NewText([]byte("volatile"))) {
			t.Error("volatile packet sent before the session is open")
		}
		return p.s.Send(NewText([]byte("welcome")), NewBinary([]byte{1}))
	}})
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
	head, rest, _ := strings.Cut(res.body, "\x1e")
	parseOpen(t, head)
	if rest != "4welcome\x1ebAQ==" {
		t.Errorf("after the open packet came %q", rest)
	}
	c, err := e.dialWS(t.Context(), "transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	parseOpen(t, c.text())
	if got := c.text() + c.want(ws.OpBinary); got != "4welcome\x01" {
		t.Errorf("after the open packet came %q", got)
	}
}

// Accept may close its session: gracefully with what it has sent, or at once.
func TestCloseInsideAccept(t *testing.T) {
	e := newEnv(t, Config{}, options{accept: func(p *peer, r *http.Request) error {
		if r.URL.Query().Has("discard") {
			p.s.Discard(SlowClient)
			return nil
		}
		err := p.s.Send(NewText([]byte("sorry")))
		p.s.Close()
		return err
	}})
	c := e.openPolling2()
	c.wantGet(200, "6\x1e1")
	c.p.waitClosed(ForcedClose)

	w, err := e.dialWS(t.Context(), "transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	parseOpen(t, w.text())
	if got := w.text(); got != "4sorry" {
		t.Errorf("got %q", got)
	}
	w.wantClose("")
	e.accepted().waitClosed(ForcedClose)

	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling&discard", ""), 400, `{"code":3,"message":"Bad request"}`)
	e.accepted().waitClosed(SlowClient)
}

// openPolling2 opens a session whose handshake has more than the open packet.
func (e *env) openPolling2() *poller {
	e.tb.Helper()
	res := e.do(e.tb.Context(), http.MethodGet, "transport=polling", "")
	head, _, _ := strings.Cut(res.body, "\x1e")
	return &poller{e: e, sid: parseOpen(e.tb, head).SID, p: e.accepted()}
}

// EIO-035: without a hook, the address is that of the connection.
func TestRemoteAddr(t *testing.T) {
	e := newEnv(t, Config{}, options{})
	c := e.openPolling()
	if got := c.p.s.RemoteAddr(); !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("polling: address %q", got)
	}
	w, p := e.openWS()
	if got, want := p.s.RemoteAddr(), w.conn.LocalAddr().String(); got != want {
		t.Errorf("WebSocket: address %q, want %q", got, want)
	}
}

// EIO-002, EIO-003, EIO-004: what is configured is what the client is told, and nothing else.
func TestHandshakeNumbers(t *testing.T) {
	e := newEnv(t, Config{
		MaxHTTPBufferSize: 1234, PingInterval: 5 * time.Second, PingTimeout: 67 * time.Millisecond,
		GenerateID: func(*http.Request) (SessionID, error) { return "me", nil },
	}, options{})
	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling", ""), 200,
		`0{"sid":"me","upgrades":["websocket"],"pingInterval":5000,"pingTimeout":67,"maxPayload":1234}`)
}

// EIO-007: nothing to upgrade to.
func TestUpgradesOffered(t *testing.T) {
	for name, cfg := range map[string]Config{
		"polling only": {Transports: []string{Polling}}, "disabled": {DisableUpgrades: true},
	} {
		e := newEnv(t, cfg, options{})
		res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
		if !strings.Contains(res.body, `"upgrades":[]`) {
			t.Errorf("%s: %q", name, res.body)
		}
	}
	e := newEnv(t, Config{Transports: []string{WebSocket}}, options{})
	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling", ""), 400, `{"code":0,"message":"Transport unknown"}`)
}

// EVT-013 to EVT-017: CORS, on answers and refusals and on the 101.
func TestCORS(t *testing.T) {
	e := newEnv(t, Config{CORS: &cors.Options{AllowedOrigins: []string{"https://a.example"}, AllowCredentials: true}}, options{})
	pre := func(origin string, more ...string) response {
		return e.do(t.Context(), http.MethodOptions, "transport=polling", "", append([]string{"Origin", origin}, more...)...)
	}
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "x-my"}
	tests := []struct {
		name         string
		res          response
		status       int
		allow        string
		methods, hdr string
	}{
		{"preflight", pre("https://a.example", ask...), 204, "https://a.example", "POST", "x-my"},
		{"preflight of a stranger", pre("https://b.example", ask...), 204, "", "", ""},
		{"not quite a preflight", pre("https://a.example"), 204, "https://a.example", "", ""},
		{"handshake", e.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", "https://a.example"), 200, "https://a.example", "", ""},
		{"handshake of a stranger", e.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", "https://b.example"), 200, "", "", ""},
		{"refusal", e.do(t.Context(), http.MethodGet, "transport=x", "", "Origin", "https://a.example"), 400, "https://a.example", "", ""},
	}
	for _, tt := range tests {
		h := tt.res.header
		if tt.res.status != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allow ||
			h.Get("Access-Control-Allow-Methods") != tt.methods || h.Get("Access-Control-Allow-Headers") != tt.hdr {
			t.Errorf("%s: %d %v", tt.name, tt.res.status, h)
		}
		if tt.status == 204 && tt.res.body != "" {
			t.Errorf("%s: body %q", tt.name, tt.res.body)
		}
	}
	var got http.Header
	d := ws.Dialer{
		Header:   ws.HandshakeHeaderHTTP{"Origin": {"https://a.example"}},
		OnHeader: func(k, v []byte) error { got = cloneAdd(got, string(k), string(v)); return nil },
	}
	conn, _, _, err := d.Dial(context.WithoutCancel(t.Context()), "ws"+strings.TrimPrefix(e.base, "http")+"/engine.io/?EIO=4&transport=websocket")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Errorf("headers of the 101: %v", got)
	}
}

func cloneAdd(h http.Header, k, v string) http.Header {
	if h == nil {
		h = http.Header{}
	}
	h.Add(k, v)
	return h
}
