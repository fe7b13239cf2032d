package engine

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// refusals records what OnConnectionError is told.
type refusals struct {
	mu  sync.Mutex
	got []refused
}

type refused struct {
	target  string // of the request
	code    int
	message string
	context map[string]any
}

func (r *refusals) add(req *http.Request, code int, message string, context map[string]any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, refused{req.RequestURI, code, message, context})
}

func (r *refusals) last(tb testing.TB) refused {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.got) == 0 {
		tb.Fatal("no refusal was told")
	}
	return r.got[len(r.got)-1]
}

// want checks that exactly these refusals have been told so far, and that the last one is of the
// request with the target, the code with its standard message, and no more context than this. An
// error in the context stands there as its text.
func (r *refusals) want(tb testing.TB, n int, target string, code int, message string, context map[string]any) {
	tb.Helper()
	got := r.last(tb)
	r.mu.Lock()
	told := len(r.got)
	r.mu.Unlock()
	shown := maps.Clone(got.context)
	for key, value := range shown {
		if err, ok := value.(error); ok {
			shown[key] = err.Error()
		}
	}
	if told != n || got.target != target || got.code != code || got.message != message || !maps.Equal(shown, context) {
		tb.Errorf("told %d refusals, the last %+v, want %d, the last of %s with code %d, %q, context %v",
			told, got, n, target, code, message, context)
	}
}

// refusing is a server that refuses what a request asks it to refuse.
func refusing(told *refusals, metrics *Metrics) (Config, options) {
	cfg := Config{
		OnConnectionError: told.add, Metrics: metrics,
		AllowRequest: func(r *http.Request) error {
			if r.URL.Query().Has("forbid") {
				return errors.New(`no <b>"entry"</b>`)
			}
			return nil
		},
		GenerateID: func(r *http.Request) (SessionID, error) {
			if r.URL.Query().Has("noid") {
				return "", errors.New("no id")
			}
			return randomID(), nil
		},
	}
	return cfg, options{accept: func(_ *peer, r *http.Request) error {
		switch {
		case r.URL.Query().Has("refuse"):
			return errors.New("not told to the client")
		case r.URL.Query().Has("refuse4"):
			return &Refusal{Code: CodeForbidden, Message: "go away"}
		}
		return nil
	}, peer: func(p *peer) { p.echo = true }}
}

// Every refusal of an HTTP request: status, body, and what OnConnectionError is told (EIO-026).
func TestRefusals(t *testing.T) {
	var told refusals
	metrics := &Metrics{}
	cfg, o := refusing(&told, metrics)
	e := newEnv(t, cfg, o)
	c := e.openPolling()
	type ctx = map[string]any
	const (
		unknown = `{"code":0,"message":"Transport unknown"}`
		method  = `{"code":2,"message":"Bad handshake method"}`
		bad     = `{"code":3,"message":"Bad request"}`
		version = `{"code":5,"message":"Unsupported protocol version"}`
	)
	tests := []struct {
		name, method, query string
		status              int
		body                string
		context             ctx
	}{
		{"no transport", "GET", "x", 400, unknown, ctx{"transport": ""}},                                                                                               // EIO-012
		{"unknown transport", "GET", "transport=tcp", 400, unknown, ctx{"transport": "tcp"}},                                                                           // EIO-012
		{"constructor", "GET", "transport=constructor", 400, unknown, ctx{"transport": "constructor"}},                                                                 // EIO-013
		{"proto", "GET", "transport=__proto__", 400, unknown, ctx{"transport": "__proto__"}},                                                                           // EIO-014
		{"webtransport", "GET", "transport=webtransport", 400, unknown, ctx{"transport": "webtransport"}},                                                              // EIO-015, EPA-005..007
		{"webtransport with a sid", "GET", "transport=webtransport&sid=" + c.sid, 400, unknown, ctx{"transport": "webtransport"}},                                      // EIO-015
		{"unknown sid", "GET", "transport=polling&sid=x", 400, `{"code":1,"message":"Session ID unknown"}`, ctx{"sid": "x"}},                                           // EIO-016, CLI-010
		{"proto sid", "GET", "transport=polling&sid=__proto__", 400, `{"code":1,"message":"Session ID unknown"}`, ctx{"sid": "__proto__"}},                             // EIO-017
		{"POST", "POST", "transport=polling", 400, method, ctx{"method": "POST"}},                                                                                      // EIO-018
		{"PUT", "PUT", "transport=polling", 400, method, ctx{"method": "PUT"}},                                                                                         // EIO-018
		{"OPTIONS", "OPTIONS", "transport=polling", 400, method, ctx{"method": "OPTIONS"}},                                                                             // EIO-018
		{"no upgrade", "GET", "transport=websocket", 400, bad, ctx{"name": "TRANSPORT_HANDSHAKE_ERROR"}},                                                               // EIO-019
		{"mismatch", "GET", "transport=websocket&sid=" + c.sid, 400, bad, ctx{"name": "TRANSPORT_MISMATCH", "transport": "websocket", "previousTransport": "polling"}}, // EIO-020: both names
		{"forbidden", "GET", "transport=polling&forbid", 403, `{"code":4,"message":"no <b>\"entry\"</b>"}`, ctx{"message": `no <b>"entry"</b>`}},                       // EIO-022
		{"version", "GET", "EIO=3&transport=polling", 400, version, ctx{"protocol": 3}},                                                                                // EIO-011
		{"no id", "GET", "transport=polling&noid", 400, bad, ctx{"name": "ID_GENERATION_ERROR", "error": "no id"}},                                                     // EIO-029
		{"other version", "GET", "EIO=3&transport=polling&sid=" + c.sid, 400, bad, ctx{"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4}},             // EIO-045
		{"no version", "POST", "EIO=&transport=polling&sid=" + c.sid, 400, bad, ctx{"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4}},                // EIO-045
		{"not accepted", "GET", "transport=polling&refuse", 400, bad, ctx{"name": "ACCEPT_ERROR", "error": "not told to the client"}},
		{"refused", "GET", "transport=polling&refuse4", 403, `{"code":4,"message":"go away"}`, nil},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := e.do(t.Context(), tt.method, tt.query, "")
			wantResponse(t, res, tt.status, tt.body)
			if ct := res.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("content type %q", ct)
			}
			var body struct{ Code int }
			if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
				t.Fatal(err)
			}
			query := tt.query
			if !strings.HasPrefix(query, "EIO=") {
				query = "EIO=4&" + query
			}
			told.want(t, i+1, "/engine.io/?"+query, body.Code, standardMessage(t, body.Code), tt.context) // EIO-026
		})
	}
	for _, method := range []string{http.MethodDelete, http.MethodOptions, http.MethodPut} {
		wantResponse(t, e.do(t.Context(), method, "transport=polling&sid="+c.sid, ""), 500, "") // POL-019
	}
	c.wantPost("4still here")
	c.wantGet(200, "4still here") // EIO-020, POL-019: nothing of that has touched the session
	counted := metrics.Snapshot().Refused
	for code, want := range []uint64{6, 2, 6, 6, 2, 1} {
		if counted[code] != want {
			t.Errorf("%d requests are counted with code %d, want %d", counted[code], code, want)
		}
	}
}

// standardMessage is the reference's message of a code, written once more.
func standardMessage(tb testing.TB, code int) string {
	tb.Helper()
	return [...]string{
		"Transport unknown", "Session ID unknown", "Bad handshake method", "Bad request", "Forbidden", "Unsupported protocol version",
	}[code]
}

// A WebSocket handshake is refused before the 101, with 400 for every code and the
// message as the body (EIO-043).
func TestWebSocketRefusals(t *testing.T) {
	var told refusals
	cfg, o := refusing(&told, nil)
	e := newEnv(t, cfg, o)
	sid := e.openPolling().sid
	type ctx = map[string]any
	const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
	handshake := ctx{"name": "TRANSPORT_HANDSHAKE_ERROR"}
	tests := []struct {
		name, query, headers, body string
		code                       int
		context                    ctx
	}{
		{"proto", "EIO=4&transport=__proto__", key, "Transport unknown", 0, ctx{"transport": "__proto__"}},                                                       // EIO-014
		{"webtransport", "EIO=4&transport=webtransport", key, "Transport unknown", 0, ctx{"transport": "webtransport"}},                                          // EIO-015
		{"unknown sid", "EIO=4&transport=websocket&sid=__proto__", key, "Session ID unknown", 1, ctx{"sid": "__proto__"}},                                        // EIO-017
		{"version", "EIO=3&transport=websocket", key, "Unsupported protocol version", 5, ctx{"protocol": 3}},                                                     // EIO-010
		{"no version", "transport=websocket", key, "Unsupported protocol version", 5, ctx{"protocol": 3}},                                                        // EIO-010
		{"other version", "EIO=3&transport=websocket&sid=" + sid, key, "Bad request", 3, ctx{"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4}}, // EIO-045
		{"forbidden", "EIO=4&transport=websocket&forbid", key, `no <b>"entry"</b>`, 4, ctx{"message": `no <b>"entry"</b>`}},                                      // EIO-023
		{"no id", "EIO=4&transport=websocket&noid", key, "Bad request", 3, ctx{"name": "ID_GENERATION_ERROR", "error": "no id"}},                                 // EIO-029
		{"not accepted", "EIO=4&transport=websocket&refuse", key, "Bad request", 3, ctx{"name": "ACCEPT_ERROR", "error": "not told to the client"}},
		{"polling", "EIO=4&transport=polling", key, "Bad request", 3, handshake},
		{"no key", "EIO=4&transport=websocket", "Sec-WebSocket-Version: 13\r\n", "Bad request", 3, handshake},                      // EIO-043
		{"old WebSocket", "EIO=4&transport=websocket", strings.Replace(key, "13", "8", 1), "Bad request", 3, handshake},            // EIO-043
		{"no key for a sid", "EIO=4&transport=websocket&sid=" + sid, "Sec-WebSocket-Version: 13\r\n", "Bad request", 3, handshake}, // EIO-043
		{"no query", "", key, "Transport unknown", 0, ctx{"transport": ""}},                                                        // EIO-043
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head, body := e.raw(t, "GET /engine.io/?"+tt.query+" HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"+tt.headers+"\r\n")
			if !strings.HasPrefix(head, "HTTP/1.1 400 Bad Request\r\n") || !strings.Contains(head, "\r\nConnection: close\r\n") ||
				!strings.Contains(head, "\r\nContent-Type: text/html\r\n") || body != tt.body {
				t.Errorf("got %q with body %q, want body %q", head, body, tt.body) // EIO-010, EIO-023, EIO-029, EIO-043: ahead of a 101
			}
			told.want(t, i+1, "/engine.io/?"+tt.query, tt.code, standardMessage(t, tt.code), tt.context) // EIO-026
		})
	}
	if n := e.srv.ClientsCount(); n != 1 {
		t.Errorf("%d sessions, want that of polling alone", n)
	}
}

// raw sends bytes on a connection of its own and returns the answer until it is closed.
func (e *env) raw(tb testing.TB, request string) (head, body string) {
	tb.Helper()
	conn, err := e.dial(tb.Context(), "tcp", strings.TrimPrefix(e.base, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil {
		tb.Fatal(err)
	}
	head, body, _ = strings.Cut(string(b), "\r\n\r\n")
	return head + "\r\n", body
}
