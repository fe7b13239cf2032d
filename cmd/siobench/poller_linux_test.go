package main

import (
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const patience = 10 * time.Second

// startPoller returns a poller that is closed behind the connections of the test.
func startPoller(t *testing.T) *poller {
	t.Helper()
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// received is what the handlers of a connection were given.
type received struct {
	packets  chan string
	hold     chan struct{} // ends a handler that was told to hold
	failures atomic.Int32
}

// dialPolled opens a connection that joins room and is closed with the test.
func dialPolled(t *testing.T, p *poller, url string) (*wsClient, *received) {
	t.Helper()
	cfg, err := parseConfig("connect", []string{"--url", url})
	if err != nil {
		t.Fatal(err)
	}
	got := &received{packets: make(chan string, 100), hold: make(chan struct{})}
	c, err := dialWS(cfg, p, 0, handlers{
		packet: func(pkt []byte, _ int64) error {
			got.packets <- string(pkt)
			if string(pkt) == "hold" {
				<-got.hold
			}
			return nil
		},
		failed: func(error) { got.failures.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	c.queue([]byte(`420["join",["room"]]`))
	if err := c.flush(); err != nil {
		t.Fatal(err)
	}
	if ack := got.next(t); ack != "30[]" {
		t.Fatalf("joined with %q", ack)
	}
	return c, got
}

func (r *received) next(t *testing.T) string {
	t.Helper()
	select {
	case pkt := <-r.packets:
		return pkt
	case <-time.After(patience):
		t.Fatal("nothing came")
		return ""
	}
}

// member is the server's end of connection i of those that joined.
func (s *fakeServer) member(i int) *fakeSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rooms["room"][i]
}

func TestPolledMessages(t *testing.T) {
	s, url := startFake(t, faults{})
	_, got := dialPolled(t, startPoller(t), url)
	for _, n := range []int{0, 100, lentBuffer - 1, lentBuffer, 10 * lentBuffer, 5} {
		want := strings.Repeat("m", n)
		s.member(0).send("4" + want)
		s.member(0).send("4next")
		if pkt := got.next(t); pkt != want {
			t.Errorf("%d bytes came as %d", n, len(pkt))
		}
		if pkt := got.next(t); pkt != "next" {
			t.Errorf("then came %.20q", pkt)
		}
	}
}

func TestPolledEnd(t *testing.T) {
	p := startPoller(t)
	s, url := startFake(t, faults{})
	_, first := dialPolled(t, p, url)
	second, other := dialPolled(t, p, url)

	s.member(1).send("4hold")
	if pkt := other.next(t); pkt != "hold" { // the poller has no time now
		t.Fatalf("%q came", pkt)
	}
	s.member(0).send("4last")
	s.member(0).conn.Close() // the kernel tells of both at once
	close(other.hold)
	if pkt := first.next(t); pkt != "last" {
		t.Errorf("%q came", pkt)
	}
	if !waitUntil(patience, func() bool { return first.failures.Load() == 1 }) {
		t.Error("the end was not noticed")
	}
	s.member(1).send("4still here")
	if pkt := other.next(t); pkt != "still here" {
		t.Errorf("%q came", pkt)
	}
	second.close()
	if err := second.flush(); err != nil {
		t.Errorf("flush of nothing: %v", err)
	}
	second.queue([]byte("4late"))
	if err := second.flush(); err == nil {
		t.Error("a closed connection could send")
	}
	if first.failures.Load() != 1 || other.failures.Load() != 0 {
		t.Errorf("%d and %d failures, want 1 and 0", first.failures.Load(), other.failures.Load())
	}
}

// TestPolledNoHandlerAfterClose closes connections in the middle of a stream.
func TestPolledNoHandlerAfterClose(t *testing.T) {
	p := startPoller(t)
	s, url := startFake(t, faults{})
	cfg, err := parseConfig("connect", []string{"--url", url})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		var count, failed atomic.Int64
		c, err := dialWS(cfg, p, 0, handlers{
			packet: func([]byte, int64) error { count.Add(1); return nil },
			failed: func(error) { failed.Add(1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		c.queue([]byte(`420["join",["stream"]]`))
		for i := range 200 { // each of them comes back, as a message and as an acknowledgement
			c.queue([]byte(`421["bcast","stream","x"]`))
			if i%20 == 0 {
				if err := c.flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !waitUntil(patience, func() bool { return count.Load() > 10 }) {
			t.Fatal("no stream")
		}
		c.close()
		before := count.Load()
		s.mu.Lock() // the server goes on for a moment
		s.rooms = map[string][]*fakeSocket{}
		s.mu.Unlock()
		if count.Load() != before || failed.Load() != 0 {
			t.Errorf("%d handlers ran after close, %d failures", count.Load()-before, failed.Load())
		}
	}
}

// TestPolledDescriptors tells whether a connection takes more than one descriptor, or keeps it.
func TestPolledDescriptors(t *testing.T) {
	p := startPoller(t)
	_, url := startFake(t, faults{})
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	const n = 50
	before := open()
	var clients []*wsClient
	for range n {
		c, _ := dialPolled(t, p, url)
		clients = append(clients, c)
	}
	if got := open() - before; got > 2*n+5 { // the server's ends are in this process, too
		t.Errorf("%d connections have %d descriptors", n, got)
	}
	closeAll(clients)
	if !waitUntil(patience, func() bool { return open() <= before+5 }) {
		t.Errorf("%d descriptors kept", open()-before)
	}
}

func TestPolledTLS(t *testing.T) {
	hs := httptest.NewTLSServer(&fakeServer{faults: faults{pingInterval: 25000, pingTimeout: 20000}, rooms: map[string][]*fakeSocket{}})
	defer hs.Close()
	p := startPoller(t)
	c, _ := dialPolled(t, p, hs.URL)
	if _, polled := c.conn.(*polledConn); polled {
		t.Error("the descriptor of a TLS connection is read without TLS")
	}
	_, url := startFake(t, faults{})
	c, _ = dialPolled(t, p, url)
	if _, polled := c.conn.(*polledConn); !polled {
		t.Errorf("a plain connection is a %T", c.conn)
	}
}
