package cluster_test

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// severable is a bus that can be cut: then nothing leaves it or arrives by it, and nobody is told. Or it can be deaf to the
// heartbeats of app instances alone.
type severable struct {
	bus.Bus
	cut, deaf atomic.Bool
}

// Publish implements bus.Bus.
func (s *severable) Publish(subject string, data []byte) error {
	if s.cut.Load() {
		return nil
	}
	return s.Bus.Publish(subject, data)
}

// Send implements bus.Bus.
func (s *severable) Send(subject, reply string, data []byte) error {
	if s.cut.Load() {
		return nil
	}
	return s.Bus.Send(subject, reply, data)
}

// Request implements bus.Bus.
func (s *severable) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if s.cut.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Bus.Request(ctx, subject, data)
}

// Respond implements bus.Bus.
func (s *severable) Respond(m bus.Msg, data []byte) error {
	if s.cut.Load() {
		return nil
	}
	return s.Bus.Respond(m, data)
}

// Probe implements bus.Bus.
func (s *severable) Probe(ctx context.Context) error {
	if s.cut.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Bus.Probe(ctx)
}

// NewReceiver implements bus.Bus.
func (s *severable) NewReceiver(lane bus.Lane, capacity int) bus.Receiver {
	return &severableReceiver{s.Bus.NewReceiver(lane, capacity), s}
}

type severableReceiver struct {
	bus.Receiver
	of *severable
}

// Subscribe implements bus.Receiver.
func (r *severableReceiver) Subscribe(subject, queue string, handler func(bus.Msg)) error {
	return r.Receiver.Subscribe(subject, queue, func(m bus.Msg) {
		if deaf := r.of.deaf.Load() && strings.Contains(m.Subject, ".presence.app."); !deaf && !r.of.cut.Load() {
			handler(m)
		}
	})
}
