package socketio

import (
	"context"
	"testing"
)

func TestWorkersKeepFewGoroutines(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	const n = 2 * maxKept
	resume, entered := make(chan struct{}), make(chan struct{}, n)
	var clients []*client
	for range n {
		clients = append(clients, r.join(s, "/"))
		receive(t, "a socket", sockets).On("block", func(context.Context, *Event) error {
			entered <- struct{}{}
			<-resume
			return nil
		})
	}
	for _, c := range clients {
		c.emit("", "block")
	}
	for range n { // all at once: sockets never wait for one another
		receive(t, "a handler", entered)
	}
	eventually(t, "all at work", func() bool { return s.workers.wait(canceled()) == n }) // and no other worker goes on
	close(resume)
	eventually(t, "none at work", func() bool { return idle(s) })
	eventually(t, "goroutines kept", func() bool {
		s.workers.mu.Lock()
		defer s.workers.mu.Unlock()
		return s.workers.kept > 0 && s.workers.kept <= maxKept
	})
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s.workers.kept != 0 || s.workers.start(&Socket{}) {
		t.Errorf("after close: %d goroutines kept, or one started", s.workers.kept)
	}
}
