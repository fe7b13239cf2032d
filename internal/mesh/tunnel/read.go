package tunnel

import (
	"io"
	"os"
	"time"
)

// Read implements io.Reader: it waits for bytes, and returns io.EOF behind the peer's last.
func (s *Stream) Read(p []byte) (int, error) {
	for {
		n, credit, until, err := s.take(p)
		if credit > 0 {
			s.sendControl(creditRecord(s.key, credit))
		}
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		wait(s.readable, until)
	}
}

// take reads what is there, and returns how much credit is to be given for it, or until when to wait. Credit is given for half
// a window at a time: what is owed is less, so that a writer whose reader has read all has the other half.
func (s *Stream) take(p []byte) (n, credit int, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, 0, until, s.err
	case past(s.readUntil):
		return 0, 0, until, os.ErrDeadlineExceeded
	}
	n = s.in.read(p)
	if !s.gotEnd {
		if s.owed += n; s.owed > 0 && s.owed >= s.mux.cfg.Window/2 {
			credit, s.owed = s.owed, 0
		}
	}
	if n == 0 && s.gotEnd && s.in.size == 0 {
		return 0, 0, until, io.EOF
	}
	return n, credit, s.readUntil, nil
}

// SetReadDeadline implements net.Conn; it wakes a Read that waits.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readUntil = t
	wake(s.readable)
	return nil
}

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readUntil, s.writeUntil = t, t
	wake(s.readable)
	s.wakeWriter()
	return nil
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

// wait waits for a change - every end of a stream is one - or until a time that is not zero.
func wait(change <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-change
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-change:
	case <-timer.C:
	}
}

// wake makes the one who waits at a channel with room for one look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
