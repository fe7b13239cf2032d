package cluster_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// TestStop: a mesh that ends closes its clients, and leaves no port and no goroutine behind.
func TestStop(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			var clients []*client
			t.Run("a mesh", func(t *testing.T) {
				c := newCluster(t, shape.edges, shape.apps, func(io *socketio.Server) { _ = io.OnConnection(func(*socketio.Socket) {}) })
				for range 6 {
					clients = append(clients, c.join("/"))
				}
				c.poll("")
				c.stop()
				for _, k := range clients {
					k.expect("closed") // SRV-001, SRV-004: and nothing before that would keep a stock client from coming back
				}
				for _, url := range c.urls {
					eventually(t, "the port is free", func() bool { // SRV-001; another process may have it for a moment
						ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
						return err == nil && ln.Close() == nil
					})
				}
			})
			http.DefaultClient.CloseIdleConnections()
			var left error
			defer func() {
				if left != nil {
					t.Error(left)
				}
			}()
			eventually(t, "no goroutine is left", func() bool { // SRV-003
				left = goleak.Find(before)
				return left == nil
			})
		})
	}
}
