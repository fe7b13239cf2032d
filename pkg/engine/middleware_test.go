package engine

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/cors"
)

type wrap = func(http.Handler) http.Handler

// adds returns a middleware that adds its name to a header, where the next one finds it.
func adds(name string) wrap {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("X-Through", name)
			r.Header.Add("X-Through", name)
			next.ServeHTTP(w, r)
		})
	}
}

// EVT-018, EVT-019: headers and order, on every request.
func TestMiddlewareOrder(t *testing.T) {
	e := newEnv(t, Config{
		CORS:       &cors.Options{AllowedOrigins: []string{"https://a.example"}},
		Middleware: []wrap{adds("one"), adds("two"), adds("three")},
	}, options{accept: func(_ *peer, r *http.Request) error {
		if got := fmt.Sprint(r.Header["X-Through"]); got != "[one two three]" { // EVT-019
			t.Errorf("accept sees that the request came through %s", got)
		}
		return nil
	}})
	check := func(what string, status, want int, h http.Header) {
		t.Helper()
		if got := fmt.Sprint(h["X-Through"]); status != want || got != "[one two three]" { // EVT-018, EVT-019
			t.Errorf("%s: %d through %s", what, status, got)
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != "https://a.example" {
			t.Errorf("%s: allowed origin %q", what, got)
		}
	}
	const origin = "https://a.example"
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "", "Origin", origin)
	check("handshake", res.status, 200, res.header)
	c := &poller{e: e, sid: parseOpen(t, res.body).SID, p: e.accepted()}
	res = c.post("4x", "Origin", origin)
	check("POST", res.status, 200, res.header)
	res = e.do(t.Context(), http.MethodGet, "transport=x", "", "Origin", origin)
	check("refusal", res.status, 400, res.header)
	up, _ := e.shake("sid="+c.sid, "Origin: "+origin)
	check("101 of the upgrade", up.status, 101, up.header)
	up, w := e.shake("", "Origin: "+origin)
	check("101", up.status, 101, up.header)
	wantShaken(t, up, w)
	up, _ = e.shake("sid=x", "Origin: "+origin)
	check("refused WebSocket", up.status, 400, up.header)
}

// A middleware may answer itself, or refuse.
func TestMiddlewareEnds(t *testing.T) {
	var told refusals
	failure := errors.New("not told to the client")
	e := newEnv(t, Config{OnConnectionError: told.add, Middleware: []wrap{
		adds("one"),
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch q := r.URL.Query(); {
				case q.Has("unavailable"):
					w.WriteHeader(http.StatusServiceUnavailable)
				case q.Has("fail"):
					Refuse(w, r, failure)
				case q.Has("forbid"):
					Refuse(w, r, &Refusal{Code: CodeForbidden, Message: "members only"})
				case q.Has("busy"):
					Refuse(w, r, &Refusal{Code: CodeBadRequest, Message: "later", Status: 429, RetryAfter: 1500 * time.Millisecond})
				default:
					next.ServeHTTP(w, r)
				}
			})
		},
	}}, options{})
	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling&unavailable", ""), 503, "") // EVT-020
	up, c := e.shake("unavailable")
	if up.status != 503 { // EVT-020
		t.Errorf("WebSocket got %d, want 503", up.status)
	}
	c.wantEnd() // EVT-020

	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling&fail", ""), 400, `{"code":3,"message":"Bad request"}`) // EVT-021
	if got := told.last(t); got.code != CodeBadRequest || got.message != "Bad request" ||
		got.context["name"] != "MIDDLEWARE_FAILURE" || got.context["error"] != any(failure) { // EVT-021, EIO-026
		t.Errorf("told %+v", got)
	}
	up, _ = e.shake("fail")
	if up.status != 400 || up.header.Get("X-Through") != "one" { // EVT-021
		t.Errorf("WebSocket got %d %v, want 400", up.status, up.header)
	}
	wantResponse(t, e.do(t.Context(), http.MethodGet, "transport=polling&forbid", ""), 403, `{"code":4,"message":"members only"}`)
	res := e.do(t.Context(), http.MethodGet, "transport=polling&busy", "")
	if wantResponse(t, res, 429, `{"code":3,"message":"later"}`); res.header.Get("Retry-After") != "2" {
		t.Errorf("busy: told to come again after %q s, want 2", res.header.Get("Retry-After"))
	}
	if n, accepted := len(told.got), len(e.peers); n != 4 || accepted != 0 { // EVT-021
		t.Errorf("%d refusals told and %d sessions accepted, want 4 and none", n, accepted)
	}
}

// POL-014: the limit of a body holds behind middlewares too.
func TestMiddlewareLimit(t *testing.T) {
	e := newEnv(t, Config{MaxHTTPBufferSize: 5, Middleware: []wrap{adds("one")}}, options{})
	c := e.openPolling()
	wantResponse(t, c.post("4abcd"), 200, "ok")
	wantResponse(t, c.post("4abcde"), 413, "")
	if got := c.p.waitMessages(1); len(got) != 1 {
		t.Errorf("heard %q", got)
	}
}

// sessions is a middleware as libraries write them: it sets its cookie when the header is
// about to be sent, in a ResponseWriter that wraps the one it was given.
type sessions struct {
	http.ResponseWriter
	once sync.Once
}

func (s *sessions) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *sessions) WriteHeader(status int) {
	s.once.Do(func() { s.Header().Add("Set-Cookie", "connect.sid=s%3A1; Path=/; HttpOnly") })
	s.ResponseWriter.WriteHeader(status)
}

// EVT-022: such a middleware, and one that sets security headers.
func TestMiddlewareOfLibraries(t *testing.T) {
	e := newEnv(t, Config{Middleware: []wrap{
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Content-Type-Options", "nosniff")
				w.Header().Set("X-Frame-Options", "SAMEORIGIN")
				next.ServeHTTP(w, r)
			})
		},
		func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(&sessions{ResponseWriter: w}, r)
			})
		},
	}}, echoing())
	check := func(what string, h http.Header) {
		t.Helper()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "SAMEORIGIN" ||
			h.Get("Set-Cookie") != "connect.sid=s%3A1; Path=/; HttpOnly" { // EVT-022
			t.Errorf("%s: headers %v", what, h)
		}
	}
	res := e.do(t.Context(), http.MethodGet, "transport=polling", "")
	check("handshake", res.header)
	parseOpen(t, res.body)
	up, c := e.shake("")
	check("101", up.header)
	wantShaken(t, up, c)
	c.send("4hello")
	if got := c.text(); got != "4hello" {
		t.Errorf("got %q", got)
	}
}

// opaque hides what it wraps.
type opaque struct{ w http.ResponseWriter }

func (o opaque) Header() http.Header         { return o.w.Header() }
func (o opaque) Write(b []byte) (int, error) { return o.w.Write(b) }
func (o opaque) WriteHeader(status int)      { o.w.WriteHeader(status) }

// keeps keeps the header back, as a middleware that buffers does.
type keeps struct{ http.ResponseWriter }

func (k keeps) Unwrap() http.ResponseWriter { return k.ResponseWriter }
func (k keeps) WriteHeader(int)             {}

// A middleware whose ResponseWriter has no Unwrap serves polling, and WebSocket is refused;
// one that keeps the 101 back does not matter; one that sends its own gets no session.
func TestMiddlewareInTheWay(t *testing.T) {
	e := newEnv(t, Config{Middleware: []wrap{func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch q := r.URL.Query(); {
			case q.Has("opaque"):
				next.ServeHTTP(opaque{w}, r)
			case q.Has("keeps"):
				next.ServeHTTP(keeps{w}, r)
			case q.Has("own"):
				w.WriteHeader(http.StatusSwitchingProtocols)
			}
		})
	}}}, options{})
	if res := e.do(t.Context(), http.MethodGet, "transport=polling&opaque", ""); res.status != 200 {
		t.Errorf("polling got %d %q", res.status, res.body)
	}
	e.accepted()
	up, _ := e.shake("opaque")
	if up.status != 400 {
		t.Errorf("WebSocket got %d, want 400", up.status)
	}
	up, c := e.shake("keeps")
	wantShaken(t, up, c)
	e.accepted()
	up, c = e.shake("own")
	if up.status != 101 {
		t.Errorf("own 101 got %d", up.status)
	}
	c.wantEnd()
	if n := len(e.peers); n != 0 {
		t.Errorf("%d more sessions accepted", n)
	}
}

// Refuse outside of the engine's middlewares still refuses.
func TestRefuseElsewhere(t *testing.T) {
	e := newEnv(t, Config{}, options{server: func(s *http.Server) {
		s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { Refuse(w, r, errors.New("no")) })
	}})
	wantResponse(t, e.do(t.Context(), http.MethodGet, strings.Repeat("x", 10), ""), 400, "")
}
