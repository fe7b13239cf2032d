package bustest

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// listener is a receiver that runs, and what it got.
type listener struct {
	bus.Receiver
	mu   sync.Mutex
	got  []bus.Msg // guarded by mu
	stop func()    // ends Run and waits; may be called twice
}

// listen runs a receiver of these subjects until the test ends.
func listen(tb testing.TB, b bus.Bus, lane bus.Lane, subjects ...string) *listener {
	tb.Helper()
	l := &listener{Receiver: b.NewReceiver(lane, 8192)}
	for _, subject := range subjects {
		check(tb, "subscribe", l.Subscribe(subject, "", l.take))
	}
	l.stop = run(tb, l.Receiver)
	return l
}

func (l *listener) take(m bus.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, m)
}

func (l *listener) messages() []bus.Msg {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.got[:len(l.got):len(l.got)]
}

func (l *listener) count() int { return len(l.messages()) }

// waitFor returns the messages once there are n of them.
func (l *listener) waitFor(tb testing.TB, n int) []bus.Msg {
	tb.Helper()
	reaches(tb, "messages", n, l.count)
	return l.messages()
}

// run starts Run of r. The returned function ends it and waits; the end of the test calls it too.
func run(tb testing.TB, r bus.Receiver) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // stop waits for it
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				tb.Errorf("Run: %v", err)
			}
		case <-time.After(patience):
			tb.Errorf("Run has not ended after %v", patience)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// settle returns once everything that was published on either bus has reached the receivers' queues: the first round of
// probes is answered when the server has read it all, the second comes in behind it.
func settle(tb testing.TB, p Pair) {
	tb.Helper()
	for _, b := range []bus.Bus{p.A, p.B, p.A, p.B} {
		check(tb, "probe", b.Probe(within(tb, patience)))
	}
}

// eventually polls until a condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// reaches polls until a number is at least want.
func reaches(tb testing.TB, what string, want int, number func() int) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); number() < want; <-tick.C {
		if time.Now().After(end) {
			tb.Fatalf("%s: got %d after %v, want %d", what, number(), patience, want)
		}
	}
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	tb.Cleanup(cancel)
	return ctx
}

func check(tb testing.TB, doing string, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("%s: %v", doing, err)
	}
}

func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) } //nolint:gosec // small

func numberOf(m bus.Msg) int {
	if len(m.Data) != 4 {
		return -1
	}
	return int(binary.BigEndian.Uint32(m.Data))
}
