package link

import (
	"sync"

	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// faulty is a bus that can be cut off and loses what the test says.
type faulty struct {
	bus.Bus
	mu       sync.Mutex
	lose     func(f wire.Frame) bool // guarded by mu: nil loses nothing
	down     bool                    // guarded by mu
	watchers []func(bool)            // guarded by mu
}

func (b *faulty) Send(subject, reply string, data []byte) error {
	b.mu.Lock()
	down, lose := b.down, b.lose
	b.mu.Unlock()
	if down {
		return bus.ErrDisconnected
	}
	f, err := wire.ParseFrame(data)
	if err != nil {
		return err
	}
	if lose != nil && lose(f) {
		return nil
	}
	return b.Bus.Send(subject, reply, data)
}

func (b *faulty) Connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.down
}

func (b *faulty) Watch(f func(bool)) func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers = append(b.watchers, f)
	return func() {}
}

// losing replaces what is lost.
func (b *faulty) losing(lose func(f wire.Frame) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = lose
}

// connect cuts the bus off or brings it back.
func (b *faulty) connect(up bool) {
	b.mu.Lock()
	b.down = !up
	watchers := b.watchers
	b.mu.Unlock()
	for _, f := range watchers {
		f(up)
	}
}

func isData(f wire.Frame) bool { return f.Kind == wire.FrameData }
func isMark(f wire.Frame) bool { return f.Kind == wire.FrameMark }
