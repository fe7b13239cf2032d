package presence

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line is one process's connection to a bus inside the test, which can be cut, or go deaf while it looks connected.
type line struct {
	bus.Bus
	mu      sync.Mutex
	cut     bool // guarded by mu
	deaf    bool // guarded by mu
	stuck   bool // guarded by mu; no new connection cures deafness
	forced  int  // guarded by mu; calls of ForceReconnect
	watcher func(bool)
}

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	before := l.cut
	change(l)
	after, f := l.cut, l.watcher
	l.mu.Unlock()
	if before != after && f != nil {
		f(!after)
	}
}

func (l *line) state() (cut, deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut, l.deaf
}

func (l *line) forces() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forced
}

func (l *line) Connected() bool { cut, _ := l.state(); return !cut && l.Bus.Connected() }

func (l *line) Watch(f func(bool)) (stop func()) {
	inner := l.Bus.Watch(f)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watcher = f
	return inner
}

func (l *line) Publish(subject string, data []byte) error {
	if cut, _ := l.state(); cut {
		return bus.ErrDisconnected
	}
	return l.Bus.Publish(subject, data)
}

func (l *line) Probe(ctx context.Context) error {
	switch cut, deaf := l.state(); {
	case cut:
		return bus.ErrDisconnected
	case deaf:
		<-ctx.Done()
		return ctx.Err()
	}
	return l.Bus.Probe(ctx)
}

func (l *line) ForceReconnect() {
	l.set(func(l *line) { l.forced++; l.cut = true })
	l.set(func(l *line) { l.cut, l.deaf = false, l.stuck })
}

func (l *line) NewReceiver(lane bus.Lane, capacity int) bus.Receiver {
	return &lineReceiver{Receiver: l.Bus.NewReceiver(lane, capacity), line: l}
}

type lineReceiver struct {
	bus.Receiver
	line *line
}

func (r *lineReceiver) Subscribe(subject, queue string, handler func(bus.Msg)) error {
	return r.Receiver.Subscribe(subject, queue, func(m bus.Msg) {
		if cut, deaf := r.line.state(); !cut && !deaf {
			handler(m)
		}
	})
}

// member is one instance of a test.
type member struct {
	*Peers
	line *line
	stop func() // ends Run with a goodbye and waits for it

	mu   sync.Mutex
	info siomeshv1.Presence // guarded by mu; what describe says: load and draining
	news []string           // guarded by mu; what the watcher was told
	at   []time.Time        // guarded by mu; when
	byes []bool             // guarded by mu; for each death, whether it was a goodbye
}

func app() mesh.Address {
	return mesh.Address{Kind: mesh.KindApp, App: "chat", Instance: mesh.NewInstanceID()}
}

func edge() mesh.Address {
	return mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()}
}

// join starts an instance on b.
func join(tb testing.TB, b bus.Bus, self mesh.Address, cfg Config) *member {
	tb.Helper()
	m := &member{line: &line{Bus: b}}
	describe := func(p *siomeshv1.Presence) {
		m.mu.Lock()
		defer m.mu.Unlock()
		p.Load, p.Draining = m.info.GetLoad(), m.info.GetDraining()
	}
	m.Peers = New(m.line, mesh.Subjects{}, self, describe, slog.New(slog.DiscardHandler), cfg)
	m.Watch(func(c Change, p Peer) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.news = append(m.news, c.String()+" "+string(p.Kind))
		m.at = append(m.at, time.Now())
		if c == Died {
			m.byes = append(m.byes, p.Info.GetGoodbye())
		}
	})
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }() // stop waits for it
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("run: %v", err)
		}
	})
	tb.Cleanup(m.stop)
	return m
}

func (m *member) describe(change func(*siomeshv1.Presence)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.info)
}

// told returns what happened since the last call, and when the last of it did.
func (m *member) told() ([]string, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	news, at := m.news, time.Time{}
	if len(m.at) > 0 {
		at = m.at[len(m.at)-1]
	}
	m.news, m.at = nil, nil
	return news, at
}

// wantBye checks how the only one who died did.
func (m *member) wantBye(tb testing.TB, want bool) {
	tb.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Equal(m.byes, []bool{want}) {
		tb.Errorf("goodbyes = %v, want %v", m.byes, want)
	}
}

func (m *member) wantNews(tb testing.TB, want ...string) time.Time {
	tb.Helper()
	got, at := m.told()
	if !slices.Equal(got, want) {
		tb.Errorf("news = %q, want %q", got, want)
	}
	return at
}

// pass lets d pass in a bubble, and everything that is due then happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
