package cluster_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestRoomsAloneTakesAnInstanceForDead: its edges do not, so it sees itself to the end of the clients that have missed something.
func TestRoomsAloneTakesAnInstanceForDead(t *testing.T) {
	t.Parallel() // it waits most of the time
	set, link := severing(t, "rooms")
	set.deadAfter = 3 * time.Second
	reasons := make(chan string, 8)
	c := newClusterWith(t, set, 2, 1, func(io *socketio.Server) {
		_ = io.OnConnection(func(s *socketio.Socket) { s.OnDisconnect(func(d socketio.Disconnect) { reasons <- d.Reason }) })
	})
	clients := []*client{c.join("/"), c.join("/")} // one at each edge
	link.deaf.Store(true)
	heard := func(k *client, tick int) bool {
		switch got := k.next(); got {
		case fmt.Sprintf(`42["tick",%d]`, tick):
			return true
		case "closed":
		default:
			t.Fatalf("got %q, want tick %d or the end", got, tick)
		}
		return false
	}
	ended := []bool{false, false}
	for tick := 0; slices.Contains(ended, false); tick++ { // until the instance is refused
		if err := c.app().Emit("tick", tick); err != nil {
			t.Fatal(err)
		}
		for i, k := range clients {
			ended[i] = ended[i] || !heard(k, tick)
		}
	}
	link.deaf.Store(false)
	for range clients {
		select {
		case reason := <-reasons:
			if reason != socketio.ReasonTransportClose {
				t.Errorf("a socket ended with %q", reason)
			}
		case <-time.After(patience):
			t.Error("the application has not heard of the end")
		}
	}
	k := c.join("/")
	if err := c.app().Emit("all"); err != nil {
		t.Fatal(err)
	}
	k.expect(`42["all"]`)
}
