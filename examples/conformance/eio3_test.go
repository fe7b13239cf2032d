package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/siomesh"
)

// TestEngineEIO3: protocol 3 is served when allowed, and refused when not.
func TestEngineEIO3(t *testing.T) {
	for allowed, want := range map[bool]string{
		false: `{"code":5,"message":"Unsupported protocol version"}`, // V3-013
		true:  `:0{"sid":"`,                                          // V3-010
	} {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- serveEngine(ctx, ln, allowed, slog.New(slog.DiscardHandler)) }() // received below
		if got := handshake(t, ln.Addr().String()); !strings.Contains(got, want) {
			t.Errorf("allowed %v: got %s, want %s", allowed, got, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("allowed %v: %v", allowed, err)
		}
	}
}

// TestSocketIOEIO3: the flag reaches the mesh of the Socket.IO server.
func TestSocketIOEIO3(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		var c siomesh.Config
		program(allowed).Tune(&c)
		if c.AllowEIO3 != allowed {
			t.Errorf("allowed %v: got %v", allowed, c.AllowEIO3)
		}
	}
}

func TestEIO3NeedsClients(t *testing.T) {
	c := cli{AllowEIO3: true}
	if err := c.run(); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v, want an error about --listen", err)
	}
}

// handshake asks for a polling session of protocol 3.
func handshake(tb testing.TB, address string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/engine.io/?EIO=3&transport=polling", nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.Header.Set("Connection", "close")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		tb.Fatalf("handshake: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("read: %v", err)
	}
	return string(body)
}
