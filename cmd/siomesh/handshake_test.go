package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/nats-io/nats.go"

	"github.com/siomesh/siomesh/internal/freeport"
)

// TestHandshakesOverNATS: everything in one process but auth, which is a few lines over plain NATS.
func TestHandshakesOverNATS(t *testing.T) {
	listen, broker := freeport.Address(t), freeport.Address(t)
	up := parsed(t, "up", []string{
		"--listen", listen, "--internal-listen", freeport.Address(t), "--nats-listen", broker, "--data-dir", t.TempDir(),
		"--auth=external", "--auth-handshake", "--no-demo",
	}, "").Up
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- up.run(ctx, slog.New(slog.DiscardHandler)) }() // received below
	s := &site{url: "http://" + listen, path: "/socket.io/" + handshake}
	eventually(t, func() bool { return status(t, listen, s.path) == http.StatusForbidden }) // it serves, and nobody answers
	s.want(t, s.path, 403, `{"code":4,"message":"authentication unavailable"}`)
	doorkeeper(t, "nats://"+broker)

	s.want(t, s.path, 403, `{"code":4,"message":"no pass"}`) // EIO-022
	code, _, h := s.ask(t, http.MethodGet, s.path, "X-Pass", "gold")
	if code != 200 || h.Get("X-Seen") != "gold" {
		t.Errorf("polling: got %d %v, want 200 and the header", code, h)
	}
	code, text, _ := s.ask(t, http.MethodGet, s.path, "X-Pass", "forged")
	if code != 403 || text != `{"code":4,"message":"authentication unavailable"}` {
		t.Errorf("polling, with an answer that is none: got %d %s", code, text)
	}
	for pass, want := range map[string]int{"gold": 101, "": 400, "forged": 400} { // EIO-023
		if got, seen := s.dialWith(t, pass); got != want || want == 101 && seen != pass {
			t.Errorf("WebSocket, pass %q: got %d and %q, want %d", pass, got, seen, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run = %v, want nil", err)
	}
}

// doorkeeper is an auth service for handshakes.
func doorkeeper(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	_, err = nc.QueueSubscribe("sio.v1.auth.handshake", "auth", func(m *nats.Msg) {
		var q struct {
			Handshake struct{ Headers map[string]any }
		}
		if err := json.Unmarshal(m.Data, &q); err != nil {
			t.Errorf("question %s: %v", m.Data, err)
		}
		answer := `{"allow":false,"message":"no pass"}`
		switch q.Handshake.Headers["x-pass"] {
		case "gold":
			answer = `{"allow":true,"headers":{"x-seen":"gold"}}`
		case "forged":
			answer = `{"allow":true,"headers":{"Upgrade":"x"}}`
		}
		if err := m.Respond([]byte(answer)); err != nil {
			t.Errorf("respond: %v", err)
		}
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// dialWith opens a WebSocket with a pass and returns the status, and what auth has put into the 101.
func (s *site) dialWith(t *testing.T, pass string) (status int, seen string) {
	t.Helper()
	d := ws.Dialer{
		Timeout: 10 * time.Second, Header: ws.HandshakeHeaderHTTP{"X-Pass": {pass}},
		OnHeader: func(key, value []byte) error {
			if string(key) == "X-Seen" {
				seen = string(value)
			}
			return nil
		},
	}
	conn, _, _, err := d.Dial(t.Context(), "ws"+s.url[len("http"):]+"/socket.io/?EIO=4&transport=websocket")
	var refused ws.StatusError
	switch {
	case errors.As(err, &refused):
		return int(refused), ""
	case err != nil:
		t.Fatal(err)
	}
	conn.Close()
	return http.StatusSwitchingProtocols, seen
}

// TestHandshakePolicy: the stock service asks for a token, by flag, variable and file.
func TestHandshakePolicy(t *testing.T) {
	common := []string{"--nats-listen=none", "--auth-handshake", `--tokens=[{"token":"t0ken"}]`}
	for source, give := range map[string]func(t *testing.T) *cli{
		"flag": func(t *testing.T) *cli { return parsed(t, "up", append(common, "--handshake-policy=tokens"), "") },
		"file": func(t *testing.T) *cli { return parsed(t, "up", common, "handshake-policy: tokens") },
		"variable": func(t *testing.T) *cli {
			t.Setenv("SIOMESH_HANDSHAKE_POLICY", "tokens")
			return parsed(t, "up", common, "")
		},
	} {
		t.Run(source, func(t *testing.T) {
			s := startUpWith(t, give(t))
			eventually(t, func() bool {
				status, _, _ := s.ask(t, http.MethodGet, s.path, "Authorization", "Bearer t0ken")
				return status == http.StatusOK
			})
			s.want(t, s.path, 403, `{"code":4,"message":"token required"}`)
			if status, text, _ := s.ask(t, http.MethodGet, s.path, "Authorization", "Bearer x"); status != 403 || text != `{"code":4,"message":"invalid token"}` {
				t.Errorf("a wrong token: got %d %s", status, text)
			}
		})
	}
	got := parsed(t, "auth", []string{"--handshake-policy=tokens", `--tokens=[{"token":"t"}]`}, "").Auth
	if plan, err := got.plan(); err != nil || plan != "auth: *=allow, handshakes tokens on nats://127.0.0.1:4222, internal port 127.0.0.1:8303" {
		t.Errorf("plan = %q, %v", plan, err)
	}
}
