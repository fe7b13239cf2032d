package socketio

import "testing"

// TestEndedSocketIsWaitedFor shows that the end of Run, which waits for sockets and then for workers, does not come between the two.
func TestEndedSocketIsWaitedFor(t *testing.T) {
	r, s, _, sockets := serve(t, nothing)
	c := r.join(s, "/")
	socket := receive(t, "the socket", sockets)
	eventually(t, "idle", func() bool { return c.credited() && idle(s) })
	ended := make(chan Disconnect, 1)
	socket.OnDisconnect(func(d Disconnect) { ended <- d })
	func() {
		s.workers.mu.Lock() // no worker begins
		defer s.workers.mu.Unlock()
		c.leave(ReasonTransportClose)
		eventually(t, "gone", func() bool { return !socket.Connected() })
		if s.sockets.len() == 0 {
			t.Error("the socket is forgotten before its worker counts")
		}
	}()
	receive(t, "the disconnect", ended)
	eventually(t, "forgotten", func() bool { return s.sockets.len() == 0 })
}
