package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// memoryReceiver is the queue of a receiver and the goroutine that empties it.
type memoryReceiver struct {
	bus     *Memory
	queue   chan delivery
	dropped atomic.Uint64
	mu      sync.Mutex
	ended   bool // guarded by mu
}

type delivery struct {
	to  *subscription
	msg Msg
}

func (m *Memory) newReceiver(capacity int) *memoryReceiver {
	return &memoryReceiver{bus: m, queue: make(chan delivery, max(capacity, 1))}
}

// Subscribe implements Receiver.
func (r *memoryReceiver) Subscribe(subject, queue string, handler func(Msg)) error {
	if !validPattern(subject) {
		return fmt.Errorf("subscribe to %.80q: not a subject", subject)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.bus.isClosed() {
		return ErrClosed
	}
	r.bus.routes.add(&subscription{subject: subject, queue: queue, handler: handler, receiver: r})
	return nil
}

// Run implements Receiver.
func (r *memoryReceiver) Run(ctx context.Context) error {
	defer r.end()
	for {
		select {
		case d := <-r.queue:
			d.to.handler(d.msg)
		case <-ctx.Done():
			return nil
		case <-r.bus.closed:
			return ErrClosed
		}
	}
}

// Dropped implements Receiver.
func (r *memoryReceiver) Dropped() uint64 { return r.dropped.Load() }

func (r *memoryReceiver) put(to *subscription, m Msg) {
	select {
	case r.queue <- delivery{to: to, msg: m}:
	default:
		r.dropped.Add(1)
	}
}

func (r *memoryReceiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	r.bus.routes.removeAll(r)
}
