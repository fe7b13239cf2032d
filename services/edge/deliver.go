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
	if r.Flags&wire.FlagLocal != 0 {
		s.recipients = slices.DeleteFunc(s.recipients, func(sk *socket) bool { return !sk.ownedBy(r) })
	}
	for _, sk := range s.recipients {
		if sk.watched.Load() {
			sk.copy(&s.batch, body)
		}
	}
	if r.Flags&wire.FlagVolatile == 0 {
		s.keepLast(out)
	} else {
		for _, sk := range s.recipients {
			s.deliver(sk.conn, r.Flags, out)
		}
	}
	clear(s.recipients)
	return nil
}

// last is a broadcast that waits for what follows it in its frame, since a client that gets nothing else is visited once only:
//
//	a broadcast, then ── an operation on one socket ──► queued for that client, ahead of what the operation does
//	                  ├─ another for many ───────────► queued for all
//	                  └─ the end of the frame ───────► sent to all
type last struct {
	kind      protocol.Type
	messages  []*engine.Message
	to        []*conn // nil for those that have it
	followers int     // operations on one socket since then
}

// maxFollowers is how many operations on one socket each may follow a broadcast in a frame, before it is queued for all: each
// looks for its client among the recipients.
const maxFollowers = 8

// keepLast keeps a broadcast to s.recipients.
func (s *Service) keepLast(out outgoing) {
	s.last.kind, s.last.messages = out.kind, append(s.last.messages, out.messages...)
	for _, sk := range s.recipients {
		s.last.to = append(s.last.to, sk.conn)
	}
}

// queueLast queues the last broadcast for all who are to have it.
func (s *Service) queueLast() {
	for _, c := range s.last.to {
		if c != nil {
			s.queue(c, s.last.kind, s.last.messages...)
		}
	}
	s.forgetLast()
}

// queueLastFor queues the last broadcast for one client if that is to have it.
func (s *Service) queueLastFor(c *conn) {
	if len(s.last.to) == 0 {
		return
	}
	if s.last.followers++; s.last.followers > maxFollowers {
		s.queueLast()
		return
	}
	if i := slices.Index(s.last.to, c); i >= 0 {
		s.queue(c, s.last.kind, s.last.messages...)
		s.last.to[i] = nil
	}
}

// sendLast sends the last broadcast, behind what is queued for its recipients.
func (s *Service) sendLast() {
	for i, c := range s.last.to {
		if c != nil && c.dirty {
			s.queue(c, s.last.kind, s.last.messages...)
			s.last.to[i] = nil
		}
	}
	sent := uint64(0)
	for _, c := range s.last.to {
		if c != nil && c.session.Send(s.last.messages...) == nil {
			sent++
		}
	}
	s.cfg.Metrics.packetOut(s.last.kind, sent)
	s.forgetLast()
}

func (s *Service) forgetLast() {
	clear(s.last.messages)
	clear(s.last.to)
	s.last = last{messages: s.last.messages[:0], to: s.last.to[:0]}
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
