package engine

import (
	"net/http"

	"github.com/gobwas/ws"
)

// wsTransport is a session as the owner of its WebSocket connection.
type wsTransport struct{ *Session }

func (t wsTransport) isPaused() bool { return t.paused.Load() || t.behind.Load() }

func (t wsTransport) gate() <-chan struct{} {
	if ended := t.afterPost(); ended != nil {
		return ended
	}
	return t.Session.gate()
}

// receive turns a message of the connection into a packet (spec 1.7).
func (t wsTransport) receive(f frame) verdict {
	parse := t.dialect.parseBinary
	if f.op == ws.OpText {
		parse = t.dialect.parseText
	}
	p, err := parse(f.payload)
	if err != nil {
		t.fail(ParseError, err, endNicely) // WS-004
		return receiveStop
	}
	if !t.Session.receive(p) {
		return receiveStop
	}
	if p.kind == packetPong || p.kind == packetPing {
		return receiveBeat
	}
	return receiveMore
}

func (t wsTransport) lost(reason Reason, cause error) { t.fail(reason, cause, endItself) }

// drained ends a session that Close was called on.
func (t wsTransport) drained() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == stateClosing {
		t.closeLocked(ForcedClose, nil, endNicely)
	}
}

// upgradeHTTP makes a WebSocket of a verified request. It returns the connection, which
// has no owner yet, and the bytes that the client sent behind its request.
func (s *Server) upgradeHTTP(w http.ResponseWriter, r *http.Request, d dialect) (*wsConn, []byte, error) {
	s.userHeaders(w.Header(), r)
	w.WriteHeader(http.StatusSwitchingProtocols)
	u := switchingOf(w)
	netConn, err := u.take()
	if err != nil {
		return nil, nil, err
	}
	c := newWSConn(s, netConn, d)
	c.frames.deflate = u.deflate
	c.relay, _ = netConn.(*relayedConn)
	return c, u.first, nil
}

// serveConn reads the connection in a goroutine of its own, so that the request's
// goroutine and its buffers can go.
func (s *Server) serveConn(c *wsConn, first []byte) {
	s.track.spawn(func() { c.readLoop(first) }) // ends when the connection does; Server.Close waits
}
