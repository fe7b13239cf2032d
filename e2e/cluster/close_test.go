package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestCloseAnywhere: Close lets the handlers that run finish, with all they do reaching its clients; then these go to another
// instance, at once or when there is one, and notice nothing. Nobody else does.
func TestCloseAnywhere(t *testing.T) {
	t.Parallel()
	var entered chan *socketio.Socket
	var resume chan struct{}
	play(t, func(io *socketio.Server) {
		entered, resume = make(chan *socketio.Socket, 1), make(chan struct{})
		_ = io.OnConnection(func(s *socketio.Socket) {
			in, on := entered, resume
			s.On("slow", func(ctx context.Context, e *socketio.Event) error {
				in <- s
				<-on
				reply, err := s.EmitWithAck(ctx, "still there?")
				return errors.Join(err, s.Emit("bye", reply.Len()), e.Ack("done"))
			})
			s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
			s.On("where", func(_ context.Context, e *socketio.Event) error { return e.Ack(s.HandedOver()) })
		})
	}, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		last := len(c.apps) - 1 // setup left the channels of the last one
		closing := c.apps[last]
		mine := neighbour(closing)
		for mine == "" { // the less loaded of two random instances gets it
			clients = append(clients, c.join("/"))
			mine = neighbour(closing)
		}
		busy := clients[slices.IndexFunc(clients, func(k *client) bool { return k.id == mine })]
		busy.send(`421["slow"]`)
		socket := <-entered
		wait, release := entered, resume
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- closing.Close(ctx) }() // received below
		// The edge asks for all it has at once: when another one is handed over, what comes for the busy one waits there.
		eventually(t, "all but the busy one are handed over", func() bool { return len(closing.Sockets()) == 1 })
		busy.send(`423["where"]`) // behind the handler that runs: elsewhere
		if last == 0 {
			c.start() // which knows nothing of the handler that runs
		}
		close(release)
		busy.answer(busy.question("still there?"), "1")
		busy.expect(`42["bye",1]`, `431["done"]`, `433[true]`)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := closing.Emit("e"); !errors.Is(err, socketio.ErrClosed) {
			t.Errorf("got %v", err)
		}
		if err := socket.Emit("e"); !errors.Is(err, socketio.ErrMoved) {
			t.Errorf("got %v", err)
		}
		for range 3 {
			clients = append(clients, c.join("/"))
		}
		for _, k := range clients {
			k.send(`422["echo",1]`)
			k.expect(`432[1]`)
		}
		left := c.apps[(last+1)%len(c.apps)]
		n, err := left.Count(t.Context())
		if got := len(left.Sockets()); n != len(clients) || got != n || err != nil {
			t.Errorf("got %d of %d sockets, %v, want %d", got, n, err, len(clients))
		}
		if len(wait) > 0 {
			t.Error("the event was handled again")
		}
	})
}

// neighbour returns a socket of an instance that has another one at the same edge, "" if there is none.
func neighbour(io *socketio.Server) string {
	at := map[string]bool{}
	for _, s := range io.Sockets() {
		edge := s.Conn().Edge
		if at[edge] {
			return s.ID()
		}
		at[edge] = true
	}
	return ""
}

// TestCloseIsCutShort: handlers that are told to end by their context, because nobody waits for them any more, cost no client its
// connection either.
func TestCloseIsCutShort(t *testing.T) {
	entered := make(chan struct{}, 2)
	play(t, func(io *socketio.Server) {
		_ = io.Of("/stubborn").OnConnection(func(s *socketio.Socket) {
			s.On("wait", func(ctx context.Context, _ *socketio.Event) error {
				entered <- struct{}{}
				<-ctx.Done()
				return nil
			})
			s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(s.HandedOver()) })
		})
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		k := c.join("/stubborn")
		k.send(`42/stubborn,["wait"]`)
		<-entered
		for _, io := range c.apps {
			waits := len(io.Of("/stubborn").Sockets()) > 0
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := io.Close(ctx); !errors.Is(err, context.Canceled) && (waits || err != nil) { // the others may end at once
				t.Errorf("got %v", err)
			}
			closeNow(t, io)
		}
		c.start()
		k.send(`42/stubborn,1["echo"]`)
		k.expect(`43/stubborn,1[true]`)
	})
}
