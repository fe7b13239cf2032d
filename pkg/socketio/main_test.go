package socketio

import (
	"context"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// eventually waits until cond holds.
func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// receive returns the next value of a channel.
func receive[T any](tb testing.TB, what string, c <-chan T) T {
	tb.Helper()
	var v T
	select {
	case v = <-c:
	case <-time.After(patience):
		tb.Fatalf("%s: nothing within %v", what, patience)
	}
	return v
}

// flushAll is Server.Flush for what must be confirmed.
func flushAll(tb testing.TB, s *Server) error {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	return s.Flush(ctx)
}

// idle reports whether no socket has something to do.
func idle(s *Server) bool { return s.workers.wait(canceled()) == 0 }

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
