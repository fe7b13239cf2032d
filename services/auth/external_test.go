package auth

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/natstest"
)

// The programs of examples/ that replace this service are held to the same contract, over a real server.

func dial(tb testing.TB, url string) bus.Bus {
	tb.Helper()
	b, err := bus.Dial(tb.Context(), url, bus.NATSOptions{Name: "edge-test"})
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(b.Close)
	return b
}

// start runs a program of examples/ until the test ends and waits until it says that it is ready.
func start(tb testing.TB, dir, program string, args ...string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatalf("pipe: %v", err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", program, err)
	}
	ready := make(chan bool, 1)
	var reader sync.WaitGroup
	reader.Go(func() { // the cleanup waits for it
		line, _ := bufio.NewReader(out).ReadString('\n') // no line is not ready
		ready <- line != ""
		_, _ = io.Copy(io.Discard, out) // until it ends
	})
	tb.Cleanup(func() {
		cancel()
		reader.Wait()
		_ = cmd.Wait() // it was ended by a signal
	})
	select {
	case ok := <-ready:
		if !ok {
			tb.Fatalf("%s ended before it was ready", program)
		}
	case <-time.After(30 * time.Second):
		tb.Fatalf("%s is not ready within 30 s", program)
	}
}

// nodeExample returns a directory with examples/auth-node and what it needs from npm.
func nodeExample(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join("..", "..", "examples", "auth-node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "nats")); err == nil {
		return dir
	}
	temp := tb.TempDir()
	for _, name := range []string{"auth.js", "package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(temp, name), data, 0o600)
		}
		if err != nil {
			tb.Fatalf("copy: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = temp
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("npm ci: %v\n%s", err, out)
	}
	return temp
}

type question struct {
	name, namespace, auth string
	want                  *authn.ConnectReply
}

// wantAnswers asks everything at the same time, several times.
func wantAnswers(t *testing.T, b bus.Bus, questions []question) {
	t.Helper()
	var clients errgroup.Group
	for range 5 {
		for _, q := range questions {
			clients.Go(func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				r := request(q.namespace, q.auth)
				r.Handshake = authn.Handshake{
					Headers: map[string]authn.Values{"user-agent": {"Ünï \"quoted\" \\ \x00\r\nMSG"}},
					URL:     "/socket.io/?x=%0D%0A",
					Time:    time.Now(),
				}
				got, err := authn.Ask(ctx, b, mesh.Subjects{}, r)
				if err == nil && !reflect.DeepEqual(got, q.want) {
					t.Errorf("%s: got %+v, want %+v", q.name, got, q.want)
				}
				return err
			})
		}
	}
	if err := clients.Wait(); err != nil {
		t.Errorf("ask: %v", err)
	}
}

// wantAdmitted asks whether an address may open a session.
func wantAdmitted(t *testing.T, b bus.Bus, address string, want *authn.HandshakeReply) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got, err := authn.AskHandshake(ctx, b, mesh.Subjects{}, &authn.HandshakeRequest{Handshake: authn.Handshake{Address: address}})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("handshake from %s: got %+v, %v, want %+v", address, got, err, want)
	}
}

func TestNodeExampleReplacesTheService(t *testing.T) {
	url := natstest.Run(t)
	b := dial(t, url)
	start(t, nodeExample(t), "node", "auth.js", "--nats", url)
	signIn := &authn.ConnectReply{Message: "please sign in", Data: json.RawMessage(`{"login":"/login"}`)}
	wantAnswers(t, b, []question{
		{"known", "/", `{"token":"ann-token"}`, &authn.ConnectReply{
			Allow: true, User: "ann", Data: json.RawMessage(`{"role":"admin"}`), Rooms: []string{"staff"},
		}},
		{"guest", "/ü b", `{"token":"bob-token"}`, &authn.ConnectReply{Allow: true, User: "bob", Data: json.RawMessage(`{"role":"guest"}`)}},
		{"guest in the wrong place", "/admin", `{"token":"bob-token"}`, &authn.ConnectReply{Message: "admins only"}},
		{"unknown", "/", `{"token":"eve-token"}`, signIn},
		{"without token", "/", `{}`, signIn},
		{"without auth", "/", ``, signIn},
	})
	wantAdmitted(t, b, "192.0.2.1", &authn.HandshakeReply{Allow: true, Headers: map[string]authn.Values{"x-auth": {"node"}}})
	wantAdmitted(t, b, "203.0.113.7", &authn.HandshakeReply{Message: "blocked"})
	for _, malformed := range []string{"hello", "", "null"} {
		if got, want := askRaw(t, b, malformed), `{"allow":false,"message":"malformed request"}`; got != want {
			t.Errorf("%q: got %s, want %s", malformed, got, want)
		}
	}
}

func TestShellExampleReplacesTheService(t *testing.T) {
	nats := natstest.Start(t, natstest.With(func(o *server.Options) {
		o.PingInterval = 100 * time.Millisecond
		o.MaxPingsOut = 20 // who answers none of them is thrown out after two seconds
	}))
	b := dial(t, nats.URL())
	dir := filepath.Join("..", "..", "examples", "auth-shell")
	const instances = 2
	for range instances {
		start(t, dir, "bash", "auth.sh", "--nats", nats.URL())
	}
	questions := []question{
		{"the words", "/", `{"token":"open sesame"}`, &authn.ConnectReply{
			Allow: true, User: "ali", Data: json.RawMessage(`{"cave":true}`), Rooms: []string{"cave"},
		}},
		{"wrong words", "/ü b", `{"token":"open barley"}`, &authn.ConnectReply{Message: "say the magic words"}},
		{"the words elsewhere", "/", `{"said":"\"token\":\"open sesame\""}`, &authn.ConnectReply{Message: "say the magic words"}},
		{"nothing", "/", ``, &authn.ConnectReply{Message: "say the magic words"}},
	}
	wantAnswers(t, b, questions)
	wantAdmitted(t, b, "192.0.2.1", &authn.HandshakeReply{Allow: true, Headers: map[string]authn.Values{"x-auth": {"shell"}}})
	if err := b.Publish("sio.v1.auth.connect", []byte("nobody waits for an answer")); err != nil {
		t.Errorf("publish: %v", err)
	}
	// Each question went to one of the two: they are one queue group.
	wait(t, "one delivery for each question", func() bool {
		n := int64(0)
		for _, c := range shells(t, nats.Server()) {
			n += c.OutMsgs
		}
		return n == int64(5*len(questions)+2)
	})
	// They answered pings, or no connection would last that long.
	wait(t, "long connections", func() bool {
		conns := shells(t, nats.Server())
		for _, c := range conns {
			if time.Since(c.Start) < 5*time.Second {
				return false
			}
		}
		return len(conns) == instances
	})
	wantAnswers(t, b, questions)
}

// shells returns what the server knows of the connections of auth.sh.
func shells(tb testing.TB, s *server.Server) []*server.ConnInfo {
	tb.Helper()
	all, err := s.Connz(&server.ConnzOptions{})
	if err != nil {
		tb.Fatalf("connections: %v", err)
	}
	var found []*server.ConnInfo
	for _, c := range all.Conns {
		if c.Name == "auth-shell" {
			found = append(found, c)
		}
	}
	return found
}

func wait(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%s: not within 20 s", what)
		}
	}
}
