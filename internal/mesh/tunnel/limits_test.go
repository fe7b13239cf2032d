package tunnel

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// A reader that does not read stops its writer at the window, and no other stream.
func TestWindow(t *testing.T) {
	a, b := newPair(t, Config{Window: 1 << 10, Chunk: 300})
	slow, slowEnd := open(t, a, b, "")
	data := bytes.Repeat([]byte("x"), 5000)
	written := make(chan error, 1)
	go func() { // ends when all is read
		_, err := slow.Write(data)
		written <- err
	}()
	eventually(t, "a full window", func() bool {
		slowEnd.mu.Lock()
		defer slowEnd.mu.Unlock()
		return slowEnd.in.size == 1<<10
	})
	quick, quickEnd := open(t, a, b, "")
	for range 100 {
		write(t, quick, strings.Repeat("y", 100))
		wantRead(t, quickEnd, strings.Repeat("y", 100))
	}
	if got := make([]byte, len(data)); true {
		if _, err := io.ReadFull(slowEnd, got); err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	if err := get(t, written); err != nil {
		t.Error(err)
	}
	if held := slowEnd.in; held.head != nil || held.tail != nil {
		t.Error("an idle stream keeps a buffer")
	}
}

// A sender that does not keep to the window loses the stream, and only that.
func TestWindowViolated(t *testing.T) {
	a, b := newPair(t, Config{Window: 8})
	ours, theirs := open(t, a, b, "")
	ours.mu.Lock()
	ours.credit = 1000
	ours.mu.Unlock()
	write(t, ours, strings.Repeat("x", 20))
	get(t, theirs.Done())
	get(t, ours.Done())
	if !strings.Contains(ours.Err().Error(), "window exceeded") {
		t.Errorf("got %v", ours.Err())
	}
}

func TestLimits(t *testing.T) {
	a, b := newPair(t, Config{MaxStreams: 2})
	open(t, a, b, "")
	open(t, a, b, "")
	if _, err := a.mux.Open(t.Context(), b.self, nil, false); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v, want ErrTooMany", err)
	}
	a.mux.cfg.MaxStreams = 3 // b still takes two
	s, err := a.mux.Open(t.Context(), b.self, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	get(t, s.Done())
	if !strings.Contains(s.Err().Error(), "too many streams") {
		t.Errorf("got %v", s.Err())
	}
	a.mux.Close()
	if _, err := a.mux.Open(t.Context(), b.self, nil, false); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
