package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestCloseAnywhere: Close lets the handlers that run finish, with all they do reaching its clients; then those are closed
// without a word of their namespace, so that they come back, to another instance if there is one. Nobody else notices.
func TestCloseAnywhere(t *testing.T) {
	t.Parallel()
	var entered chan *socketio.Socket
	var resume chan struct{}
	ends := make(chan string, 64)
	play(t, func(io *socketio.Server) {
		entered, resume = make(chan *socketio.Socket, 1), make(chan struct{})
		_ = io.OnConnection(func(s *socketio.Socket) {
			s.OnDisconnect(func(d socketio.Disconnect) { ends <- s.ID() + " " + d.Reason })
			in, on := entered, resume
			s.On("slow", func(ctx context.Context, e *socketio.Event) error {
				in <- s
				<-on
				reply, err := s.EmitWithAck(ctx, "still there?")
				return errors.Join(err, s.Emit("bye", reply.Len()), e.Ack("done"))
			})
			s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
		})
	}, func(t *testing.T, c *cluster, clients []*client, _ []string) {
		for len(ends) > 0 {
			<-ends
		}
		last := len(c.apps) - 1 // setup left the channels of the last one
		closing := c.apps[last]
		for len(closing.Sockets()) == 0 { // the less loaded of two random instances gets it
			clients = append(clients, c.join("/"))
		}
		var mine []string
		for _, s := range closing.Sockets() {
			mine = append(mine, s.ID())
		}
		busy := clients[slices.IndexFunc(clients, func(k *client) bool { return k.id == mine[0] })]
		busy.send(`421["slow"]`)
		<-entered
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		closed := make(chan error, 1)
		go func() { closed <- closing.Close(ctx) }() // received below
		for range len(mine) - 1 {                    // all but the busy one have ended: it drains
			<-ends
		}
		close(resume)
		busy.answer(busy.question("still there?"), "1")
		busy.expect(`42["bye",1]`, `431["done"]`, "closed") // SRV-004: the client sees transport close
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if got, want := <-ends, busy.id+" server shutting down"; got != want { // SRV-004
			t.Errorf("got %s, want %s", got, want)
		}
		if err := closing.Emit("e"); !errors.Is(err, socketio.ErrClosed) {
			t.Errorf("got %v", err)
		}
		others := 0
		for _, k := range clients {
			if slices.Contains(mine, k.id) {
				if k != busy {
					k.expect("closed")
				}
				continue
			}
			others++
			k.send(`422["echo",1]`)
			k.expect(`432[1]`)
		}
		if last == 0 {
			return
		}
		for range 3 {
			k := c.join("/")
			k.send(`422["echo",2]`)
			k.expect(`432[2]`)
		}
		eventually(t, "rooms has forgotten the closed ones", func() bool {
			n, err := c.apps[0].Count(t.Context())
			return n == others+3 && err == nil
		})
		if n := len(c.apps[0].Sockets()); n != others+3 {
			t.Errorf("the other instance has %d sockets, want %d", n, others+3)
		}
	})
}
