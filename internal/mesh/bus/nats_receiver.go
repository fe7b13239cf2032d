package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// settleTimeout bounds the wait of Subscribe for a connection that is down.
	settleTimeout = 10 * time.Second
	settleRetry   = 250 * time.Millisecond
)

// natsReceiver is the subscriptions of one receiver, which share one channel of their connection: that keeps the order
// across subjects.
type natsReceiver struct {
	bus    *NATS
	lane   Lane
	origin string // messages this bus published itself, see Hybrid, reach queue groups alone; "" if there are none
	queue  chan *nats.Msg

	mu       sync.Mutex
	handlers map[*nats.Subscription]natsHandler // guarded by mu
	dropped  uint64                             // of subscriptions that have ended; guarded by mu
	ended    bool                               // guarded by mu
}

type natsHandler struct {
	handle func(Msg)
	queued bool
}

func (n *NATS) newReceiver(lane Lane, capacity int, origin string) *natsReceiver {
	return &natsReceiver{
		bus:      n,
		lane:     lane,
		origin:   origin,
		queue:    make(chan *nats.Msg, max(capacity, 1)),
		handlers: map[*nats.Subscription]natsHandler{},
	}
}

// Subscribe implements Receiver. It waits until the subscription is known wherever this bus publishes, for 10 seconds at
// most, and says when the server refuses it.
func (r *natsReceiver) Subscribe(subject, queue string, handler func(Msg)) error {
	if !validPattern(subject) {
		return fmt.Errorf("subscribe to %.80q: not a subject", subject)
	}
	s, err := r.add(subject, queue, handler)
	if err == nil {
		if err = r.settle(subject); err != nil {
			r.remove(s)
		}
	}
	if err != nil {
		return fmt.Errorf("subscribe to %.80q: %w", subject, err)
	}
	return nil
}

// Run implements Receiver.
func (r *natsReceiver) Run(ctx context.Context) error {
	defer r.end()
	for {
		select {
		case m := <-r.queue:
			r.deliver(m)
		case <-ctx.Done():
			return nil
		case <-r.bus.closed:
			return ErrClosed
		}
	}
}

// Dropped implements Receiver.
func (r *natsReceiver) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := r.dropped
	for s := range r.handlers {
		sum += droppedBy(s)
	}
	return sum
}

// add holds the lock while it subscribes, so that no message can be delivered before its handler stands in the map.
func (r *natsReceiver) add(subject, queue string, handler func(Msg)) (*nats.Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, ErrClosed
	}
	own, _ := r.bus.lane(r.lane)
	s, err := own.ChanQueueSubscribe(subject, queue, r.queue)
	if err != nil {
		return nil, translate(err)
	}
	r.handlers[s] = natsHandler{handle: handler, queued: queue != ""}
	return s, nil
}

// settle returns once the other connection has heard a message that was published on this one behind the subscription.
// Routes between servers keep that order, so whichever servers the two are connected to know the subscription then; a
// flush would prove it for one of them only.
func (r *natsReceiver) settle(subject string) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	own, other := r.bus.lane(r.lane)
	for {
		err := r.bus.crossWithin(ctx, own, other)
		switch {
		case err == nil:
			return r.refused(ctx, own, subject)
		case errors.Is(err, ErrClosed):
			return err
		case ctx.Err() != nil:
			return ErrDisconnected
		}
	}
}

// refused reports that the server refused the subscription: it says so ahead of the answer to a flush.
func (r *natsReceiver) refused(ctx context.Context, own *connection, subject string) error {
	if err := own.FlushWithContext(ctx); err != nil {
		return translate(err)
	}
	err := own.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`) {
		return err
	}
	return nil
}

func (r *natsReceiver) deliver(m *nats.Msg) {
	r.mu.Lock()
	h, ok := r.handlers[m.Sub]
	r.mu.Unlock()
	if !ok || !h.queued && r.origin != "" && len(m.Header) > 0 && m.Header.Get(originHeader) == r.origin {
		return
	}
	h.handle(Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Data, More: len(r.queue) > 0})
}

func (r *natsReceiver) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for s := range r.handlers {
		r.forget(s)
	}
}

func (r *natsReceiver) remove(s *nats.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(s)
}

// forget is called with mu held.
func (r *natsReceiver) forget(s *nats.Subscription) {
	if _, ok := r.handlers[s]; !ok {
		return
	}
	delete(r.handlers, s)
	r.dropped += droppedBy(s)
	s.Unsubscribe() //nolint:errcheck // it fails only when the connection is closed, which ends the subscription too
}

func droppedBy(s *nats.Subscription) uint64 {
	dropped, err := s.Dropped()
	if err != nil { // of a closed connection
		return 0
	}
	return uint64(dropped) //nolint:gosec // a count
}
