package cluster_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestOptionsHoldOnce: what is said of one packet holds for no other.
func TestOptionsHoldOnce(t *testing.T) {
	t.Parallel()
	sockets := make(chan *socketio.Socket, 64)
	playWith(t, stays(), func(io *socketio.Server) { _ = io.OnConnection(func(s *socketio.Socket) { sockets <- s }) },
		func(t *testing.T, c *cluster, clients []*client, _ []string) {
			defer http.DefaultClient.CloseIdleConnections()
			byID := map[string]*socketio.Socket{}
			for range clients {
				s := <-sockets
				byID[s.ID()] = s
			}
			for range c.urls {
				p := c.poll("")
				optionsOfPolling(t, c, <-sockets, p)
			}
			for _, k := range clients {
				s := byID[k.id]
				if _, err := s.Timeout(0).EmitWithAck(t.Context(), "at once"); !errors.Is(err, socketio.ErrTimeout) {
					t.Errorf("got %v", err)
				}
				answered := make(chan error, 1)
				go func() { // received below
					_, err := s.EmitWithAck(t.Context(), "any time")
					answered <- err
				}()
				k.question("at once")
				k.answer(k.question("any time"), "1")
				if err := <-answered; err != nil { // SOC-037: the timeout was another's
					t.Error(err)
				}
			}
		})
}

// optionsOfPolling sends to a client that asks for packets only when the test does.
func optionsOfPolling(t *testing.T, c *cluster, s *socketio.Socket, p *poller) {
	t.Helper()
	flush := func(err error) {
		t.Helper()
		for _, io := range c.apps {
			err = errors.Join(err, io.Flush(t.Context()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	flush(s.Volatile().Emit("dropped"))
	flush(s.Emit("kept"))
	if got := p.get(); got != `42["kept"]` { // SOC-047, SOC-037
		t.Errorf("got %q", got)
	}
	to := c.app().To(s.ID())
	flush(to.Volatile().Emit("dropped"))
	flush(to.Emit("kept"))
	if got := p.get(); got != `42["kept"]` { // SOC-047, SOC-037, BRO-010
		t.Errorf("got %q", got)
	}
	large := strings.Repeat("x", 5000)
	for i, say := range []struct {
		emit func(string, ...any) error
		want bool
	}{
		{s.Emit, true}, {s.Compress(false).Emit, false}, {s.Emit, true}, // SOC-036, SOC-037
		{to.Emit, true}, {to.Compress(false).Emit, false}, {to.Emit, true}, // BRO-012
	} {
		flush(say.emit("large", large))
		if got := p.get(); got != fmt.Sprintf(`42["large",%q]`, large) || p.zipped != say.want { // SOC-036, SOC-037, BRO-012
			t.Errorf("%d: got %d bytes, compressed %v, want %v", i, len(got), p.zipped, say.want)
		}
	}
}

// counted is a value that counts how often it is written.
type counted struct{ n *atomic.Int64 }

// MarshalJSON implements json.Marshaler.
func (v counted) MarshalJSON() ([]byte, error) { return fmt.Append(nil, v.n.Add(1)), nil }

func TestEncodedOnce(t *testing.T) {
	t.Parallel()
	play(t, nil, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		for _, io := range c.apps {
			var n atomic.Int64
			if err := io.Emit("once", counted{&n}); err != nil {
				t.Fatal(err)
			}
			for _, k := range clients {
				k.expect(`42["once",1]`) // BRO-019: the same text for all
			}
			if n := n.Load(); n != 1 { // BRO-019
				t.Errorf("encoded %d times", n)
			}
		}
	})
}
