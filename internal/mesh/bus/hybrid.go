package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/siomesh/siomesh/internal/mesh"
)

// originHeader marks what a Hybrid publishes with the id of that bus. Only publishes carry it; links have no headers.
const originHeader = "Sio-Bus"

// originSize is the room the header takes of the server's max_payload.
const originSize = 64

// Hybrid is the bus of a process that holds several instances: what is for one of them stays in memory, the rest goes over
// NATS.
//
// Every receiver subscribes in both. A Send or Request goes to memory if somebody subscribes there, else to NATS. A
// Publish goes to both, and nobody hears it twice: in memory it reaches the plain subscribers; over NATS it carries the id
// of this bus, by which the plain subscribers of this process know and leave it, while queue groups, which may have
// members elsewhere, take it from NATS alone. (The server's own option not to echo works per connection, and a process has
// two.) Connected, Watch and Probe tell about NATS: a process whose instances still hear one another is cut off if it does
// not hear itself through the server.
type Hybrid struct {
	memory *Memory
	nats   *NATS
	origin string
}

var _ Bus = (*Hybrid)(nil)

// NewHybrid returns a bus over both, which stay the caller's to close.
func NewHybrid(memory *Memory, over *NATS) *Hybrid {
	return &Hybrid{memory: memory, nats: over, origin: mesh.NewInstanceID().String()}
}

// Publish implements Bus. The subscribers of this process hear it even if it returns ErrDisconnected.
func (h *Hybrid) Publish(subject string, data []byte) error {
	if err := h.check(data); err != nil {
		return err
	}
	h.memory.deliver(subject, "", data, plainOnly)
	return translate(h.nats.control.PublishMsg(&nats.Msg{
		Subject: subject,
		Header:  nats.Header{originHeader: []string{h.origin}},
		Data:    data,
	}))
}

// Send implements Bus.
func (h *Hybrid) Send(subject, reply string, data []byte) error {
	if err := h.check(data); err != nil {
		return err
	}
	if h.memory.deliver(subject, reply, data, everyone) {
		return nil
	}
	return h.nats.Send(subject, reply, data)
}

// Request implements Bus.
func (h *Hybrid) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := checkRequest(ctx, data, h.MaxPayload()); err != nil {
		return nil, err
	}
	answer, err := h.memory.request(ctx, subject, data)
	if errors.Is(err, ErrNoResponders) {
		return h.nats.Request(ctx, subject, data)
	}
	return answer, err
}

// Respond implements Bus.
func (h *Hybrid) Respond(m Msg, data []byte) error {
	if err := h.check(data); err != nil {
		return err
	}
	if strings.HasPrefix(m.Reply, memoryInbox) {
		h.memory.requests.answer(m.Reply, data)
		return nil
	}
	if h.memory.routes.has(m.Reply) {
		h.memory.deliver(m.Reply, "", data, everyone)
		return nil
	}
	return h.nats.Respond(m, data)
}

// NewReceiver implements Bus. Memory and NATS have a queue of that capacity each.
func (h *Hybrid) NewReceiver(lane Lane, capacity int) Receiver {
	return &hybridReceiver{
		near: h.memory.newReceiver(capacity),
		far:  h.nats.newReceiver(lane, capacity, h.origin),
	}
}

// MaxPayload implements Bus: what the server says, less the mark of origin.
func (h *Hybrid) MaxPayload() int { return h.nats.MaxPayload() - originSize }

// Connected implements Bus: over NATS.
func (h *Hybrid) Connected() bool { return h.nats.Connected() }

// Watch implements Bus: over NATS.
func (h *Hybrid) Watch(f func(connected bool)) (stop func()) { return h.nats.Watch(f) }

// Probe implements Bus: over NATS.
func (h *Hybrid) Probe(ctx context.Context) error { return h.nats.Probe(ctx) }

// ForceReconnect implements Bus: over NATS.
func (h *Hybrid) ForceReconnect() { h.nats.ForceReconnect() }

func (h *Hybrid) check(data []byte) error {
	if len(data) > h.MaxPayload() {
		return ErrTooLarge
	}
	if h.memory.isClosed() || h.nats.isClosed() {
		return ErrClosed
	}
	return nil
}

// hybridReceiver takes from both queues on one goroutine.
type hybridReceiver struct {
	near *memoryReceiver
	far  *natsReceiver
}

// Subscribe implements Receiver. Who is found in memory is already known to NATS.
func (r *hybridReceiver) Subscribe(subject, queue string, handler func(Msg)) error {
	if err := r.far.Subscribe(subject, queue, handler); err != nil {
		return err
	}
	return r.near.Subscribe(subject, queue, handler)
}

// Run implements Receiver.
func (r *hybridReceiver) Run(ctx context.Context) error {
	defer r.far.end()
	defer r.near.begin(ctx)()
	for {
		switch {
		case ctx.Err() != nil:
			return nil
		case r.near.bus.isClosed() || r.far.bus.isClosed():
			return ErrClosed
		}
		select {
		case <-r.near.wake: // also the end of ctx and of the memory
			r.near.drain(ctx)
		case m := <-r.far.queue:
			r.far.deliver(m)
		case <-r.far.bus.closed:
		}
	}
}

// Dropped implements Receiver.
func (r *hybridReceiver) Dropped() uint64 { return r.near.Dropped() + r.far.Dropped() }
