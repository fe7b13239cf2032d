package bus

import (
	"bytes"
	"context"
	"strings"
	"sync"
)

// memoryPayload is MaxPayload of a Memory: that of a NATS server unless configured, so that one process takes the same
// paths as many.
const memoryPayload = 1 << 20

// memoryInbox begins the Reply of requests that are made inside the process. No subject of the mesh begins like this.
const memoryInbox = "_PROCESS."

// Memory is the bus inside one process. A message costs one copy of its data and one hand-over to the receiver's goroutine;
// a sender never waits. Everything is in order, across lanes too.
type Memory struct {
	routes   routes
	closing  sync.Once
	closed   chan struct{}
	requests requests
	running  running
}

var _ Bus = (*Memory)(nil)

// NewMemory returns a bus without subscribers.
func NewMemory() *Memory {
	return &Memory{
		closed:   make(chan struct{}),
		requests: requests{waiting: map[string]chan []byte{}},
		running:  running{receivers: map[*memoryReceiver]struct{}{}},
	}
}

// Publish implements Bus.
func (m *Memory) Publish(subject string, data []byte) error {
	if err := m.check(data); err != nil {
		return err
	}
	m.deliver(subject, "", data, everyone)
	return nil
}

// Send implements Bus.
func (m *Memory) Send(subject, reply string, data []byte) error {
	if err := m.check(data); err != nil {
		return err
	}
	if !m.deliver(subject, reply, data, everyone) && reply != "" {
		m.deliver(reply, "", nil, everyone)
	}
	return nil
}

// Request implements Bus.
func (m *Memory) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := checkRequest(ctx, data, memoryPayload); err != nil {
		return nil, err
	}
	return m.request(ctx, subject, data)
}

// Respond implements Bus.
func (m *Memory) Respond(msg Msg, data []byte) error {
	if strings.HasPrefix(msg.Reply, memoryInbox) {
		if err := m.check(data); err != nil {
			return err
		}
		m.requests.answer(msg.Reply, data)
		return nil
	}
	return m.Send(msg.Reply, "", data)
}

// NewReceiver implements Bus; the lane makes no difference.
func (m *Memory) NewReceiver(_ Lane, capacity int) Receiver { return m.newReceiver(capacity) }

// MaxPayload implements Bus.
func (m *Memory) MaxPayload() int { return memoryPayload }

// Connected implements Bus: true.
func (m *Memory) Connected() bool { return true }

// Watch implements Bus: nothing ever changes.
func (m *Memory) Watch(func(bool)) (stop func()) { return func() {} }

// Probe implements Bus: nil, as nothing has to leave the process; ErrClosed after Close.
func (m *Memory) Probe(ctx context.Context) error {
	if err := checkRequest(ctx, nil, 0); err != nil {
		return err
	}
	return m.check(nil)
}

// ForceReconnect implements Bus: there is nothing to do.
func (m *Memory) ForceReconnect() {}

// Close ends the Run of all receivers and all requests with ErrClosed, which every later call returns too.
func (m *Memory) Close() {
	m.closing.Do(func() {
		close(m.closed)
		m.running.pokeAll()
	})
}

func (m *Memory) check(data []byte) error {
	if len(data) > memoryPayload {
		return ErrTooLarge
	}
	if m.isClosed() {
		return ErrClosed
	}
	return nil
}

func (m *Memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

func (m *Memory) request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if m.isClosed() {
		return nil, ErrClosed
	}
	inbox, answer := m.requests.open()
	defer m.requests.close(inbox)
	if !m.deliver(subject, inbox, data, everyone) {
		return nil, ErrNoResponders
	}
	select {
	case data := <-answer:
		return data, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-m.closed:
		return nil, ErrClosed
	}
}

// audience is the subscriptions that a message is for.
type audience bool

const (
	everyone  audience = true  // plain ones, and one member of each queue group
	plainOnly audience = false // not the queue groups
)

// deliver hands each subscription of subject its own copy and reports whether there is any.
func (m *Memory) deliver(subject, reply string, data []byte, to audience) bool {
	r := m.routes.find(subject)
	for _, s := range r.plain {
		s.receiver.put(s, Msg{Subject: subject, Reply: reply, Data: bytes.Clone(data)})
	}
	if to == everyone {
		for _, g := range r.groups {
			s := g.pick()
			s.receiver.put(s, Msg{Subject: subject, Reply: reply, Data: bytes.Clone(data)})
		}
	}
	return len(r.plain)+len(r.groups) > 0
}
