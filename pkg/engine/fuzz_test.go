package engine

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// recorder is a handler that keeps what it is told.
type recorder struct{ got []string }

func (r *recorder) Message(data []byte, binary bool) {
	r.got = append(r.got, fmt.Sprintf("%v:%s", binary, data))
}
func (r *recorder) EndBatch()            {}
func (r *recorder) Closed(Reason, error) {}

// fed returns the messages that a connection with permessage-deflate makes of bytes that
// come in pieces.
func fed(tb testing.TB, srv *Server, wire []byte, size int) []string {
	tb.Helper()
	s, r := newSession(srv, randomID(), "", WebSocket), &recorder{}
	s.handler = r
	c := &wsConn{srv: srv, io: &sinkIO{}, frames: frameReader{limit: 500, deflate: true}}
	c.setOwner(wsTransport{s})
	if !s.open(c) {
		tb.Fatal("session not opened")
	}
	defer s.Discard(ForcedClose)
	wire = append([]byte(nil), wire...)
	for len(wire) > 0 {
		n := min(size, len(wire))
		c.feed(wire[:n])
		wire = wire[n:]
	}
	return r.got
}

// FuzzFeed gives a connection whatever a client may send once it is open.
func FuzzFeed(f *testing.F) {
	f.Add(client(ws.NewTextFrame([]byte("4hello")), zipped(f, ws.OpText, "4zipped"), zipped(f, ws.OpBinary, "bin")), uint8(3))
	f.Add(client(zipped(f, ws.OpText, "4"+strings.Repeat("x", 600))), uint8(1)) // beyond the limit
	f.Add(client(ws.NewTextFrame([]byte("2")), ws.NewTextFrame([]byte("4late"))), uint8(255))
	f.Add(client(part(ws.OpText, false, "4he"), ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye")), part(ws.OpContinuation, true, "llo")), uint8(1))
	f.Add(client(ws.NewTextFrame([]byte("bAQI=")), ws.NewTextFrame([]byte("1")), ws.NewTextFrame([]byte("4x"))), uint8(7))
	e := newServer(f, Config{}, options{})
	f.Cleanup(e.close)
	f.Fuzz(func(t *testing.T, wire []byte, size uint8) {
		whole, pieces := fed(t, e.srv, wire, len(wire)+1), fed(t, e.srv, wire, int(size)+1)
		if fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Errorf("whole %q, in pieces of %d %q", whole, int(size)+1, pieces)
		}
		for _, m := range whole {
			if len(m) > len("false:")+500 {
				t.Errorf("message of %d bytes passed the limit", len(m))
			}
		}
	})
}

// FuzzRequest serves whatever request there may be: it is answered, with a status that
// clients know, and opens a session only if it is a proper handshake.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "EIO=4&transport=polling", "https://a.example", "gzip;q=0.5", "", "4x")
	f.Add("POST", "EIO=4&transport=polling&sid=x", "", "", "", "4x\x1e")
	f.Add("GET", "EIO=4&transport=websocket&sid=%00", "a\x01", "*", "websocket", "")
	f.Add("OPTIONS", "transport=__proto__&j=1&b64=1", "", "", "", "")
	f.Add("GET", "EIO=3&transport=polling&b64=1", "", "", "", "")
	f.Fuzz(func(t *testing.T, method, query, origin, accept, upgrade, body string) {
		e := newServer(t, Config{HTTPCompressionThreshold: 1, AllowEIO3: true, Cookie: DefaultCookie()}, options{})
		defer e.close()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/engine.io/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: "/engine.io/", RawQuery: query}
		r.Header = http.Header{"Origin": {origin}, "Accept-Encoding": {accept}, "Upgrade": {upgrade}, "Connection": {"upgrade"}}
		rec := httptest.NewRecorder()
		e.srv.ServeHTTP(rec, r)
		proper := method == http.MethodGet && r.URL.Query().Get("transport") == Polling
		switch {
		case rec.Code == http.StatusOK && proper && e.srv.ClientsCount() == 1:
		case rec.Code == http.StatusBadRequest && e.srv.ClientsCount() == 0:
		default:
			t.Errorf("%s ?%s got %d with %d sessions", method, query, rec.Code, e.srv.ClientsCount())
		}
	})
}
