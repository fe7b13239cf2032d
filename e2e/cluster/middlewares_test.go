package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// guarded is a namespace whose middlewares do what the client's payload says.
type guarded struct {
	mu       sync.Mutex
	entered  chan *socketio.Socket // those that wait in the middleware
	resume   chan struct{}
	problems []string // guarded by mu
	joined   []string // guarded by mu; ids the connection handler has seen
}

func (g *guarded) setup(io *socketio.Server) {
	note := func(format string, args ...any) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.problems = append(g.problems, fmt.Sprintf(format, args...))
	}
	has := func(n *socketio.Namespace, s *socketio.Socket) bool { return slices.Contains(n.Sockets(), s) }
	_ = io.Use(func(_ context.Context, s *socketio.Socket) error {
		if s.Namespace().Name() != "/" {
			note("a root middleware ran for %s", s.Namespace().Name())
		}
		return nil
	})
	in := io.Of("/guarded")
	_ = in.Use(func(_ context.Context, s *socketio.Socket) error {
		if s.Connected() || has(in, s) {
			note("connected %v, listed %v in a middleware", s.Connected(), has(in, s))
		}
		return errors.Join(s.Data().Set("steps", 1), s.Join("early"))
	})
	_ = in.Use(func(_ context.Context, s *socketio.Socket) error {
		var steps int
		_, err := s.Data().Get("steps", &steps)
		switch s.Handshake().Auth.Get("do") {
		case "fail":
			return errors.New("plain")
		case "refuse":
			return &socketio.ConnectError{Message: "refused", Data: map[string]int{"after": steps}}
		case "wait":
			g.entered <- s
			<-g.resume
		}
		return errors.Join(err, s.Data().Set("steps", steps+1), s.Emit("early", steps))
	})
	_ = in.Use(func(_ context.Context, s *socketio.Socket) error {
		if do := s.Handshake().Auth.Get("do"); do == "fail" || do == "refuse" {
			note("the chain went on behind an error")
		}
		return nil
	})
	_ = in.OnConnection(func(s *socketio.Socket) {
		var steps int
		if _, err := s.Data().Get("steps", &steps); err != nil || !s.Connected() || !has(in, s) {
			note("connected %v, listed %v, %v in the connection handler", s.Connected(), has(in, s), err)
		}
		g.mu.Lock()
		g.joined = append(g.joined, s.ID()) // before the client can know
		g.mu.Unlock()
		_ = s.Emit("in", steps, s.Rooms()[1:])
	})
}

// count fails unless so many sockets are in the rooms.
func count(t *testing.T, of interface {
	Counts(ctx context.Context, rooms ...string) (map[string]int, error)
}, room string, want int,
) {
	t.Helper()
	counts, err := of.Counts(t.Context(), room)
	if err != nil || counts[room] != want {
		t.Errorf("got %v, %v, want %d", counts, err, want)
	}
}

func TestMiddlewaresAnywhere(t *testing.T) {
	t.Parallel()
	var g *guarded
	play(t, func(io *socketio.Server) {
		if g == nil {
			g = &guarded{entered: make(chan *socketio.Socket, 1), resume: make(chan struct{})}
		}
		g.setup(io)
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		this := g
		g = nil // the next shape has its own
		var in []*client
		for range 6 {
			k := c.dial("/guarded")
			k.expect(`42/guarded,["early",1]`) // MID-011, MID-001: the second comes behind the first
			k.connected()
			k.expect(`42/guarded,["in",2,["early"]]`) // MID-008, MID-009
			in = append(in, k)
		}
		for do, want := range map[string]string{
			"refuse": `{"message":"refused","data":{"after":1}}`, "fail": `{"message":"plain"}`, // MID-003, MID-004
		} {
			k := c.dial("/guarded", `{"do":"`+do+`"}`)
			k.expect("44/guarded," + want)
			k.send("40")
			if got := k.next(); !strings.HasPrefix(got, `40{"sid":`) { // MID-012
				t.Errorf("got %s", got)
			}
		}
		guarded := c.app().Of("/guarded")
		count(t, guarded, "early", len(in)) // MID-010: the refused ones have left
		slow := c.dial("/guarded", `{"do":"wait"}`)
		waiting := <-this.entered
		in[0].send("40") // a round trip while the middleware waits
		if got := in[0].next(); !strings.HasPrefix(got, "40{") || len(slow.got) > 0 {
			t.Errorf("got %s and %d packets for a client that is still asked about", got, len(slow.got)) // MID-002
		}
		this.resume <- struct{}{}
		slow.expect(`42/guarded,["early",1]`)
		slow.connected()
		if slow.id != waiting.ID() {
			t.Errorf("got id %s, want %s", slow.id, waiting.ID())
		}
		slow.expect(`42/guarded,["in",2,["early"]]`)
		gone := c.dial("/guarded", `{"do":"wait"}`)
		waiting = <-this.entered
		_ = gone.conn.Close()
		eventually(t, "the client is gone", func() bool { return errors.Is(waiting.Join("x"), socketio.ErrDisconnected) })
		this.resume <- struct{}{}
		if err := guarded.Emit("end"); err != nil {
			t.Error(err)
		}
		for _, k := range append(in, slow) {
			k.expect(`42/guarded,["end"]`)
		}
		count(t, guarded, "early", len(in)+1) // MID-006: no leak
		this.mu.Lock()
		defer this.mu.Unlock()
		for _, problem := range this.problems { // MID-003, MID-005, MID-007
			t.Error(problem)
		}
		if len(this.joined) != len(in)+1 || slices.Contains(this.joined, waiting.ID()) { // MID-006: no connection
			t.Errorf("got connections %v", this.joined)
		}
	})
}
