package engine

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	c := Config{}.withDefaults()
	if err := c.validate(); err != nil {
		t.Fatalf("zero config: %v", err)
	}
	if c.Path != "/engine.io/" || c.PingInterval != 25*time.Second || c.PingTimeout != 20*time.Second ||
		c.UpgradeTimeout != 10*time.Second || c.MaxHTTPBufferSize != 1_000_000 || c.MaxOutboundBytes != 4<<20 ||
		strings.Join(c.Transports, ",") != "polling,websocket" {
		t.Errorf("defaults are %+v", c)
	}
}

func TestNewRejectsNonsense(t *testing.T) {
	accept := func(*Session, *http.Request) (Handler, error) { return nil, nil }
	for name, c := range map[string]Config{
		"relative path":         {Path: "engine.io"},
		"no transport":          {Transports: []string{}},
		"webtransport":          {Transports: []string{Polling, WebSocket, "webtransport"}}, // EIO-008: not offered, so not taken
		"negative threshold":    {HTTPCompressionThreshold: -1},
		"negative threshold 2":  {PerMessageDeflateThreshold: -1},
		"no cookie":             {Cookie: &http.Cookie{Name: "a b"}},
		"no middleware":         {Middleware: []func(http.Handler) http.Handler{nil}},
		"unknown transport":     {Transports: []string{"carrier pigeon"}},
		"negative interval":     {PingInterval: -time.Second},
		"timeout below 1 ms":    {PingTimeout: time.Microsecond},
		"negative upgrade time": {UpgradeTimeout: -1},
		"negative body time":    {BodyTimeout: -1},
		"negative payload":      {MaxHTTPBufferSize: -1},
		"negative queue":        {MaxOutboundBytes: -1},
	} {
		if s, err := New(accept, c); err == nil || s != nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := New(nil, Config{}); err == nil {
		t.Error("no accept function was accepted")
	}
}

// EIO-030: 20 URL-safe characters, different each time.
func TestRandomID(t *testing.T) {
	seen := map[SessionID]bool{}
	for range 1000 {
		id := randomID()
		if len(id) != 20 || strings.Trim(string(id), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("id %q", id)
		}
		if seen[id] {
			t.Fatalf("id %q twice", id)
		}
		seen[id] = true
	}
}

func TestMetricsNil(t *testing.T) {
	var m *Metrics
	m.sessionOpened()
	m.sessionClosed(ForcedClose)
	m.packetIn(packetPong, 1)
	m.packetOut(pingPacket)
	m.refusal(CodeForbidden)
	if s := m.Snapshot(); s.SessionsOpened != 0 || len(s.Refused) != 6 || len(s.SessionsClosed) != 8 {
		t.Errorf("snapshot of nil is %+v", s)
	}
}
