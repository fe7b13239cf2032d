package socketio

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

func short(c *Config) { c.EmitTimeout = 50 * time.Millisecond }

func TestNoRooms(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor(short)
	if err := s.Emit("e"); !errors.Is(err, ErrNoRooms) { // CLU-005: some do not get what others cannot
		t.Errorf("got %v, want %v", err, ErrNoRooms)
	}
	if _, err := s.Count(t.Context()); !errors.Is(err, ErrNoRooms) {
		t.Errorf("got %v, want %v", err, ErrNoRooms)
	}
	if err := s.Volatile().Emit("e"); err != nil { // dropped
		t.Errorf("volatile: %v", err)
	}
	if err := flushAll(t, s); err != nil { // nothing was accepted
		t.Errorf("flush: %v", err)
	}
	r.startRooms()
	eventually(t, "rooms found", func() bool { return s.Emit("e") == nil })
}

func TestEmitWaitsForRooms(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor()
	done := make(chan error, 10)
	for range cap(done) {
		go func() { done <- s.Emit("e") }() // receive waits
	}
	go func() { // receive waits
		_, err := s.Count(t.Context())
		done <- err
	}()
	eventually(t, "all waiting", func() bool { return s.out.waiting.Load() == int32(cap(done)) })
	r.startRooms()
	for range cap(done) + 1 {
		if err := receive(t, "emit", done); err != nil {
			t.Error(err)
		}
	}
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	eventually(t, "nobody waits", func() bool { return s.out.waiting.Load() == 0 })
}

func TestWindow(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(short, func(c *Config) { c.OperationWindow = 1000 })
	for _, ns := range []string{"/", other(t, "/")} {
		p := &s.out.parts[s.Of(ns).partition]
		eventually(t, "rooms is known", func() bool { return !p.ownerNow().Instance.IsZero() })
	}
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	large := strings.Repeat("x", 2000)
	if err := s.Emit("e", large); err != nil { // one larger than the window passes
		t.Fatal(err)
	}
	if err := s.Emit("e", "small"); !errors.Is(err, ErrWindowFull) {
		t.Errorf("got %v, want %v", err, ErrWindowFull)
	}
	if err := s.Volatile().Emit("e"); err != nil {
		t.Errorf("volatile: %v", err)
	}
	if err := s.Of(other(t, "/")).Emit("e"); err != nil { // another partition has its own window
		t.Errorf("other namespace: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	r.release()
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
	if err := s.Emit("e", "small"); err != nil {
		t.Error(err)
	}
	r.rooms.told.mu.Lock()
	taken := r.rooms.told.taken
	r.rooms.told.mu.Unlock()
	if taken > 3 {
		t.Errorf("rooms got %d operations, want at most 3: refused ones must not arrive", taken)
	}
}

// other returns a namespace in another partition.
func other(tb testing.TB, name string) string {
	tb.Helper()
	for _, c := range "abcdefgh" {
		if n := newNamespace(nil, "/"+string(c)); n.partition != newNamespace(nil, name).partition {
			return n.name
		}
	}
	tb.Fatal("no other partition")
	return ""
}

func TestWaitersKeepTheirTurn(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.OperationWindow = 200 })
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	if err := s.Emit("e", strings.Repeat("x", 300)); err != nil {
		t.Fatal(err)
	}
	const n = 20
	order := make(chan int, n)
	for i := range n {
		go func() { // receive waits
			if err := s.Emit("e", i); err != nil {
				t.Error(err)
			}
			order <- i
		}()
		eventually(t, "waiting", func() bool {
			s.out.parts[s.Of("/").partition].mu.Lock()
			defer s.out.parts[s.Of("/").partition].mu.Unlock()
			return len(s.out.parts[s.Of("/").partition].queue) == i+1
		})
	}
	r.release()
	seen := 0
	for range n {
		seen += receive(t, "a waiter", order)
	}
	if seen != n*(n-1)/2 {
		t.Errorf("not every waiter was served once: sum %d", seen)
	}
	if err := flushAll(t, s); err != nil {
		t.Error(err)
	}
}

func TestRoomsDie(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	if err := errors.Join(s.Emit("e"), flushAll(t, s)); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	if err := errors.Join(s.Emit("lost 1"), s.Emit("lost 2"), s.Of(other(t, "/")).Emit("lost 3")); err != nil {
		t.Fatal(err)
	}
	flushed := make(chan error, 1)
	go func() { flushed <- flushAll(t, s) }() // receive waits
	eventually(t, "flush waiting", func() bool {
		p := &s.out.parts[s.Of("/").partition]
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.flushes) == 1
	})
	r.stopRooms()
	if err := receive(t, "flush", flushed); !errors.Is(err, ErrLost) {
		t.Errorf("flush: got %v, want %v", err, ErrLost)
	}
	for range 2 {
		if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want %v", err, ErrLost)
		}
	}
	r.mu.Lock()
	r.hold = false
	r.mu.Unlock()
	r.startRooms()
	if err := s.Emit("e"); err != nil { // waits for the next one
		t.Error(err)
	}
	if n, err := s.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
	_ = flushAll(t, s) // one of the partitions may have failed before anybody waited for it
	if err := flushAll(t, s); err != nil {
		t.Errorf("a failure is reported twice: %v", err)
	}
}

func TestLinkBreaks(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	if err := errors.Join(s.Emit("lost"), s.Of("/poison").Emit("lost")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one for each partition
		if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
			t.Errorf("got %v, want %v", err, ErrLost)
		}
	}
	r.mu.Lock()
	r.hold = false
	r.mu.Unlock()
	if err := flushAll(t, s); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	if err := errors.Join(s.Emit("on a new link"), flushAll(t, s)); err != nil {
		t.Error(err)
	}
	if n, err := s.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("count: %d, %v", n, err)
	}
}

// TestLossLongAgo shows that Run ends without an error after a loss that OnError has heard of.
func TestLossLongAgo(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, failures := r.serverFor()
	end, result := run(t, s)
	r.mu.Lock()
	r.hold = true
	r.mu.Unlock()
	if err := s.Emit("lost"); err != nil {
		t.Fatal(err)
	}
	r.stopRooms()
	if err := receive(t, "the loss", failures); !errors.Is(err, ErrLost) {
		t.Errorf("got %v, want %v", err, ErrLost)
	}
	r.mu.Lock()
	r.hold = false
	r.mu.Unlock()
	r.startRooms()
	if err := s.Emit("e"); err != nil {
		t.Error(err)
	}
	end()
	if err := receive(t, "Run", result); err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestTooLarge(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	s, _ := r.serverFor(func(c *Config) { c.MaxPacket = 1000 })
	if err := s.Emit("e", make([]byte, 1000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	r2 := newRing(t)
	r2.startRooms()
	s2, _ := r2.serverFor()
	if err := errors.Join(s2.Emit("e", make([]byte, maxPacket-100)), flushAll(t, s2)); err != nil {
		t.Errorf("the largest packet: %v", err)
	}
}

func TestClosed(t *testing.T) {
	r := newRing(t)
	s, _ := r.serverFor()
	done := make(chan error, 2)
	go func() { done <- s.Emit("e") }() // receive waits
	eventually(t, "waiting", func() bool { return s.out.waiting.Load() == 1 })
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "emit", done); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	for _, err := range []error{s.Emit("e"), flushAll(t, s), s.Run(t.Context())} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want %v", err, ErrClosed)
		}
	}
	if _, err := s.Count(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want %v", err, ErrClosed)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestEmbedded(t *testing.T) {
	r := newRing(t)
	r.startRooms()
	io, err := Connect(bus.NewContext(t.Context(), r.b), "ignored", Config{App: "test", Embedded: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := io.Emit("e"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want %v", err, ErrNotRunning)
	}
	_, result := run(t, io)
	eventually(t, "sending", func() bool { return io.Emit("e") == nil })
	if err := io.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := receive(t, "Run", result); err != nil {
		t.Error(err)
	}
	unused, err := Connect(bus.NewContext(t.Context(), r.b), "", Config{App: "test", Embedded: true})
	if err != nil || unused.Close(t.Context()) != nil {
		t.Errorf("a Server that never ran: %v", err)
	}
}

func TestConnectErrors(t *testing.T) {
	ctx := bus.NewContext(t.Context(), bus.NewMemory())
	for name, cfg := range map[string]Config{
		"no app": {}, "bad app": {App: "Ünfit"}, "bad prefix": {App: "a", Prefix: "a.b"},
		"negative": {App: "a", EmitTimeout: -1}, "too large": {App: "a", MaxPacket: maxPacket + 1},
	} {
		if _, err := Connect(ctx, "", cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if _, err := Connect(t.Context(), "no url\x00", Config{App: "a"}); err == nil {
		t.Error("a malformed URL: got no error")
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if io, err := Connect(ended, "", Config{App: "a"}); err == nil {
		_ = io.Close(t.Context())
	}
}

func TestHandledIsReportedInGroups(t *testing.T) {
	r, s, _, _ := serve(t, func(s *Socket) { s.On("e", func(context.Context, *Event) error { return nil }) })
	c := r.join(s, "/")
	for range 3 * creditPackets {
		eventually(t, "credit", func() (ok bool) {
			c.lock(func() { ok = c.seq-c.handled < creditPackets })
			return ok
		})
		c.emit("", "e")
	}
	eventually(t, "everything reported", func() (all bool) {
		c.lock(func() { all = c.handled == c.seq })
		return all
	})
	if len(c.got) > 0 {
		t.Errorf("the client got %v", <-c.got)
	}
}
