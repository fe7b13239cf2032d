package cluster_test

import (
	"testing"
	"time"

	"github.com/siomesh/siomesh/services/edge"
)

// TestGuests: a client that joins no namespace is closed after a while, at each edge.
func TestGuests(t *testing.T) {
	t.Parallel() // it waits most of the time
	playWith(t, settings{edge: func(_ int, c *edge.Config) { c.ConnectTimeout, c.AppWait = 5*time.Second, 4*time.Second }}, nil,
		func(_ *testing.T, c *cluster, clients []*client, _ []string) {
			for _, k := range clients[3:] {
				k.send("41") // it had joined, and may come again as late as it likes
			}
			var idle []*client
			for range c.urls {
				idle = append(idle, c.open(c.edge()+"/socket.io/?EIO=4&transport=websocket", "/"))
			}
			for _, k := range idle {
				k.next()           // the session
				k.expect("closed") // NSP-009
			}
			for _, k := range clients[3:] { // NSP-010: all were here before those who are closed by now
				k.send("40")
				k.connected()
			}
			if err := c.app().Emit("all"); err != nil {
				c.tb.Error(err)
			}
			for _, k := range clients { // NSP-010
				k.expect(`42["all"]`)
			}
		})
}
