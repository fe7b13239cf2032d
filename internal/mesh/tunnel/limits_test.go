package tunnel

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
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

// The peer may not give credit for what was not sent, nor send behind its end.
func TestCreditViolated(t *testing.T) {
	a, b := newPair(t, Config{Window: 8})
	for _, r := range []func(key) *wire.Record{
		func(k key) *wire.Record { return creditRecord(k, 1) },
		func(k key) *wire.Record { return creditRecord(k, 1<<40) },
		func(k key) *wire.Record { return &wire.Record{Kind: wire.KindStreamData, Body: k.appendName(nil)} },
	} {
		ours, theirs := open(t, a, b, "")
		if err := ours.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		bad := r(ours.key)
		if bad.Kind == wire.KindStreamData {
			bad.Body = append(bad.Body, 'x')
		}
		ours.sendControl(bad)
		get(t, ours.Done())
		get(t, theirs.Done())
		if err := theirs.Err(); !errors.Is(err, ErrReset) {
			t.Errorf("got %v, want a reset", err)
		}
	}
	if n := b.mux.cfg.Metrics.Refused.Load(); n != 3 {
		t.Errorf("%d refused, want 3", n)
	}
}

// Credit goes back for half a window at a time, not for each Read; large writes are split.
func TestRecordsAreFew(t *testing.T) {
	a, b := newPair(t, Config{Window: 64 << 10, Chunk: 8 << 10})
	ours, theirs := open(t, a, b, "")
	written := make(chan error, 1)
	go func() { // ends when all is read
		_, err := ours.Write(make([]byte, 256<<10))
		written <- err
	}()
	for range 256 {
		wantRead(t, theirs, string(make([]byte, 1<<10)))
	}
	if err := get(t, written); err != nil {
		t.Fatal(err)
	}
	if n := a.count(wire.KindStreamCredit); n > 8 {
		t.Errorf("%d credits for 4 windows", n)
	}
	if n := b.count(wire.KindStreamData); n < 32 || n > 48 {
		t.Errorf("%d records, want hardly more than 32", n)
	}
}

// Idle streams have no goroutine, no timer and no buffer.
func TestManyIdleStreams(t *testing.T) {
	a, b := newPair(t, Config{})
	write(t, first(open(t, a, b, "")), "warm")
	before := runtime.NumGoroutine()
	const streams = 10_000
	all := make([]*Stream, 0, streams)
	for range streams {
		s, err := a.mux.Open(t.Context(), b.self, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		theirs := get(t, b.accepted)
		<-b.heads
		_ = theirs.SetDeadline(time.Now().Add(time.Hour))
		if theirs.in.head != nil || theirs.interrupt != nil {
			t.Fatal("an idle stream holds something")
		}
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines for %d streams", after-before, streams)
	}
	for _, s := range all {
		_ = s.Close()
	}
	eventually(t, "end of all", func() bool { return b.mux.cfg.Metrics.Open.Load() == 1 })
}

func first(s, _ *Stream) *Stream { return s }
