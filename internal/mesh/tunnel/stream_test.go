package tunnel

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestDeadlines(t *testing.T) {
	a, b := newPair(t, Config{Window: 16})
	ours, theirs := open(t, a, b, "")
	if err := ours.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	_ = ours.SetReadDeadline(time.Time{})
	write(t, theirs, "later")
	wantRead(t, ours, "later")
	read := make(chan error, 1)
	go func() { // ends with the deadline
		_, err := ours.Read(make([]byte, 1))
		read <- err
	}()
	_ = ours.SetReadDeadline(time.Unix(1, 0)) // wakes it, or is there before it
	if err := get(t, read); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want a timeout", err)
	}
	type result struct {
		n   int
		err error
	}
	wrote := make(chan result, 1)
	go func() { // ends with the deadline
		n, err := ours.Write(make([]byte, 20))
		wrote <- result{n, err}
	}()
	eventually(t, "a full window", func() bool {
		theirs.mu.Lock()
		defer theirs.mu.Unlock()
		return theirs.in.size == 16
	})
	_ = ours.SetWriteDeadline(time.Unix(1, 0))
	if got := get(t, wrote); got.n != 16 || !errors.Is(got.err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d, %v, want 16 and a timeout", got.n, got.err)
	}
}

// Close lets the peer read what was sent, and stops it from sending.
func TestClose(t *testing.T) {
	a, b := newPair(t, Config{})
	ours, theirs := open(t, a, b, "")
	write(t, theirs, "sent before")
	_ = theirs.Close()
	get(t, ours.Done())
	if got, err := io.ReadAll(ours); err != nil || string(got) != "sent before" {
		t.Errorf("got %q (%v)", got, err)
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, ErrReset) {
		t.Errorf("write after the peer's close: %v", err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	_ = ours.Close()
	_ = ours.Close()
	if n := a.mux.cfg.Metrics.Open.Load() + b.mux.cfg.Metrics.Open.Load(); n != 0 {
		t.Errorf("%d ends left", n)
	}
}

func TestReset(t *testing.T) {
	a, b := newPair(t, Config{Window: 4})
	ours, theirs := open(t, a, b, "")
	blocked := make(chan error, 2)
	go func() { // ends with the reset
		_, err := theirs.Read(make([]byte, 1))
		blocked <- err
	}()
	go func() { // ends with the reset
		_, err := theirs.Write([]byte("more than the window"))
		blocked <- err
	}()
	eventually(t, "a full window", func() bool {
		ours.mu.Lock()
		defer ours.mu.Unlock()
		return ours.in.size == 4
	})
	ours.Reset("client gone")
	for range 2 {
		if err := get(t, blocked); !errors.Is(err, ErrReset) || !strings.Contains(err.Error(), "client gone") {
			t.Errorf("got %v, want a reset", err)
		}
	}
	get(t, theirs.Done())
	if n := b.mux.cfg.Metrics.Resets.Load(); n != 1 {
		t.Errorf("%d resets counted", n)
	}
}
