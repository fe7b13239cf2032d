package edge

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"unsafe"

	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// broadcast sends an event to the sockets it selects: encoded once, the bytes shared (BRO-019).
func (s *Service) broadcast(r *wire.Record) error {
	rooms, except, body, err := wire.ReadSelector(r.Body)
	if err != nil {
		return fmt.Errorf("broadcast: %w", err) // rooms has read it too
	}
	p, err := s.packet(body)
	if err != nil {
		s.ignored(r, err)
		return nil
	}
	s.recipients = s.index.selection(s.recipients[:0], r.Namespace, rooms, except)
	if len(s.recipients) == 0 {
		return nil
	}
	out, err := s.outgoing(protocol.Event, r.Flags, r.Namespace, nil, p)
	if err != nil {
		s.ignored(r, err)
		clear(s.recipients)
		return nil
	}
	if len(s.recipients) >= manyRecipients {
		slices.SortFunc(s.recipients, inMemory)
	}
	for _, sk := range s.recipients {
		if r.Flags&wire.FlagLocal != 0 && !sk.ownedBy(r) {
			continue
		}
		s.deliver(sk.conn, r.Flags, out)
		if sk.watched.Load() {
			sk.copy(&s.batch, body)
		}
	}
	clear(s.recipients)
	return nil
}

// ignored counts an operation that an app made unreadable, and says which.
func (s *Service) ignored(r *wire.Record, err error) {
	s.cfg.Metrics.unreadable()
	s.log.Debug("operation ignored", slog.String("instance", r.Origin.String()), slog.Any("err", err))
}

// manyRecipients are as many as do not fit the processor's caches with all that belongs to them. From there on the order
// in which they are visited counts: connections that were made one after the other lie beside each other.
const manyRecipients = 256

// inMemory orders sockets as they lie in memory.
func inMemory(a, b *socket) int {
	return cmp.Compare(uintptr(unsafe.Pointer(a)), uintptr(unsafe.Pointer(b)))
}

// deliver queues a packet, or if it is volatile sends it or drops it at once.
func (s *Service) deliver(c *conn, flags wire.Flags, out outgoing) {
	switch {
	case flags&wire.FlagVolatile == 0:
		s.queue(c, out.kind, out.messages...)
	case c.session.SendVolatile(out.messages...):
		s.cfg.Metrics.packetOut(out.kind, 1)
	default:
		s.cfg.Metrics.volatileDropped()
	}
}

// queue puts a packet behind what the client is to receive; EndFrame writes it. A client that is gone or too slow is closed
// by the engine and ends as a closed session.
func (s *Service) queue(c *conn, t protocol.Type, messages ...*engine.Message) {
	if err := c.session.Queue(messages...); err != nil {
		return
	}
	s.cfg.Metrics.packetOut(t, 1)
	if !c.dirty {
		c.dirty = true
		s.unflushed = append(s.unflushed, c)
	}
}
