package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/services/edge/relay"
	"github.com/siomesh/siomesh/services/edge/relay/relaytest"
)

// raw sends a request as it is.
func (s *site) raw(node int, request string) net.Conn {
	s.tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(s.tb.Context(), "tcp", strings.TrimPrefix(s.urls[node], "http://"))
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(waits))
	if _, err := io.WriteString(conn, request); err != nil {
		s.tb.Fatal(err)
	}
	return conn
}

// A client that does not take its answer loses its connection, at the node that it has reached too.
func TestSlowReader(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{Engine: engine.Config{
		BodyTimeout: 200 * time.Millisecond, MaxOutboundBytes: 64 << 20, DisableHTTPCompression: true,
	}})
	for node := range s.nodes {
		sid, session := s.open()
		conn := s.raw(node, fmt.Sprintf("GET /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\n\r\n", sid))
		s.eventually("a GET that waits", func() bool { return session.SendVolatile() })
		if err := session.Send(engine.NewText(make([]byte, 32<<20))); err != nil { // more than the kernel takes
			t.Fatal(err)
		}
		s.eventually("end of the session", func() bool { return s.nodes[0].Engine.ClientsCount() == 0 })
		s.eventually("end of the request", func() bool { return s.ended(node) == 1 })
		if n, err := io.Copy(io.Discard, conn); err == nil && n > 32<<20 {
			t.Errorf("node %d: all of the answer came", node)
		}
	}
}

// A body that does not come in time ends its session, and the connection that it was to come on.
func TestSlowBody(t *testing.T) {
	m := &engine.Metrics{}
	s := newSite(t, 2, relaytest.Config{Engine: engine.Config{BodyTimeout: 200 * time.Millisecond, Metrics: m}})
	sid, _ := s.open()
	conn := s.raw(1, fmt.Sprintf("POST /engine.io/?EIO=4&transport=polling&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4half", sid))
	if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v, want the end of the connection", got, err)
	}
	s.eventually("end of the session", func() bool { return s.nodes[0].Engine.ClientsCount() == 0 })
	s.eventually("end of the request", func() bool { return s.ended(1) == 1 })
	if n := m.Snapshot().BodiesRefused["too_slow"]; n != 1 || relay.Outcomes()[0] != "relayed" || s.nodes[1].Metrics[0].Load() != 1 {
		t.Errorf("%d bodies are counted as too slow, %d requests as relayed, want 1 and 1", n, s.nodes[1].Metrics[0].Load())
	}
}

// ended returns how many relayed requests a node has ended, 1 where none is relayed.
func (s *site) ended(node int) (n uint64) {
	if node == 0 {
		return 1
	}
	for i := range s.nodes[node].Metrics[:5] {
		n += s.nodes[node].Metrics[i].Load()
	}
	return n
}

// A query of any bytes is served anywhere as at the owner.
func TestOddQuery(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, _ := s.open()
	for node := range s.nodes {
		conn := s.raw(node, fmt.Sprintf("POST /engine.io/?EIO=4&transport=polling&x=\xff\xfe&sid=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4x", sid))
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Errorf("node %d: %v", node, err)
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("node %d: status %d", node, res.StatusCode)
		}
	}
}

// A node that leaves does not wait for requests that wait at others, and neither do these: the session ends, and the client is
// told to open another.
func TestRelayLeaves(t *testing.T) {
	s := newSite(t, 2, relaytest.Config{})
	sid, session := s.open()
	waiting := s.later(t.Context(), 1, sid, session)
	began := time.Now()
	s.stops[1]()
	if took := time.Since(began); took > 4*time.Second { // a stop gives up after 5 s
		t.Errorf("leaving took %v", took)
	}
	s.want("GET that waited", <-waiting, 400, unknownSID)
	s.eventually("the end", func() bool { return s.nodes[0].Engine.ClientsCount() == 0 })
}
