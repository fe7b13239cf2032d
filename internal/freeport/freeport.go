// Package freeport finds addresses for servers of tests that cannot listen on port 0, since their address must be known before
// they listen, or be the same when they listen again.
//
// A port that the kernel chose for port 0, closed again, may be given to the next who asks for port 0, or for any connection.
// The ports of this package are below those that the kernel gives away by itself.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The kernel gives away ports from 32768 on Linux, from 49152 elsewhere.
const (
	firstPort = 20000
	ports     = 12000
)

// tries is plenty: most of the ports are free.
const tries = 1000

// test is what Address needs of testing.TB, which only tests link.
type test interface {
	Helper()
	Fatalf(format string, args ...any)
}

//nolint:gochecknoglobals // of the process, as ports are
var given struct {
	mu    sync.Mutex
	taken map[int]bool // guarded by mu
}

// Address returns a loopback address, "127.0.0.1:PORT", that nobody listens on, and never the same one twice in a process.
// Another process may happen to take it in between, which is unlikely, since ports are chosen at random.
func Address(tb test) string {
	tb.Helper()
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.taken == nil {
		given.taken = map[int]bool{}
	}
	for range tries {
		port := firstPort + rand.IntN(ports) //nolint:gosec // no secret
		if given.taken[port] {
			continue
		}
		address := fmt.Sprintf("127.0.0.1:%d", port)
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		if err != nil {
			continue // somebody else's
		}
		_ = ln.Close() // it was never used
		given.taken[port] = true
		return address
	}
	tb.Fatalf("no free port from %d to %d in %d tries", firstPort, firstPort+ports-1, tries)
	return ""
}
