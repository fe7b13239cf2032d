package e2e_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// balancer is what stands before several edges: a client comes to the first of them that takes connections.
type balancer struct {
	ln    net.Listener
	edges []string
	wg    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu; nil once closed
}

func newBalancer(tb testing.TB, edges ...string) *balancer {
	tb.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b := &balancer{ln: ln, edges: edges, conns: make(map[net.Conn]struct{})}
	ctx := tb.Context()
	b.wg.Go(func() { b.accept(ctx) }) // waited for in close
	tb.Cleanup(b.close)
	return b
}

func (b *balancer) url() string { return "http://" + b.ln.Addr().String() }

func (b *balancer) accept(ctx context.Context) {
	for {
		c, err := b.ln.Accept()
		if err != nil {
			return
		}
		b.wg.Go(func() { b.serve(ctx, c) }) // waited for in close
	}
}

func (b *balancer) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: time.Second}
	for _, addr := range b.edges {
		edge, err := dialer.DialContext(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		defer edge.Close()
		if b.keep(client) && b.keep(edge) {
			copyBoth(client, edge)
		}
		return
	}
}

func (b *balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		return false
	}
	b.conns[c] = struct{}{}
	return true
}

func (b *balancer) close() {
	b.ln.Close()
	b.mu.Lock()
	for c := range b.conns {
		c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.wg.Wait()
}

// copyBoth copies both ways until one side ends, and then ends the other.
func copyBoth(a, b net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { // waited for below
		_, _ = io.Copy(a, b) // either side may end it at any time
		a.Close()
	})
	_, _ = io.Copy(b, a)
	b.Close()
	wg.Wait()
}
