package tunnel

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus/bustest"
	"github.com/siomesh/siomesh/internal/mesh/link"
)

// endings are what wakes whoever waits on a stream, and what it gets.
var endings = []struct {
	name  string
	do    func(a, b *end, ours, theirs *Stream)
	read  error
	write error
}{
	{"half-close", func(_, _ *end, _, theirs *Stream) { _ = theirs.CloseWrite() }, io.EOF, nil},
	{"peer closes", func(_, _ *end, _, theirs *Stream) { _ = theirs.Close() }, io.EOF, ErrReset},
	{"peer resets", func(_, _ *end, _, theirs *Stream) { theirs.Reset("enough") }, ErrReset, ErrReset},
	{"close", func(_, _ *end, ours, _ *Stream) { _ = ours.Close() }, ErrClosed, ErrClosed},
	{"reset", func(_, _ *end, ours, _ *Stream) { ours.Reset("enough") }, ErrClosed, ErrClosed},
	{"mux closes", func(a, _ *end, _, _ *Stream) { a.mux.Close() }, ErrClosed, ErrClosed},
	{"peer's mux closes", func(_, b *end, _, _ *Stream) { b.mux.Close() }, ErrReset, ErrReset},
	{"peer dies", func(a, b *end, _, _ *Stream) { a.mux.Drop(b.self.Instance) }, ErrPeerLost, ErrPeerLost},
	{"peer's link begins again", func(a, b *end, _, _ *Stream) {
		a.links.Do(func() { a.mux.Opened(b.self); a.mux.Opened(b.self) })
	}, ErrPeerLost, ErrPeerLost},
	{"deadline", func(_, _ *end, ours, _ *Stream) {
		_ = ours.SetDeadline(time.Now().Add(time.Second))
	}, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
}

// A Read without bytes and a Write without credit wait, and every end of the stream wakes them.
func TestWaitersWake(t *testing.T) {
	for _, tc := range endings {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := newPair(t, Config{Window: 4})
				ours, theirs := open(t, a, b, "")
				read, written := make(chan error, 1), make(chan error, 1)
				go func() { // ends with the stream
					_, err := ours.Read(make([]byte, 1))
					read <- err
				}()
				go func() { // ends with the stream
					_, err := ours.Write(make([]byte, 10))
					written <- err
				}()
				synctest.Wait()
				if len(read)+len(written) > 0 {
					t.Fatal("somebody did not wait")
				}
				tc.do(a, b, ours, theirs)
				if err := get(t, read); !errors.Is(err, tc.read) {
					t.Errorf("read: got %v, want %v", err, tc.read)
				}
				if tc.write == nil {
					ours.Reset("over")
					tc.write = ErrClosed
				}
				if err := get(t, written); !errors.Is(err, tc.write) {
					t.Errorf("write: got %v, want %v", err, tc.write)
				}
			})
		})
	}
}

// newStill returns two ends on a network that delivers when the test says so, and a link with room for few records.
func newStill(t *testing.T, records int) (n *bustest.Network, a, b *end) {
	t.Helper()
	n = bustest.NewNetwork(1, bustest.Faults{})
	t.Cleanup(n.Close)
	links := link.Config{WindowRecords: records}
	return n, newEndOn(t, n.Process("a"), Config{}, links), newEndOn(t, n.Process("b"), Config{}, links)
}

// A Write that waits for room on the link is woken likewise, sends nothing then, and can go on after a deadline.
func TestWriterWaitsForTheLink(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(a *end, s *Stream)
		want error
	}{
		{"close", func(_ *end, s *Stream) { _ = s.Close() }, ErrClosed},
		{"reset", func(_ *end, s *Stream) { s.Reset("enough") }, ErrClosed},
		{"mux closes", func(a *end, _ *Stream) { a.mux.Close() }, ErrClosed},
		{"deadline", func(_ *end, s *Stream) { _ = s.SetWriteDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded},
		{"room", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, a, b := newStill(t, 2)
				s, err := a.mux.Open(t.Context(), b.self, nil, false)
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, "first ")
				written := make(chan error, 1)
				go func() { // ends with tc.do
					_, err := s.Write([]byte("second"))
					written <- err
				}()
				synctest.Wait()
				if len(written) > 0 {
					t.Fatal("it did not wait")
				}
				if tc.do != nil {
					tc.do(a, s)
					if err := get(t, written); !errors.Is(err, tc.want) {
						t.Errorf("got %v, want %v", err, tc.want)
					}
				}
				for n.Settle(); len(b.accepted) == 0; n.Settle() {
					<-time.After(10 * time.Millisecond)
				}
				theirs := get(t, b.accepted)
				switch {
				case tc.want == nil:
					for len(written) == 0 {
						n.Settle()
						<-time.After(10 * time.Millisecond)
					}
					n.Settle()
					wantRead(t, theirs, "first second")
				case errors.Is(tc.want, os.ErrDeadlineExceeded):
					_ = s.SetWriteDeadline(time.Time{})
					_ = s.Close() // of half of what was to be written
					fallthrough
				default:
					n.Settle()
					if _, err := io.ReadAll(theirs); !errors.Is(err, ErrReset) {
						t.Errorf("the peer read to %v, want a reset", err)
					}
				}
				a.mux.Close()
			})
		})
	}
}

// An Open that finds no room waits as long as its context.
func TestOpenWaitsForTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := newStill(t, 1)
		if _, err := a.mux.Open(t.Context(), b.self, nil, false); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.mux.Open(ctx, b.self, nil, false); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
		if n := a.mux.cfg.Metrics.Open.Load(); n != 1 {
			t.Errorf("%d streams, want 1", n)
		}
	})
}
