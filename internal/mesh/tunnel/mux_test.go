package tunnel

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end is one instance with a mux.
type end struct {
	tb       testing.TB
	self     mesh.Address
	links    *link.Endpoint
	mux      *Mux
	accepted chan *Stream
	heads    chan string
}

// Record implements link.Handler.
func (e *end) Record(from mesh.Address, r *wire.Record) error { return e.mux.Record(from, r) }

// EndFrame implements link.Handler.
func (e *end) EndFrame() { e.mux.EndFrame() }

// Opened implements link.Handler.
func (e *end) Opened(from mesh.Address) { e.mux.Opened(from) }

func newEnd(tb testing.TB, b bus.Bus, cfg Config) *end {
	tb.Helper()
	e := &end{
		tb: tb, self: mesh.Address{Kind: mesh.KindEdge, Instance: mesh.NewInstanceID()},
		accepted: make(chan *Stream, 1000), heads: make(chan string, 1000),
	}
	e.links = link.NewEndpoint(b, mesh.Subjects{}, e.self, e, slog.New(slog.DiscardHandler), link.Config{})
	e.mux = New(e.links, func(_ mesh.Address, head []byte, s *Stream) {
		e.heads <- string(head)
		e.accepted <- s
	}, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.links.Run(ctx) }() // waited for in the clean-up
	<-e.links.Ready()
	tb.Cleanup(func() {
		e.mux.Close()
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("links: %v", err)
		}
	})
	return e
}

// newPair returns two ends on one bus inside the process.
func newPair(tb testing.TB, cfg Config) (a, b *end) {
	tb.Helper()
	memory := bus.NewMemory()
	tb.Cleanup(memory.Close)
	return newEnd(tb, memory, cfg), newEnd(tb, memory, cfg)
}

// open opens a stream from a to b and returns both its ends.
func open(tb testing.TB, a, b *end, head string) (ours, theirs *Stream) {
	tb.Helper()
	ours, err := a.mux.Open(tb.Context(), b.self, []byte(head), false)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	return ours, get(tb, b.accepted)
}

func get[T any](tb testing.TB, c <-chan T) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing came")
		panic("unreachable")
	}
}

func wantRead(tb testing.TB, s *Stream, want string) {
	tb.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(s, b); err != nil || string(b) != want {
		tb.Errorf("read %q (%v), want %q", b, err, want)
	}
}

func write(tb testing.TB, s *Stream, text string) {
	tb.Helper()
	if _, err := s.Write([]byte(text)); err != nil {
		tb.Errorf("write: %v", err)
	}
}

func TestRequestAndAnswer(t *testing.T) {
	a, b := newPair(t, Config{})
	ours, theirs := open(t, a, b, "head")
	if got := get(t, b.heads); got != "head" {
		t.Errorf("head %q", got)
	}
	write(t, ours, "question")
	wantRead(t, theirs, "question")
	if _, err := theirs.WriteLast([]byte("answer")); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(ours); err != nil || string(got) != "answer" {
		t.Errorf("got %q (%v)", got, err)
	}
	if err := ours.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
	eventually(t, "both ends forgotten", func() bool {
		return a.mux.cfg.Metrics.Open.Load() == 0 && b.mux.cfg.Metrics.Open.Load() == 0
	})
	if _, err := ours.Write([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("write behind the end: %v", err)
	}
}

// A stream whose head is all.
func TestOpenLast(t *testing.T) {
	a, b := newPair(t, Config{})
	if _, err := a.mux.Open(t.Context(), b.self, []byte("all"), true); err != nil {
		t.Fatal(err)
	}
	theirs := get(t, b.accepted)
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want EOF", err)
	}
	_ = theirs.Close()
}

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
		return slowEnd.inBytes == 1<<10
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
	if held := slowEnd.in; held != nil {
		t.Error("an idle stream keeps a buffer")
	}
}

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
	_ = ours.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := ours.Write(make([]byte, 20)); n != 16 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("wrote %d, %v, want 16 and a timeout", n, err)
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
		return ours.inBytes == 4
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

// A peer that is lost ends its streams, at once and all of them.
func TestPeerLost(t *testing.T) {
	a, b := newPair(t, Config{})
	ours, _ := open(t, a, b, "")
	theirs, _ := open(t, b, a, "")
	a.mux.Drop(b.self.Instance)
	get(t, ours.Done())
	if !errors.Is(ours.Err(), ErrPeerLost) {
		t.Errorf("got %v", ours.Err())
	}
	b.links.Do(func() { b.mux.Opened(a.self) }) // the second link of a: of the first something may be missing
	get(t, theirs.Done())
	if !errors.Is(theirs.Err(), ErrPeerLost) {
		t.Errorf("got %v", theirs.Err())
	}
	again, end := open(t, a, b, "")
	write(t, again, "new")
	wantRead(t, end, "new")
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

// Many streams at once, each with bytes of its own in both directions.
func TestManyStreams(t *testing.T) {
	a, b := newPair(t, Config{Window: 2 << 10, Chunk: 700})
	var wg sync.WaitGroup
	echo := func(s *Stream) {
		_, err := io.Copy(struct{ io.Writer }{s}, s)
		if err == nil {
			err = s.CloseWrite()
		}
		if err != nil {
			t.Errorf("echo: %v", err)
		}
	}
	const streams = 50
	for range streams {
		wg.Go(func() {
			data := make([]byte, rand.IntN(20_000)) //nolint:gosec // a test
			for i := range data {
				data[i] = byte(rand.IntN(256)) //nolint:gosec // a test
			}
			s, err := a.mux.Open(t.Context(), b.self, nil, false)
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				if _, err := s.WriteLast(data); err != nil {
					t.Error(err)
				}
			})
			if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, data) {
				t.Errorf("got %d bytes of %d, %v", len(got), len(data), err)
			}
		})
	}
	for range streams {
		s := get(t, b.accepted)
		wg.Go(func() { echo(s) })
	}
	wg.Wait()
}

// net/http is a hard user of a net.Conn.
func TestHTTP(t *testing.T) {
	a, b := newPair(t, Config{Window: 4 << 10})
	l := &listener{b.accepted, make(chan struct{})}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // waited for below
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return a.mux.Open(ctx, b.self, nil, false) },
	}}
	body := strings.Repeat("body ", 10_000)
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://peer/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(got) != body {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
	}
	client.CloseIdleConnections()
	_ = server.Close()
	<-served
}

// listener listens for streams.
type listener struct {
	streams chan *Stream
	done    chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case s := <-l.streams:
		return s, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { close(l.done); return nil }
func (l *listener) Addr() net.Addr { return addr{} }

func eventually(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	end := time.Now().Add(10 * time.Second)
	for !cond() {
		if time.Now().After(end) {
			tb.Fatalf("no %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

// FuzzRecord: whatever a peer sends, it breaks its own link at most.
func FuzzRecord(f *testing.F) {
	for _, body := range []string{"", "\x00", "\x02head", "\x03data", "\x02\x80\x01", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x"} {
		for kind := wire.KindStreamOpen; kind <= wire.KindStreamCredit; kind++ {
			f.Add(uint8(kind), uint8(0), []byte(body))
			f.Add(uint8(kind), uint8(wire.FlagClose), []byte(body))
		}
	}
	a, b := newPair(f, Config{Window: 64, MaxStreams: 8})
	f.Fuzz(func(t *testing.T, kind, flags uint8, body []byte) {
		_, _ = a.mux.Open(t.Context(), b.self, nil, false)
		done := make(chan struct{})
		a.links.Do(func() {
			defer close(done)
			_ = a.mux.Record(b.self, &wire.Record{Kind: wire.Kind(kind), Flags: wire.Flags(flags), Body: body})
			a.mux.EndFrame()
		})
		<-done
		for len(a.accepted) > 0 {
			<-a.accepted
			<-a.heads
		}
		for len(b.accepted) > 0 {
			<-b.accepted
			<-b.heads
		}
	})
}
