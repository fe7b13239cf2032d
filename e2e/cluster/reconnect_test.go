package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siomesh/siomesh/pkg/siomesh"
	"github.com/siomesh/siomesh/pkg/socketio"
)

func TestReconnectAnywhere(t *testing.T) {
	t.Parallel()
	var connections, ends atomic.Int64
	play(t, func(io *socketio.Server) {
		_ = io.Of("/again").OnConnection(func(s *socketio.Socket) {
			connections.Add(1)
			s.OnDisconnect(func(socketio.Disconnect) { ends.Add(1) })
			_ = s.Emit("hello", s.ID(), s.Recovered())
		})
	}, func(t *testing.T, c *cluster, _ []*client, _ []string) {
		connections.Store(0)
		ends.Store(0)
		k := c.dial("/again")
		seen := map[string]bool{}
		for range 5 { // the client leaves and comes again, on the same connection
			k.connected()
			k.expect(`42/again,["hello","` + k.id + `",false]`)
			seen[k.id] = true
			k.send("41/again,")
			k.send("40/again,")
		}
		k.connected()
		k.expect(`42/again,["hello","` + k.id + `",false]`)
		_ = k.conn.Close()
		again := c.join("/again") // and on another
		again.expect(`42/again,["hello","` + again.id + `",false]`)
		seen[k.id], seen[again.id] = true, true
		eventually(t, "the ends", func() bool { return ends.Load() == 6 })
		if n := connections.Load(); n != 7 || len(seen) != 7 { // SOC-048, SOC-014: once for each, by another id
			t.Errorf("got %d connections of %d ids, want 7", n, len(seen))
		}
		_ = again.conn.Close()
		eventually(t, "the last end", func() bool { return ends.Load() == 7 }) // a socket that is handed over has none
	})
}

// TestListenAgain: a mesh that ends closes its clients without a word of their namespace, so that they come back; the next one
// at the same address serves them.
func TestListenAgain(t *testing.T) {
	address := "127.0.0.1:0"
	for round := range 3 {
		m, err := siomesh.New(siomesh.Config{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		_ = m.IO().OnConnection(func(s *socketio.Socket) {
			s.On("echo", func(_ context.Context, e *socketio.Event) error { return e.Ack(e.Args.Values()...) })
		})
		var ln net.Listener
		eventually(t, fmt.Sprintf("round %d: the port is free", round), func() bool { // SRV-001; another process may have it for a moment
			ln, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
			return err == nil
		})
		address = ln.Addr().String()
		hs := &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}
		ended := make(chan error, 2)
		go func() { ended <- hs.Serve(ln) }()                              // received below
		go func() { ended <- m.Run(context.WithoutCancel(t.Context())) }() // received below
		<-m.Ready()
		c := &cluster{tb: t, urls: []string{"http://" + address}}
		k := c.join("/")
		k.send(`421["echo",1]`)
		k.expect(`431[1]`) // SOC-049
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := errors.Join(m.Close(ctx), hs.Close()); err != nil {
			t.Error(err)
		}
		cancel()
		k.expect("closed") // SRV-004
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		}
	}
}
