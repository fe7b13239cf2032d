package engine

import (
	"errors"
	"fmt"
)

// Send queues messages and flushes. They stay together and in order, all or none of
// them is accepted. The errors are those of Queue.
func (s *Session) Send(msgs ...*Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.websocket && s.opened && s.state == stateOpen && len(s.out) == 0 && s.observer == nil {
		return s.passLocked(msgs)
	}
	if err := s.queueLocked(msgs); err != nil {
		return err
	}
	return s.flushLocked()
}

// passLocked queues and flushes messages of an open session on WebSocket that has nothing else queued, and no observer: the
// shortest way, which a broadcast goes once for each recipient.
func (s *Session) passLocked(msgs []*Message) error {
	err := s.conn.sendWithin(msgs, s.srv.cfg.MaxOutboundBytes)
	if errors.Is(err, ErrSlow) {
		s.closeLocked(SlowClient, ErrSlow, endNow)
		return ErrSlow
	}
	for _, m := range msgs {
		s.srv.cfg.Metrics.packetOut(m)
	}
	if err != nil {
		s.closeLocked(TransportError, err, endNow)
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}

// SendVolatile sends the messages, all or none, if the transport can take them right now,
// and returns whether it did: not when the kernel has refused bytes of this client, nor on
// polling when no GET waits. Messages queued but not flushed do not count against it, as
// long as Config.MaxOutboundBytes holds them all: what is volatile is dropped before a client
// is too slow.
func (s *Session) SendVolatile(msgs ...*Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return false
	}
	if s.websocket {
		if !s.conn.writable() {
			return false
		}
	} else if s.poll == nil {
		return false
	}
	return s.fitsLocked(sizeOf(msgs)) && s.queueLocked(msgs) == nil && s.flushLocked() == nil
}

// Queue accepts messages, all or none, without sending them: Flush does that, or the next
// Send, whichever comes first, or a Queue for which there is no room otherwise. It returns
// ErrClosed when the session is closing or closed. When the messages do not fit into
// Config.MaxOutboundBytes with what the transport has not taken, the client is too slow: the
// session is closed with SlowClient and ErrSlow returned.
func (s *Session) Queue(msgs ...*Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queueLocked(msgs)
}

// Flush hands what is queued to the transport, in one write if it can.
func (s *Session) Flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.flushLocked() // an error has closed the session, of which its handler is told
}

func (s *Session) queueLocked(msgs []*Message) error {
	if s.state >= stateClosing {
		return ErrClosed
	}
	n := sizeOf(msgs)
	if !s.fitsLocked(n) {
		if err := s.flushLocked(); err != nil { // what is queued may not wait for the client, but for Flush
			return err
		}
		if !s.fitsLocked(n) {
			s.closeLocked(SlowClient, ErrSlow, endNow)
			return ErrSlow
		}
	}
	s.observer.created(msgs)
	s.out = append(s.out, msgs...)
	s.outBytes += n
	for _, m := range msgs {
		s.srv.cfg.Metrics.packetOut(m)
	}
	return nil
}

// fitsLocked reports whether n bytes more may wait.
func (s *Session) fitsLocked(n int) bool {
	waiting := s.outBytes
	if s.conn != nil {
		waiting += s.conn.pending()
	}
	return waiting == 0 || int64(waiting+n) <= s.srv.cfg.MaxOutboundBytes
}

// flushLocked hands the queue to the transport if it takes it: all of it to a WebSocket,
// or as one payload to the GET that waits.
func (s *Session) flushLocked() error {
	if !s.opened || len(s.out) == 0 || s.state == stateClosed {
		return nil
	}
	if s.websocket {
		s.observer.flushed(s.out)
		err := s.conn.send(s.out)
		s.clearOutLocked()
		if err != nil {
			s.closeLocked(TransportError, err, endNow)
			return fmt.Errorf("%w: %w", ErrClosed, err)
		}
		if s.observer != nil {
			s.sentLocked()
		}
		return nil
	}
	if s.poll != nil {
		s.observer.flushed(s.out)
		s.answerPollLocked(s.takeOutLocked()...)
	}
	return nil
}

// clearOutLocked empties the queue and keeps its memory if that is little.
func (s *Session) clearOutLocked() {
	if cap(s.out) > 4 {
		s.out = nil
	} else {
		clear(s.out)
		s.out = s.out[:0]
	}
	s.outBytes = 0
}

// takeOutLocked empties the queue and returns what it held.
func (s *Session) takeOutLocked() []*Message {
	out := s.out
	s.out, s.outBytes = nil, 0
	return out
}
