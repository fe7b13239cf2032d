package bus

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// memoryReceiver is the queue of a receiver and the goroutine that empties it. The goroutine takes all that waits at once:
// many messages cost one wake-up.
type memoryReceiver struct {
	bus      *Memory
	capacity int64
	waiting  atomic.Int64 // put and not yet handled
	dropped  atomic.Uint64
	wake     chan struct{} // holds a token when the queue is not empty, or Run may have to end

	mu    sync.Mutex
	queue []delivery // guarded by mu
	ended bool       // guarded by mu

	spare []delivery // owned by drain: the last batch, emptied
}

type delivery struct {
	to  *subscription
	msg Msg
}

func (m *Memory) newReceiver(capacity int) *memoryReceiver {
	return &memoryReceiver{bus: m, capacity: int64(max(capacity, 1)), wake: make(chan struct{}, 1)}
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
	defer r.begin(ctx)()
	for {
		switch {
		case ctx.Err() != nil:
			return nil
		case r.bus.isClosed():
			return ErrClosed
		}
		<-r.wake
		r.drain(ctx)
	}
}

// Dropped implements Receiver.
func (r *memoryReceiver) Dropped() uint64 { return r.dropped.Load() }

// put hands over one message or drops it.
func (r *memoryReceiver) put(to *subscription, m Msg) {
	if r.waiting.Add(1) > r.capacity {
		r.waiting.Add(-1)
		r.dropped.Add(1)
		return
	}
	r.mu.Lock()
	first := len(r.queue) == 0
	r.queue = append(r.queue, delivery{to: to, msg: m})
	r.mu.Unlock()
	if first {
		r.poke()
	}
}

func (r *memoryReceiver) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// begin has wake say when ctx ends or the bus is closed, too. The function it returns ends the receiver.
func (r *memoryReceiver) begin(ctx context.Context) (end func()) {
	r.bus.running.add(r)
	stop := context.AfterFunc(ctx, r.poke)
	return func() {
		stop()
		r.bus.running.remove(r)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = true
		r.bus.routes.removeAll(r)
	}
}

// drain handles what waits now, unless ctx ends. What is put meanwhile pokes again.
func (r *memoryReceiver) drain(ctx context.Context) {
	r.mu.Lock()
	batch := r.queue
	r.queue = r.spare
	r.mu.Unlock()
	for i, d := range batch {
		if ctx.Err() != nil {
			return
		}
		batch[i] = delivery{}
		r.waiting.Add(-1)
		d.msg.More = i < len(batch)-1
		d.to.handler(d.msg)
	}
	r.spare = batch[:0]
}

// running is the receivers to wake when the bus is closed.
type running struct {
	mu        sync.Mutex
	receivers map[*memoryReceiver]struct{} // guarded by mu
}

func (r *running) add(one *memoryReceiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.receivers[one] = struct{}{}
}

func (r *running) remove(one *memoryReceiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.receivers, one)
}

func (r *running) pokeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for one := range r.receivers {
		one.poke()
	}
}
