package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/freeport"
	"github.com/siomesh/siomesh/internal/natstest"
)

// TestCommandLine runs the command line as far as --check goes.
func TestCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:4000\nping-interval: 1s\ncors-origin: [https://a.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	typo := filepath.Join(t.TempDir(), "typo.yaml")
	if err := os.WriteFile(typo, []byte("pign-interval: 7s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   string
		env    map[string]string
		status int
		want   string // on standard output, or in the error for a status that is not 0
	}{
		{"up", "up --check", nil, 0, "up: clients on :3000/socket.io (polling and websocket, ping 25s + 20s, messages up to 1000000 bytes, no CORS), NATS on 127.0.0.1:4222, auth *=allow, internal port 127.0.0.1:8300"},
		{"edge", "edge --check", nil, 0, "no CORS) on nats://127.0.0.1:4222, internal port 127.0.0.1:8301"},
		{"rooms", "rooms --check", nil, 0, "rooms on nats://127.0.0.1:4222, internal port 127.0.0.1:8302"},
		{"auth", "auth --check", nil, 0, "auth: *=allow on nats://127.0.0.1:4222, internal port 127.0.0.1:8303"},
		{"api", "api --check", nil, 0, "api: 256 requests at a time, each up to 1m0s on nats://127.0.0.1:4222, internal port 127.0.0.1:8304"},
		{"version", "version", nil, 0, "siomesh "},
		{"help", "--help", nil, 0, "Usage: siomesh"},
		{"password not shown", "rooms --check --nats nats://me:secret@127.0.0.1:1", nil, 0, "rooms on nats://me:xxxxx@127.0.0.1:1"},
		{"environment", "edge --check", map[string]string{"SIOMESH_LISTEN": "127.0.0.1:5000"}, 0, "clients on 127.0.0.1:5000"},
		{"file", "edge --check --config " + file, nil, 0, "clients on 127.0.0.1:4000"},
		{"environment beats file", "edge --check --config " + file, map[string]string{"SIOMESH_LISTEN": "127.0.0.1:5000"}, 0, "clients on 127.0.0.1:5000"},
		{"flag beats environment", "edge --check --listen 127.0.0.1:6000", map[string]string{"SIOMESH_LISTEN": "127.0.0.1:5000"}, 0, "clients on 127.0.0.1:6000"},
		{"policies repeat", "auth --check --policy /a=allow --policy *=allow", nil, 0, "auth: /a=allow, *=allow on "},
		{"file list", "edge --check --config " + file, nil, 0, "ping 1s + 20s, messages up to 1000000 bytes, CORS https://a.example)"},
		{"older clients", "edge --check --allow-eio3", nil, 0, "no CORS, Socket.IO 2.x too)"},
		{"older clients, environment", "up --check", map[string]string{"SIOMESH_ALLOW_EIO3": "true"}, 0, "no CORS, Socket.IO 2.x too)"},

		{"nothing", "", nil, 2, "expected one of"},
		{"unknown command", "down", nil, 2, "down"},
		{"unknown flag", "edge --color", nil, 2, "--color"},
		{"bad duration", "edge --ping-interval soon", nil, 2, "--ping-interval"},
		{"bad level", "edge --log-level loud", nil, 2, "--log-level"},
		{"bad address", "edge --check --listen 3000", nil, 1, "--listen"},
		{"bad proxies", "edge --check --trusted-proxies home", nil, 1, "--trusted-proxies"},
		{"bad cookie", "up --check --cookie a;b", nil, 1, "--cookie"},
		{"bad cookie age", "up --check --cookie a --cookie-max-age=-1s", nil, 1, "--cookie-max-age"},
		{"bad SameSite", "up --check --cookie-same-site maybe", nil, 2, "--cookie-same-site"},
		{"no webtransport", "edge --transports polling,webtransport --check", nil, 2, `"polling","websocket" but got "webtransport"`},
		{"handshake policy without tokens", "auth --check --handshake-policy tokens", nil, 1, "--handshake-policy"},
		{"handshake policy without tokens, up", "up --check --handshake-policy tokens", nil, 1, "--handshake-policy"},
		{"no auth timeout", "edge --check --auth-timeout=1us", nil, 1, "auth timeout"},
		{"no body timeout", "up --check --body-timeout=-1s", nil, 1, "body timeout"},
		{"bad rate of CONNECTs", "up --check --connects-per-second=-1", nil, 1, "--connects-per-second"},
		{"bad number of handshakes", "edge --check --max-handshakes=-1", nil, 1, "--max-handshakes"},
		{"bad number of attachments", "up --check --max-attachments=-1", nil, 1, "--max-attachments"},
		{"bad threshold", "edge --check --http-compression-threshold=-1", nil, 1, "--http-compression-threshold"},
		{"bad deflate threshold", "up --check --per-message-deflate-threshold=-1", nil, 1, "--per-message-deflate-threshold"},
		{"bad NATS URL", "edge --check --nats localhost", nil, 1, "--nats"},
		{"bad prefix", "rooms --check --prefix a.b", nil, 1, "--prefix"},
		{"bad policy", "auth --check --policy /a=maybe", nil, 1, "--policy"},
		{"jwt without key", "auth --check --policy *=jwt", nil, 1, "--policy"},
		{"no API requests", "api --check --api-concurrency 0", nil, 1, "--api-concurrency"},
		{"no time", "up --check --api-timeout 2m", nil, 1, "--api-max-timeout"},
		{"typo in the file", "edge --check --config " + typo, nil, 2, `unknown setting "pign-interval"`},
		{"no such file", "edge --config /nonexistent.yaml", nil, 2, "nonexistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			var stdout, stderr bytes.Buffer
			status := execute(strings.Fields(tt.args), &stdout, &stderr)
			got := stdout.String()
			if tt.status != 0 {
				got = stderr.String()
			}
			if status != tt.status || !strings.Contains(got, tt.want) {
				t.Errorf("siomesh %s\n got %d %q\nwant %d …%q…", tt.args, status, got, tt.status, tt.want)
			}
		})
	}
}

// TestUnknownVariable shows that a mistyped variable is told, and no reason to stop.
func TestUnknownVariable(t *testing.T) {
	t.Setenv("SIOMESH_PIGN_INTERVAL", "1s")
	var stdout, stderr bytes.Buffer
	if status := execute([]string{"edge", "--check"}, &stdout, &stderr); status != 0 {
		t.Errorf("status %d, want 0", status)
	}
	if got := stderr.String(); !strings.Contains(got, "SIOMESH_PIGN_INTERVAL") {
		t.Errorf("standard error = %q, want the name of the variable", got)
	}
}

// TestNoNATS shows what a service does that cannot reach the mesh: it lives, is not ready, says so, and gives up in the end.
func TestNoNATS(t *testing.T) {
	nats, internal := freeport.Address(t), freeport.Address(t)
	var c cli
	c.Rooms.NATS, c.Rooms.NATSTimeout, c.Rooms.InternalListen = "nats://"+nats, 6*time.Second, internal
	var logged bytes.Buffer
	ended := make(chan error, 1)
	go func() { ended <- c.Rooms.run(t.Context(), slog.New(slog.NewTextHandler(&logged, nil))) }() // received below
	eventually(t, func() bool { return status(t, internal, "/livez") == http.StatusOK })
	if got := status(t, internal, "/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz = %d, want 503", got)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), nats) {
			t.Errorf("run = %v, want an error that names %s", err, nats)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still waiting for NATS")
	}
	if !strings.Contains(logged.String(), "waiting for NATS") {
		t.Errorf("log = %q, want a line about waiting", logged.String())
	}
}

// TestServices runs the three services over a NATS server until each is ready, and stops them.
func TestServices(t *testing.T) {
	url := natstest.Run(t)
	log := slog.New(slog.DiscardHandler)
	var c cli
	for _, n := range []*natsFlags{&c.Edge.natsFlags, &c.Rooms.natsFlags, &c.Auth.natsFlags} {
		n.NATS, n.NATSTimeout, n.InternalListen = url, 10*time.Second, freeport.Address(t)
	}
	c.Edge.Listen = freeport.Address(t)
	c.Auth.Policy = []string{"*=allow"}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 3)
	for _, service := range []command{&c.Rooms, &c.Auth, &c.Edge} {
		go func() { ended <- service.run(ctx, log) }() // received below
	}
	for _, n := range []*natsFlags{&c.Edge.natsFlags, &c.Rooms.natsFlags, &c.Auth.natsFlags} {
		eventually(t, func() bool { return status(t, n.InternalListen, "/readyz") == http.StatusOK })
		if got := status(t, n.InternalListen, "/metrics"); got != http.StatusOK {
			t.Errorf("/metrics = %d, want 200", got)
		}
	}
	if got := status(t, c.Edge.Listen, "/socket.io/?EIO=4&transport=polling"); got != http.StatusOK {
		t.Errorf("handshake = %d, want 200", got)
	}
	cancel()
	for range 3 {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("run = %v, want nil", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("a service does not stop")
		}
	}
}

// status returns the HTTP status of a GET, 0 if there is no answer.
func status(tb testing.TB, address, path string) int {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

func eventually(tb testing.TB, what func() bool) {
	tb.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !what() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatal("not in time")
		}
	}
}
