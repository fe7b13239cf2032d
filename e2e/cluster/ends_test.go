package cluster_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// ending is a socket of a namespace whose handlers end it, and the number of its instance.
type ending struct {
	*socketio.Socket
	instance int
	entered  chan struct{} // a handler waits
	resume   chan struct{}
	ends     chan socketio.Disconnect
}

// TestNothingAfterTheEnd: what a client sent before it knew of the end is handled by nobody, and nothing can be done to a socket
// that has ended.
func TestNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	instances := 0
	sockets := make(chan *ending, 16)
	play(t, func(io *socketio.Server) {
		instance := instances
		instances++
		_ = io.Of("/ends").OnConnection(func(s *socketio.Socket) {
			e := &ending{s, instance, make(chan struct{}), make(chan struct{}), make(chan socketio.Disconnect, 1)}
			s.OnDisconnect(func(d socketio.Disconnect) { e.ends <- d })
			s.On("bye", func(context.Context, *socketio.Event) error {
				e.entered <- struct{}{}
				<-e.resume
				return s.Disconnect(false)
			})
			s.On("late", func(context.Context, *socketio.Event) error {
				t.Error("an event after the disconnect") // SOC-028
				return nil
			})
			s.On("echo", func(_ context.Context, ev *socketio.Event) error { return ev.Ack(ev.Args.Values()...) })
			sockets <- e
		})
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		for range c.urls {
			k := c.join("/ends")
			ended := <-sockets
			k.send(`42/ends,["bye"]`)
			<-ended.entered
			k.send(`42/ends,["late"]`)
			k.send("40/nowhere,")
			k.expect(`44/nowhere,{"message":"Invalid namespace"}`) // the edge has seen the event before
			close(ended.resume)
			k.expect("41/ends,")
			if d := <-ended.ends; d.Reason != "server namespace disconnect" {
				t.Errorf("got %+v", d)
			}
			k.send("40/ends,")
			k.connected()
			now := <-sockets
			for now.instance != ended.instance { // what the edge sends to one instance arrives in order
				k.send("41/ends,")
				<-now.ends
				k.send("40/ends,")
				k.connected()
				now = <-sockets
			}
			k.send(`42/ends,1["echo",1]`)
			k.expect(`43/ends,1[1]`) // SOC-028: the late event came before this one

			if err := ended.Join("late"); !errors.Is(err, socketio.ErrDisconnected) || len(ended.Rooms()) > 0 { // SOC-022
				t.Errorf("got %v, rooms %v", err, ended.Rooms())
			}
			if err := c.app().Of("/ends").In(ended.ID()).SocketsJoin("late"); err != nil {
				t.Error(err)
			}
			for _, io := range c.apps {
				count(t, io.Of("/ends"), "late", 0) // SOC-022
			}
			k.send(`42/ends,["echo"`)
			k.expect("closed")
			if d := <-now.ends; d.Reason != "forced close" || d.Description == "" || !slices.Equal(d.Rooms, []string{now.ID()}) { // SOC-029, PAR-028
				t.Errorf("got %+v", d)
			}
		}
	})
}
