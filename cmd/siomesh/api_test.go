package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/siomesh/siomesh/internal/freeport"
	"github.com/siomesh/siomesh/internal/natstest"
	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
	"github.com/siomesh/siomesh/services/api"
)

// TestAPIFlags: each setting of the API by flag, variable and file, for the service alone and for everything in one process.
func TestAPIFlags(t *testing.T) {
	for name, tt := range map[string]struct {
		value string
		want  api.Config
	}{
		"":                {"", api.Config{Concurrency: 256, Timeout: 4 * time.Second, MaxTimeout: time.Minute}},
		"api-concurrency": {"7", api.Config{Concurrency: 7, Timeout: 4 * time.Second, MaxTimeout: time.Minute}},
		"api-timeout":     {"7s", api.Config{Concurrency: 256, Timeout: 7 * time.Second, MaxTimeout: time.Minute}},
		"api-max-timeout": {"7s", api.Config{Concurrency: 256, Timeout: 4 * time.Second, MaxTimeout: 7 * time.Second}},
	} {
		var flags []string
		file := ""
		if name != "" {
			flags, file = []string{"--" + name + "=" + tt.value}, name+": "+tt.value
		}
		check := func(how string, alone, up *cli) {
			if got, err := alone.API.apiConfig(); err != nil || got != tt.want {
				t.Errorf("%s by %s: got %+v, %v, want %+v", name, how, got, err, tt.want)
			}
			got, err := up.Up.config()
			if err != nil || got.APIConcurrency != tt.want.Concurrency || got.APITimeout != tt.want.Timeout ||
				got.APIMaxTimeout != tt.want.MaxTimeout || got.DisableAPI {
				t.Errorf("%s by %s: up got %+v, %v, want %+v", name, how, got, err, tt.want)
			}
		}
		check("flag", parsed(t, "api", flags, ""), parsed(t, "up", flags, ""))
		check("file", parsed(t, "api", nil, file), parsed(t, "up", nil, file))
		t.Run("variable of "+name, func(t *testing.T) {
			if name != "" {
				t.Setenv("SIOMESH_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), tt.value)
			}
			check("variable", parsed(t, "api", nil, ""), parsed(t, "up", nil, ""))
		})
	}
}

// TestUpWithAndWithoutAPI: --no-api, its variable and its key in a file leave the API out.
func TestUpWithAndWithoutAPI(t *testing.T) {
	for name, tt := range map[string]struct {
		flags     []string
		env, file string
		answers   bool
	}{
		"on":       {answers: true},
		"flag":     {flags: []string{"--no-api"}},
		"variable": {env: "false"},
		"file":     {file: "api: false"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("SIOMESH_API", tt.env)
			}
			c := parsed(t, "up", append(tt.flags, "--nats-listen=127.0.0.1:0", "--data-dir="+t.TempDir(), "--api-timeout=20s"), tt.file)
			cfg, err := c.Up.config()
			if err != nil {
				t.Fatal(err)
			}
			cfg.Log = slog.New(slog.DiscardHandler)
			m, err := siomesh.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			startSite(t, m, m.Run)
			select {
			case <-m.Ready():
			case <-time.After(20 * time.Second):
				t.Fatal("not ready")
			}
			wantCount(t, m.NATSURL(), tt.answers)
		})
	}
}

// wantCount asks how many sockets there are: none, or nobody answers.
func wantCount(t *testing.T, url string, answers bool) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	reply, err := nc.Request("sio.v1.api.count", nil, 20*time.Second)
	switch {
	case answers && (err != nil || string(reply.Data) != `{"count":0}`):
		t.Errorf("got %v, %v, want no sockets", reply, err)
	case !answers && err != nats.ErrNoResponders: //nolint:errorlint // as it comes
		t.Errorf("got %v, %v, want no responders", reply, err)
	}
}

// TestAPIPermissions runs the API and rooms over a NATS server that grants what docs/api.md says, and no more.
func TestAPIPermissions(t *testing.T) {
	allow := func(name string, publish, subscribe []string) *server.User {
		p := &server.Permissions{Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe}}
		return &server.User{Username: name, Password: name, Permissions: p}
	}
	address := strings.TrimPrefix(natstest.Run(t, natstest.With(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "mesh", Password: "mesh"},
			allow("api", []string{
				"sio.v1.rooms.*.in.app-siomesh-api", "sio.v1.edge.*.in.app-siomesh-api", "sio.v1.rooms.*.rpc", "sio.v1.edge.*.rpc",
				"sio.v1.presence.app.siomesh-api", "sio.v1.presence.who", "_INBOX.>",
			}, []string{"sio.v1.api.*", "sio.v1.app.siomesh-api.>", "sio.v1.presence.>", "$SRV.>", "_INBOX.>"}),
			allow("reporter", []string{"sio.v1.api.count"}, []string{"_INBOX.>"}),
		}
	})), "nats://")
	log := slog.New(slog.DiscardHandler)
	all := parsed(t, "edge", []string{"--nats=nats://mesh:mesh@" + address, "--internal-listen=" + freeport.Address(t), "--listen=" + freeport.Address(t)}, "")
	rooms := parsed(t, "rooms", []string{"--nats=nats://mesh:mesh@" + address, "--internal-listen=" + freeport.Address(t)}, "")
	auth := parsed(t, "auth", []string{"--nats=nats://mesh:mesh@" + address, "--internal-listen=" + freeport.Address(t)}, "")
	alone := parsed(t, "api", []string{"--nats=nats://api:api@" + address, "--internal-listen=" + freeport.Address(t), "--api-timeout=20s"}, "")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 4)
	for _, c := range []command{&rooms.Rooms, &auth.Auth, &all.Edge, &alone.API} {
		go func() { ended <- c.run(ctx, log) }() // received below
	}
	for _, f := range []string{rooms.Rooms.InternalListen, auth.Auth.InternalListen, all.Edge.InternalListen, alone.API.InternalListen} {
		eventually(t, func() bool { return status(t, f, "/readyz") == http.StatusOK })
	}
	wantCount(t, "nats://reporter:reporter@"+address, true)
	nc, err := nats.Connect("nats://mesh:mesh@" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for verb, want := range map[string]string{"emit": `{"event":"e"}`, "join": `{"join":["a"]}`, "fetch": `{}`, "serverSideEmit": `{"event":"e"}`} {
		reply, err := nc.Request("sio.v1.api."+verb, []byte(want), 20*time.Second)
		if err != nil || len(reply.Header) > 0 {
			t.Errorf("%s: got %v, %v", verb, reply, err)
		}
	}
	wantAcknowledged(t, nc, "nats://mesh:mesh@"+address, &site{url: "http://" + all.Edge.Listen})
	refused := make(chan error, 1)
	reporter, err := nats.Connect("nats://reporter:reporter@"+address, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer reporter.Close()
	if err := reporter.Publish("sio.v1.api.emit", []byte(`{"event":"e"}`)); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("got %v, want a refusal", err)
	}
	cancel()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Errorf("run = %v, want nil", err)
		}
	}
}

// wantAcknowledged has a client acknowledge what the API emits.
func wantAcknowledged(t *testing.T, nc *nats.Conn, mesh string, s *site) {
	t.Helper()
	app, err := socketio.Connect(t.Context(), mesh, socketio.Config{App: "app", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := app.OnConnection(func(*socketio.Socket) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }() // received at the end
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("app: %v", err)
		}
	}()
	answered := make(chan *nats.Msg, 1)
	nobody := `{"replies":[],"missing":[],"truncated":false}`
	f := s.dial(t, "")
	if err := f.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // until the application is known
		t.Fatal(err)
	}
	f.write(t, "40")
	go func() { // received below
		for {
			reply, err := nc.Request("sio.v1.api.emit", []byte(`{"event":"e","ack":true}`), 20*time.Second)
			if err != nil || string(reply.Data) != nobody { // the client has joined
				answered <- reply
				return
			}
		}
	}()
	for {
		if text := f.read(t); strings.HasPrefix(text, "42") {
			id, _, _ := strings.Cut(text[2:], "[")
			f.write(t, "43"+id+`["yes"]`)
			break
		}
	}
	if reply := <-answered; reply == nil || !strings.Contains(string(reply.Data), `"reply":"yes"`) || !strings.Contains(string(reply.Data), `"missing":[]`) {
		t.Errorf("got %v", reply)
	}
}
