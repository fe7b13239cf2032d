package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Stream is one stream of bytes in each direction; a net.Conn. One goroutine may read and another one write at a time, and
// any may close it, reset it or set deadlines. While it is idle it has no buffer and no goroutine.
type Stream struct {
	mux  *Mux
	key  key
	peer mesh.Address
	link *link.Link
	done chan struct{} // closed when the stream has ended, but by both sides having sent all

	readable, writable chan struct{} // capacity 1: something has changed for the reader, the writer

	writing sync.Mutex // held while something is sent; taken before mu

	mu         sync.Mutex
	in         [][]byte  // guarded by mu, as all below: received, not read
	inBytes    int       // of in
	owed       int       // bytes read and not credited to the peer yet
	credit     int       // bytes that may be sent
	gotEnd     bool      // the peer has sent all
	sentEnd    bool      // we have
	err        error     // the stream has ended
	stopped    error     // the peer takes no more, but what it has sent may be read
	readUntil  time.Time // deadlines
	writeUntil time.Time
}

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
	return errors.Join(s.err, s.stopped)
}

// Read implements io.Reader: it waits for bytes, and returns io.EOF behind the peer's last.
func (s *Stream) Read(p []byte) (int, error) {
	for {
		n, credit, until, err := s.take(p)
		if credit > 0 {
			s.sendCredit(credit)
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		if err := wait(s.readable, until); err != nil {
			return 0, err
		}
	}
}

// take reads what is there, and returns how much credit is to be given for it, or until when to wait.
func (s *Stream) take(p []byte) (n, credit int, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, 0, until, s.err
	case past(s.readUntil):
		return 0, 0, until, os.ErrDeadlineExceeded
	}
	for n < len(p) && len(s.in) > 0 {
		copied := copy(p[n:], s.in[0])
		n += copied
		if s.in[0] = s.in[0][copied:]; len(s.in[0]) == 0 {
			s.in[0] = nil
			if s.in = s.in[1:]; len(s.in) == 0 {
				s.in = nil
			}
		}
	}
	s.inBytes -= n
	if !s.gotEnd {
		if s.owed += n; s.owed >= s.mux.cfg.Window/2 {
			credit, s.owed = s.owed, 0
		}
	}
	switch {
	case n > 0:
		return n, credit, until, nil
	case s.gotEnd:
		return 0, 0, until, io.EOF
	case s.stopped != nil:
		return 0, 0, until, s.stopped
	}
	return 0, 0, s.readUntil, nil
}

func (s *Stream) sendCredit(n int) {
	body := binary.AppendUvarint(s.key.name(), uint64(n)) //nolint:gosec // positive
	s.sendControl(&wire.Record{Kind: wire.KindStreamCredit, Flags: wire.FlagControl, Body: body})
}

// sendControl sends a record that needs no room; an error is a broken link, whose streams have ended.
func (s *Stream) sendControl(r *wire.Record) {
	if _, err := s.link.Append(r); err == nil {
		s.link.Flush()
	}
}

// Write implements io.Writer: it waits for the peer to have room, and for the link to have.
func (s *Stream) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(p, false)
}

// WriteLast is Write and CloseWrite in one.
func (s *Stream) WriteLast(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.write(p, true)
}

// CloseWrite tells the peer that it has got all. It does not wait.
func (s *Stream) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.write(nil, true)
	return err
}

// write sends p in pieces; writing is held.
func (s *Stream) write(p []byte, last bool) (sent int, err error) {
	if len(p) == 0 && !last {
		return 0, s.Err()
	}
	for {
		n, until, err := s.claim(len(p)-sent, last)
		if err != nil {
			return sent, err
		}
		if n == 0 && len(p) > sent {
			if err := wait(s.writable, until); err != nil {
				return sent, err
			}
			continue
		}
		r := wire.Record{Kind: wire.KindStreamData, Body: append(s.key.name(), p[sent:sent+n]...)}
		sent += n
		if last && sent == len(p) {
			r.Flags |= wire.FlagClose
		}
		if n == 0 { // the bare end
			r.Flags |= wire.FlagControl
		}
		if err := s.send(&r, until); err != nil {
			return sent - n, err
		}
		if sent == len(p) {
			return sent, nil
		}
	}
}

// claim takes credit for up to n bytes. If those are the last, nothing can be sent behind them.
func (s *Stream) claim(n int, last bool) (claimed int, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, until, s.err
	case s.stopped != nil:
		return 0, until, s.stopped
	case s.sentEnd:
		return 0, until, ErrClosed
	case past(s.writeUntil):
		return 0, until, os.ErrDeadlineExceeded
	}
	claimed = min(n, s.credit, s.mux.cfg.Chunk)
	s.credit -= claimed
	if last && claimed == n {
		s.sentEnd = true
		if s.gotEnd {
			defer s.mux.remove(s)
		}
	}
	return claimed, s.writeUntil, nil
}

// send puts a record on the link, waiting for room.
func (s *Stream) send(r *wire.Record, until time.Time) error {
	_, err := s.link.Append(r)
	if errors.Is(err, link.ErrFull) {
		ctx, cancel := context.Background(), func() {}
		if !until.IsZero() {
			ctx, cancel = context.WithDeadline(ctx, until)
		}
		_, err = s.link.AppendWait(ctx, r)
		cancel()
	}
	switch {
	case err == nil:
		s.link.Flush()
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return fmt.Errorf("%w: %w", ErrPeerLost, err)
}

// Close ends the stream at this end. The peer may read what was sent before, and cannot send any more.
func (s *Stream) Close() error {
	s.mu.Lock()
	done, peerDone := s.err != nil, s.gotEnd
	half := !s.sentEnd && s.stopped == nil
	s.sentEnd = true
	s.mu.Unlock()
	if done {
		return nil
	}
	if half {
		s.sendControl(&wire.Record{
			Kind: wire.KindStreamData, Flags: wire.FlagControl | wire.FlagClose, Body: s.key.name(),
		})
	}
	if !peerDone {
		s.sendControl(resetRecord(s.key, reasonClosed))
	}
	s.mux.remove(s)
	s.end(ErrClosed)
	return nil
}

// Reset ends the stream for both ends; what the peer has not read is lost. It may be called on the reader goroutine.
func (s *Stream) Reset(reason string) {
	s.mu.Lock()
	over := s.err != nil || s.gotEnd && s.sentEnd
	s.mu.Unlock()
	if !over {
		s.sendControl(resetRecord(s.key, reason))
	}
	s.mux.remove(s)
	s.end(ErrClosed)
}

// end ends the stream at this end alone.
func (s *Stream) end(err error) {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
		s.in, s.inBytes = nil, 0
		if s.stopped == nil {
			close(s.done)
		}
	}
	s.mu.Unlock()
	wake(s.readable)
	wake(s.writable)
}

// reset takes the peer's word that it has no use for the stream.
func (s *Stream) reset(reason string) {
	if reason != reasonClosed {
		s.end(fmt.Errorf("%w: %.64s", ErrReset, reason))
		return
	}
	s.mu.Lock()
	if s.err == nil && s.stopped == nil {
		s.stopped = fmt.Errorf("%w: %s", ErrReset, reason)
		close(s.done)
	}
	s.mu.Unlock()
	wake(s.readable)
	wake(s.writable)
}

// receive takes bytes of the peer; false if they are more than there is room for.
func (s *Stream) receive(b []byte, last bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.gotEnd {
		return s.err != nil || len(b) == 0
	}
	if s.inBytes+s.owed+len(b) > s.mux.cfg.Window {
		return false
	}
	if len(b) > 0 {
		s.in = append(s.in, append([]byte(nil), b...))
		s.inBytes += len(b)
	}
	if s.gotEnd = last; last && s.sentEnd {
		defer s.mux.remove(s)
	}
	wake(s.readable)
	return true
}

// grant takes credit from the peer.
func (s *Stream) grant(n int) {
	s.mu.Lock()
	s.credit = min(s.credit+n, s.mux.cfg.Window)
	s.mu.Unlock()
	wake(s.writable)
}

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn; it wakes a Read that waits.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.readUntil = t
	s.mu.Unlock()
	wake(s.readable)
	return nil
}

// SetWriteDeadline implements net.Conn; it wakes a Write that waits for credit.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	s.writeUntil = t
	s.mu.Unlock()
	wake(s.writable)
	return nil
}

// LocalAddr implements net.Conn.
func (s *Stream) LocalAddr() net.Addr { return addr{s.mux.links.Self()} }

// RemoteAddr implements net.Conn.
func (s *Stream) RemoteAddr() net.Addr { return addr{s.peer} }

// addr is the address of an instance as net.Addr.
type addr struct{ mesh.Address }

func (addr) Network() string  { return "siomesh" }
func (a addr) String() string { return string(a.Kind) + "/" + a.Instance.String() }

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// wait waits for a change, until a time that is not zero.
func wait(change <-chan struct{}, until time.Time) error {
	if until.IsZero() {
		<-change // every end of the stream is one
		return nil
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-change:
		return nil
	case <-timer.C:
		return os.ErrDeadlineExceeded
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
