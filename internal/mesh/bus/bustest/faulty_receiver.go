package bustest

import (
	"context"
	"errors"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// faultyReceiver knows whose it is.
type faultyReceiver struct {
	bus.Receiver
	process *Faulty
}

// Subscribe implements bus.Receiver.
func (r *faultyReceiver) Subscribe(subject, queue string, handler func(bus.Msg)) error {
	n := r.process.network
	if r.process.isDead() {
		return bus.ErrClosed
	}
	if err := r.Receiver.Subscribe(subject, queue, func(m bus.Msg) {
		if r.process.Connected() {
			handler(m)
		}
	}); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = append(n.addresses, subscription{process: r.process, pattern: subject, receiver: r})
	return nil
}

// Run implements bus.Receiver.
func (r *faultyReceiver) Run(ctx context.Context) error {
	defer r.process.network.forget(r)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.Receiver.Run(ctx) }() // received below
	select {
	case err := <-ended:
		return err
	case <-r.process.dead:
		cancel()
		return errors.Join(bus.ErrClosed, <-ended)
	}
}
