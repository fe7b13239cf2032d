package tunnel

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Stream is one stream of bytes in each direction; a net.Conn. One goroutine may read and another one write at a time, and
// any may close it, reset it or set deadlines. While it is idle it has no buffer, no timer and no goroutine.
type Stream struct {
	mux  *Mux
	key  key
	peer mesh.Address
	link *link.Link
	done chan struct{} // closed when the stream has ended, but by both sides having sent all

	readable, writable chan struct{} // capacity 1: something has changed for the reader, the writer

	writing sync.Mutex // held by the one who writes; taken before mu

	mu         sync.Mutex
	in         buffer             // guarded by mu, as all below: received, not read
	owed       int                // bytes read and not credited to the peer yet
	credit     int                // bytes that may be sent
	gotEnd     bool               // the peer has sent all
	sentEnd    bool               // we have
	unsent     bool               // a Write has not sent all of its bytes
	err        error              // the stream has ended
	stopped    error              // the peer takes no more, but what it has sent may be read
	interrupt  context.CancelFunc // ends the writer's wait for room on the link; nil if it does not wait
	readUntil  time.Time          // deadlines
	writeUntil time.Time
}

var _ net.Conn = (*Stream)(nil)

func newStream(m *Mux, k key, peer mesh.Address, l *link.Link) *Stream {
	return &Stream{
		mux: m, key: k, peer: peer, link: l, credit: m.cfg.Window, done: make(chan struct{}),
		readable: make(chan struct{}, 1), writable: make(chan struct{}, 1),
	}
}

// Done is closed when the stream has ended by Close, by a reset, or with its peer; not when both sides have sent all.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err says why the stream has ended: ErrClosed, ErrReset or ErrPeerLost; nil while it has not.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.stopped
}

// Close ends the stream at this end. The peer may read what was sent before, and cannot send any more. If a Write has not
// sent all of its bytes, Close is a Reset: half of something must not look like all of it. It never waits.
func (s *Stream) Close() error {
	s.finish(true, reasonCut)
	return nil
}

// Reset ends the stream for both ends; what the peer has not read is lost, unless both have sent all. The reason, plain text
// of at most 64 bytes, is in the peer's error. It never waits, and may be called on the reader goroutine.
func (s *Stream) Reset(reason string) { s.finish(false, reason) }

// finish ends the stream and tells the peer: kindly, if it may be, else by a reset. Nothing is sent behind that.
func (s *Stream) finish(kindly bool, reason string) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	r := s.farewell(kindly, reason)
	s.endLocked(ErrClosed)
	if r != nil {
		_, _ = s.link.Append(r) // an error is a broken link, whose peer hears it by other ways
	}
	s.mu.Unlock()
	if r != nil {
		s.link.Flush()
	}
	s.mux.remove(s)
}

// farewell is what the peer is told, nil if it needs nothing; mu is held.
func (s *Stream) farewell(kindly bool, reason string) *wire.Record {
	switch {
	case s.stopped != nil || s.gotEnd && s.sentEnd:
		return nil
	case !kindly || s.unsent:
		return resetRecord(s.key, reason)
	case s.gotEnd:
		return endRecord(s.key)
	default:
		return closeRecord(s.key)
	}
}

// sendControl sends a record that needs no room; an error is a broken link, whose streams end.
func (s *Stream) sendControl(r *wire.Record) {
	if _, err := s.link.Append(r); err == nil {
		s.link.Flush()
	}
}

// end ends the stream at this end alone.
func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(err)
}

func (s *Stream) endLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	s.in = buffer{}
	if s.stopped == nil {
		close(s.done)
	}
	wake(s.readable)
	s.wakeWriter()
}

// reset takes the peer's word that it has no use for the stream; closed says that what it has sent may be read.
func (s *Stream) reset(reason string, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := fmt.Errorf("%w: %.64q", ErrReset, reason)
	if !closed {
		s.endLocked(err)
		return
	}
	if s.err == nil && s.stopped == nil {
		s.stopped, s.gotEnd = err, true
		close(s.done)
		wake(s.readable)
		s.wakeWriter()
	}
}

// receive takes bytes of the peer. It returns why they cannot be taken, else an empty string.
func (s *Stream) receive(b []byte, last bool) (refusal string) {
	s.mu.Lock()
	over := false
	switch {
	case s.err != nil || s.gotEnd && len(b) == 0:
	case s.gotEnd:
		refusal = reasonBehind
	case len(b) > s.mux.cfg.Window-s.in.size-s.owed:
		refusal = reasonWindow
	default:
		s.in.add(b)
		s.gotEnd = last
		over = last && s.sentEnd
		wake(s.readable)
	}
	s.mu.Unlock()
	if over {
		s.mux.remove(s)
	}
	return refusal
}

// grant takes credit from the peer; false if it is more than was used.
func (s *Stream) grant(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.mux.cfg.Window-s.credit {
		return false
	}
	s.credit += n
	wake(s.writable)
	return true
}

// wakeWriter has the writer look again, wherever it waits; mu is held.
func (s *Stream) wakeWriter() {
	wake(s.writable)
	if s.interrupt != nil {
		s.interrupt()
	}
}

// LocalAddr implements net.Conn.
func (s *Stream) LocalAddr() net.Addr { return addr{s.mux.links.Self()} }

// RemoteAddr implements net.Conn.
func (s *Stream) RemoteAddr() net.Addr { return addr{s.peer} }

// addr is the address of an instance as net.Addr.
type addr struct{ mesh.Address }

func (addr) Network() string  { return "siomesh" }
func (a addr) String() string { return string(a.Kind) + "/" + a.Instance.String() }
