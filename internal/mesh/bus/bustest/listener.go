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
func listen(t *testing.T, b bus.Bus, lane bus.Lane, subjects ...string) *listener {
	t.Helper()
	l := &listener{Receiver: b.NewReceiver(lane, 8192)}
	for _, subject := range subjects {
		check(t, "subscribe", l.Subscribe(subject, "", l.take))
	}
	l.stop = run(t, l.Receiver, nil)
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
func (l *listener) waitFor(t *testing.T, n int) []bus.Msg {
	t.Helper()
	reaches(t, "messages", n, l.count)
	return l.messages()
}

// run starts Run of r. The returned function ends it, waits and compares the result; the end of the test calls it too.
func run(t *testing.T, r bus.Receiver, want error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // stop waits for it
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != want { //nolint:errorlint // the contract is the value itself
				t.Errorf("Run: got error %v, want %v", err, want)
			}
		case <-time.After(patience):
			t.Errorf("Run has not ended after %v", patience)
		}
	})
	t.Cleanup(stop)
	return stop
}

// settle returns once everything that was published on either bus has reached the receivers' queues.
func settle(t *testing.T, p Pair) {
	t.Helper()
	for _, b := range []bus.Bus{p.A, p.B} {
		check(t, "probe", b.Probe(within(t, patience)))
	}
}

// eventually polls until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !holds(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// reaches polls until a number is at least want.
func reaches(t *testing.T, what string, want int, number func() int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); number() < want; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: got %d after %v, want %d", what, number(), patience, want)
		}
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, doing string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", doing, err)
	}
}

func number(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) } //nolint:gosec // small

func numberOf(m bus.Msg) int {
	if len(m.Data) != 4 {
		return -1
	}
	return int(binary.BigEndian.Uint32(m.Data))
}
