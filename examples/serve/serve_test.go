package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/examples/serve"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program has one namespace and a page.
func program() serve.Program {
	return serve.Program{
		Name:     "example",
		Register: func(io *socketio.Server) error { return io.OnConnection(func(*socketio.Socket) {}) },
		Pages: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("page"))
		}),
	}
}

func parse(tb testing.TB, args ...string) *serve.Flags {
	tb.Helper()
	flags, err := tryParse(args...)
	if err != nil {
		tb.Fatalf("parse %q: %v", args, err)
	}
	return flags
}

func tryParse(args ...string) (*serve.Flags, error) {
	var flags serve.Flags
	k, err := kong.New(&flags)
	if err != nil {
		return nil, err
	}
	_, err = k.Parse(args)
	return &flags, err
}

func TestExactlyOneShape(t *testing.T) {
	for _, args := range [][]string{{}, {"--listen", ":1", "--nats", "nats://a"}} {
		if _, err := tryParse(args...); err == nil {
			t.Errorf("%q was accepted, want --listen or --nats, not both", args)
		}
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // "" if the flags are wrong
	}{
		{[]string{"--listen", ":3000"}, "example: application example and the whole mesh, clients on :3000, NATS on none"},
		{[]string{"--listen", ":3000", "--app", "mine", "--nats-listen", "127.0.0.1:4222"}, "example: application mine and the whole mesh, clients on :3000, NATS on 127.0.0.1:4222"},
		{[]string{"--nats", "nats://nats:4222"}, "example: application example on nats://nats:4222"},
		{[]string{"--listen", "3000"}, ""},
		{[]string{"--listen", ":3000", "--policy", "/x=nothing"}, ""},
		{[]string{"--listen", ":3000", "--policy", "/x=tokens"}, ""},
		{[]string{"--listen", ":3000", "--app", "No Name"}, ""},
		{[]string{"--nats", "4222"}, ""},
	} {
		got, err := program().Plan(t.Context(), parse(t, c.args...))
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("plan of %q is %q, %v, want %q", c.args, got, err, c.want)
		}
	}
}

// A program serves its page and the mesh's endpoint on one address, and stops cleanly.
func TestListen(t *testing.T) {
	addrs := freeAddrs(t, 2)
	addr, internal := addrs[0], addrs[1]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- program().Run(ctx, parse(t, "--listen", addr, "--internal-listen", internal, "--log-level", "error"))
	}() // waited for below
	if got := get(t, "http://"+addr+"/"); got != "page" {
		t.Errorf("the page is %q", got)
	}
	if got := get(t, "http://"+addr+"/socket.io/?EIO=4&transport=polling"); !strings.HasPrefix(got, `0{"sid":`) {
		t.Errorf("the endpoint answers %q", got)
	}
	if got := get(t, "http://"+internal+"/readyz"); got != "" {
		t.Errorf("readyz answers %q", got)
	}
	for _, metric := range []string{"sio_edge_connections ", "go_goroutines "} {
		if got := get(t, "http://"+internal+"/metrics"); !strings.Contains(got, metric) {
			t.Errorf("the metrics have no %s: %.300q", metric, got)
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Run did not end")
	}
}

func TestFailures(t *testing.T) {
	failure := errors.New("no handlers")
	bad := program()
	bad.Register = func(*socketio.Server) error { return failure }
	if err := bad.Run(t.Context(), parse(t, "--listen", "127.0.0.1:0")); !errors.Is(err, failure) {
		t.Errorf("Run with handlers that fail ended with %v", err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, args := range [][]string{
		{"--listen", ln.Addr().String()}, {"--listen", "127.0.0.1:0", "--internal-listen", ln.Addr().String()},
	} {
		if err := program().Run(t.Context(), parse(t, args...)); err == nil {
			t.Errorf("Run on an address in use, %v, ended without an error", args)
		}
	}
}

// get asks until somebody answers 200.
func get(tb testing.TB, url string) string {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, url, nil)
		if err != nil {
			tb.Fatal(err)
		}
		if res, err := client.Do(req); err == nil {
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil && res.StatusCode == http.StatusOK {
				return string(body)
			}
		}
		<-tick.C
	}
	tb.Fatalf("no answer from %s", url)
	return ""
}

// freeAddrs returns addresses that nobody listens on, below the ports that the kernel may give to others in between.
func freeAddrs(tb testing.TB, n int) (addrs []string) {
	tb.Helper()
	var lc net.ListenConfig
	for range 1000 {
		ln, err := lc.Listen(tb.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue // somebody else's
		}
		defer ln.Close() // only after all were chosen, so that they differ
		if addrs = append(addrs, ln.Addr().String()); len(addrs) == n {
			return addrs
		}
	}
	tb.Fatal("no free port")
	return nil
}
