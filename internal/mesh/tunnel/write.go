package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Write implements io.Writer: it waits for the peer to have room, and for the link to have.
func (s *Stream) Write(p []byte) (int, error) { return s.write(p, false) }

// WriteLast is Write and CloseWrite in one: in one record, if p fits one.
func (s *Stream) WriteLast(p []byte) (int, error) { return s.write(p, true) }

// CloseWrite tells the peer that it has got all, once. It waits for a Write under way only.
func (s *Stream) CloseWrite() error {
	s.mu.Lock()
	told := s.sentEnd && s.err == nil
	s.mu.Unlock()
	if told {
		return nil
	}
	_, err := s.write(nil, true)
	return err
}

// write sends p in pieces, and the end with the last one.
func (s *Stream) write(p []byte, last bool) (sent int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if len(p) == 0 && !last {
		return 0, s.Err()
	}
	body := s.mux.body()
	defer s.mux.free(body)
	for {
		n, err := s.waitCredit(len(p) - sent)
		if err != nil {
			return sent, err
		}
		w := piece{size: n, whole: sent+n == len(p)}
		w.end = w.whole && last
		*body = append(s.key.appendName((*body)[:0]), p[sent:sent+n]...)
		if err := s.send(w, *body); err != nil {
			return sent, err
		}
		if sent += n; w.whole {
			return sent, nil
		}
	}
}

// waitCredit waits until something of n bytes may be sent, and returns how much.
func (s *Stream) waitCredit(n int) (int, error) {
	for {
		s.mu.Lock()
		err := s.unwritable()
		room, until := min(n, s.credit, s.mux.cfg.Chunk), s.writeUntil
		s.unsent = s.unsent || n > 0 && err == nil
		s.mu.Unlock()
		if err != nil || room > 0 || n == 0 {
			return room, err
		}
		wait(s.writable, until)
	}
}

// unwritable says why nothing can be sent; mu is held.
func (s *Stream) unwritable() error {
	switch {
	case s.err != nil:
		return s.err
	case s.stopped != nil:
		return s.stopped
	case s.sentEnd:
		return fmt.Errorf("write behind the end: %w", ErrClosed)
	case past(s.writeUntil):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// piece is what one record carries of a Write.
type piece struct {
	size  int
	whole bool // nothing of the Write remains
	end   bool // nothing of the stream
}

// send puts a piece on the link, waiting for room.
func (s *Stream) send(w piece, body []byte) error {
	r := wire.Record{Kind: wire.KindStreamData, Body: body}
	if w.end {
		r.Flags |= wire.FlagClose
	}
	if w.size == 0 { // the bare end needs no room
		r.Flags |= wire.FlagControl
	}
	for {
		ctx, over, err := s.put(&r, w)
		if ctx != nil {
			_, err = s.link.AppendWait(ctx, &r)
			var again bool
			if again, over, err = s.waited(w, err); again {
				continue
			}
		}
		if err != nil {
			return err
		}
		s.link.Flush()
		if over {
			s.mux.remove(s)
		}
		return nil
	}
}

// put appends a record to the link if the stream still takes it. If the link has no room, it returns a context for the wait,
// which every change of the stream ends; the piece's credit is taken in any case.
func (s *Stream) put(r *wire.Record, w piece) (ctx context.Context, over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unwritable(); err != nil {
		return nil, false, err
	}
	switch _, err := s.link.Append(r); {
	case err == nil:
		s.credit -= w.size
		return nil, s.sent(w), nil
	case !errors.Is(err, link.ErrFull):
		return nil, false, fmt.Errorf("%w: %w", ErrPeerLost, err)
	}
	s.credit -= w.size
	ctx, s.interrupt = deadline(s.writeUntil)
	return ctx, false, nil
}

// waited takes the outcome of a wait for room; again says that it has only been interrupted.
func (s *Stream) waited(w piece, err error) (again, over bool, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interrupt()
	s.interrupt = nil
	switch {
	case err == nil && s.err == nil:
		return false, s.sent(w), nil
	case err == nil: // it ended meanwhile: what it has sent counts for nothing
		return false, false, s.err
	}
	s.credit += w.size
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true, false, nil
	}
	return false, false, fmt.Errorf("%w: %w", ErrPeerLost, err)
}

// sent notes that a piece is on the link, and reports whether that was the last of both directions; mu is held.
func (s *Stream) sent(w piece) (over bool) {
	if w.whole {
		s.unsent = false
	}
	s.sentEnd = w.end
	return w.end && s.gotEnd
}

// deadline returns a context that ends at a time, if that is not zero, or when it is cancelled.
func deadline(t time.Time) (context.Context, context.CancelFunc) {
	if t.IsZero() {
		return context.WithCancel(context.Background())
	}
	return context.WithDeadline(context.Background(), t)
}

// SetWriteDeadline implements net.Conn; it wakes a Write that waits.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeUntil = t
	s.wakeWriter()
	return nil
}
