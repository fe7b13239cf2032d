package engine

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestRefusalWithStatus: an application that has no room says so, and when to come again, on either transport.
func TestRefusalWithStatus(t *testing.T) {
	e := newServer(t, Config{Metrics: &Metrics{}}, options{accept: func(*peer, *http.Request) error {
		return &Refusal{Code: CodeBadRequest, Message: "full", Status: http.StatusServiceUnavailable, RetryAfter: 1500 * time.Millisecond}
	}})
	t.Cleanup(e.close)
	for transport, body := range map[string]string{Polling: `{"code":3,"message":"full"}`, WebSocket: "full"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/engine.io/?EIO=4&transport="+transport, nil)
		if transport == WebSocket {
			r.Header = http.Header{
				"Upgrade": {"websocket"}, "Connection": {"upgrade"}, "Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			}
		}
		rec := httptest.NewRecorder()
		e.srv.ServeHTTP(rec, r)
		if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") != "2" || rec.Body.String() != body {
			t.Errorf("%s: got %d %q, Retry-After %q", transport, rec.Code, rec.Body, rec.Header().Get("Retry-After"))
		}
	}
	if n := e.srv.cfg.Metrics.Snapshot().Refused[CodeBadRequest]; n != 2 {
		t.Errorf("counted %d, want 2", n)
	}
}
