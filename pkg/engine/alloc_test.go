package engine

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// sinkIO is a connection whose kernel takes everything.
type sinkIO struct{ written int }

func (s *sinkIO) read() (*[]byte, int, error) { return nil, 0, io.EOF }
func (s *sinkIO) release(*[]byte)             {}
func (s *sinkIO) tryWrite(b []byte) (int, error) {
	s.written += len(b)
	return len(b), nil
}
func (s *sinkIO) write(b []byte, _ time.Duration) error { s.written += len(b); return nil }
func (s *sinkIO) wrote()                                {}
func (s *sinkIO) close([]byte)                          {}

// quiet is a handler that only counts.
type quiet struct{ messages, batches int }

func (q *quiet) Message([]byte, bool) { q.messages++ }
func (q *quiet) EndBatch()            { q.batches++ }
func (q *quiet) Closed(Reason, error) {}

// newSinkSession returns an open WebSocket session on a sinkIO.
func newSinkSession(tb testing.TB) (*Session, *wsConn, *quiet, *sinkIO) {
	tb.Helper()
	srv, err := New(func(*Session, *http.Request) (Handler, error) { return nil, nil }, Config{Metrics: &Metrics{}})
	if err != nil {
		tb.Fatal(err)
	}
	q, sink := &quiet{}, &sinkIO{}
	s := newSession(srv, "id", "", WebSocket)
	s.handler = q
	c := &wsConn{srv: srv, io: sink, frames: frameReader{limit: srv.cfg.MaxHTTPBufferSize}}
	c.setOwner(wsTransport{s})
	if !s.open(c) {
		tb.Fatal("session not opened")
	}
	tb.Cleanup((&env{tb: tb, srv: srv}).close)
	return s, c, q, sink
}

// Nothing is allocated for a message on its way in, nor for a shared one on its way out.
func TestHotPathAllocatesNothing(t *testing.T) {
	s, c, q, sink := newSinkSession(t)
	wire := client(ws.NewTextFrame([]byte("4hello, world")), ws.NewBinaryFrame([]byte("binary")))
	buf := make([]byte, len(wire))
	m := NewText([]byte("shared"))
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, wire)
		if rest := c.feed(buf); len(rest) != 0 {
			t.Fatalf("%d bytes left", len(rest))
		}
	}); n != 0 {
		t.Errorf("feed of two messages allocates %v times", n)
	}
	if q.messages != 202 || q.batches != 101 {
		t.Errorf("%d messages in %d batches, want 202 in 101", q.messages, q.batches)
	}
	before := sink.written
	if n := testing.AllocsPerRun(100, func() {
		if err := s.Send(m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Send of a shared message allocates %v times", n)
	}
	if got := sink.written - before; got != 101*m.Len() {
		t.Errorf("%d bytes written, want %d", got, 101*m.Len())
	}
}

func BenchmarkFeed(b *testing.B) {
	_, c, _, _ := newSinkSession(b)
	wire := client(ws.NewTextFrame(append([]byte("4"), make([]byte, 128)...)))
	buf := make([]byte, len(wire))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, wire)
		c.feed(buf)
	}
}

func BenchmarkSendShared(b *testing.B) {
	s, _, _, _ := newSinkSession(b)
	m := NewText(make([]byte, 128))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(m); err != nil {
			b.Fatal(err)
		}
	}
}
