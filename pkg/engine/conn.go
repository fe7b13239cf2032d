package engine

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
)

// lingerTimeout is how long a connection stays after our close frame for the client's.
// Cutting it at once could destroy data that the client has not read yet (WS-009).
const lingerTimeout = 5 * time.Second

// verdict is an owner's answer to a frame.
type verdict uint8

const (
	receiveMore     verdict = iota
	receiveBeat             // more; it was a heartbeat and nothing else
	receiveSwitched         // the connection has another owner now
	receiveStop             // nothing more is wanted from the client
	receiveMoved            // the connection is not this server's any more
)

// connOwner is what a connection serves: a probe, and then a session. All methods but
// lost, emptied and drained are called by the connection's reader only. None is called with the
// connection's lock held, while the owner may hold its own when it calls the connection.
type connOwner interface {
	gate() <-chan struct{} // closed when reading may go on, nil if it may now
	isPaused() bool
	begin() // brackets the frames of one read
	end()
	receive(f frame) verdict
	lost(reason Reason, cause error) // the connection has failed, or been closed by the client, and will end
	emptied()                        // the kernel has taken all that it had refused
	drained()                        // the close frame of shutdown is out, behind all data
}

// nobody owns a connection that was never given to a session.
type nobody struct{}

func (nobody) gate() <-chan struct{} { return nil }
func (nobody) isPaused() bool        { return false }
func (nobody) begin()                {}
func (nobody) end()                  {}
func (nobody) receive(frame) verdict { return receiveStop }
func (nobody) lost(Reason, error)    {}
func (nobody) emptied()              {}
func (nobody) drained()              {}

// A connection's life. What is sent before draining goes out; what is received after
// open is thrown away, but for the client's close frame.
//
//	open ──shutdown──► draining ──written──► lingering ──client's close, 5 s──► dead
//	  └────────────────────┴───────kill, failure──┴──────────────────────────────►┘
type connState uint8

const (
	connOpen connState = iota
	connDraining
	connLingering
	connDead
)

// wsConn is one WebSocket connection: frames in (feed), frames out (send) and its end
// (shutdown, kill). It has one goroutine that reads, and another one only while the
// kernel refuses bytes.
type wsConn struct {
	srv     *Server
	io      netIO
	dialect dialect      // of what is sent
	relay   *relayedConn // io, if the client is connected to another server; set before the first frame

	frames frameReader // owned by the reader, but for its deflate, which does not change
	grown  bool        // owned by the reader: its stack may be, since it has run a handler
	beat   bool        // owned by the reader: the last bytes were a heartbeat

	mu       sync.Mutex
	owner    connOwner // this and all below guarded by mu
	state    connState
	linger   bool     // draining ends in lingering, not in dead
	flushing bool     // a goroutine is writing pend
	pend     [][]byte // what the kernel refused, in order
	pendLen  int      // bytes of pend and of the write in progress
	alarm    *leaving // deadline of draining and lingering
	moving   []byte   // the session that moves to the relay
}

func newWSConn(s *Server, conn net.Conn, d dialect) *wsConn {
	return &wsConn{
		srv: s, io: newNetIO(conn, s), dialect: d, owner: nobody{},
		frames: frameReader{limit: s.cfg.MaxHTTPBufferSize},
	}
}

func (c *wsConn) setOwner(o connOwner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owner = o
}

// current returns the owner, and whether it is to get what is received.
func (c *wsConn) current() (connOwner, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.owner, c.state == connOpen
}

// readLoop reads the connection until it ends. It holds no buffer while it waits. A stack
// that a handler has made grow would stay so: when only heartbeats come any more, another
// goroutine goes on with a small one. A heartbeat itself must fit into that.
func (c *wsConn) readLoop(rest []byte) {
	for {
		owner, _ := c.current()
		if resumed := owner.gate(); resumed != nil {
			<-resumed // closed by Resume, or with the session
			continue
		}
		if len(rest) > 0 {
			rest = c.feed(rest)
			continue
		}
		buf, n, err := c.io.read()
		if err != nil {
			c.fail(TransportClose, err)
			return
		}
		if rest = c.feed((*buf)[:n]); len(rest) > 0 {
			rest = append([]byte(nil), rest...)
		}
		c.io.release(buf)
		if c.grown && c.beat && len(rest) == 0 {
			c.grown = false
			c.srv.track.spawn(func() { c.readLoop(nil) }) // takes the place of this one
			return
		}
	}
}

// feed handles received bytes, which it may change, and returns those that must wait
// because the owner has paused or become another.
func (c *wsConn) feed(p []byte) (rest []byte) {
	owner, open := c.current()
	if open {
		owner.begin()
		defer owner.end()
	}
	for len(p) > 0 {
		if open && owner.isPaused() {
			return p
		}
		n, f, err := c.frames.next(p)
		p = p[n:]
		switch {
		case errors.Is(err, errMessageTooBig): // it is skipped, up to the client's close frame
			c.violated(owner, err)
			open = false
		case err != nil:
			c.violated(owner, err)
			return nil
		case !f.found:
			return nil
		case f.op.IsControl():
			c.grown = true
			if !c.control(owner, f) {
				return nil
			}
		case open:
			var v verdict
			if f.compressed {
				v = c.deliverCompressed(owner, f)
			} else {
				v = owner.receive(f)
			}
			c.beat = v == receiveBeat
			c.grown = c.grown || !c.beat
			switch v {
			case receiveSwitched:
				return p
			case receiveStop:
				open = false
			case receiveMoved:
				c.hand(len(p))
				return nil
			case receiveMore, receiveBeat:
			}
		}
	}
	return nil
}

// hand ends the connection here, since its session goes on at the relay; the last unused
// bytes that have been read are for it.
func (c *wsConn) hand(unused int) {
	c.mu.Lock()
	state := c.moving
	c.state, c.owner, c.moving = connDead, nobody{}, nil
	c.mu.Unlock()
	if err := c.relay.move(state, unused); err != nil {
		c.srv.cfg.Log.Debug("session lost on its way") // the relay closes the client's connection
	}
	_ = c.relay.Close() // the relay is done with it
}

// control handles a control frame; false when the connection has ended.
func (c *wsConn) control(owner connOwner, f frame) bool {
	switch f.op {
	case ws.OpPing:
		return c.pong(owner, f.payload)
	case ws.OpClose:
		answer, err := answerClose(f.payload)
		if err != nil {
			c.violated(owner, err)
			return false
		}
		owner.lost(TransportClose, nil)
		if _, open := c.current(); open {
			c.shutdown(answer, false)
		} else {
			c.kill() // this is the answer to ours
		}
		return false
	default: // a pong that nobody asked for
		return true
	}
}

// answerClose returns the frame that answers a close frame with the given payload.
func answerClose(payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return closeFrame, nil
	}
	if len(payload) == 1 {
		return nil, ws.ErrProtocolStatusCodeNotInUse
	}
	code, reason := ws.ParseCloseFrameData(payload)
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return nil, err
	}
	return closeFrameCode(code), nil
}

// pong answers a ping; false when the connection has ended.
func (c *wsConn) pong(owner connOwner, payload []byte) bool {
	c.mu.Lock()
	if c.state != connOpen {
		c.mu.Unlock()
		return true
	}
	if int64(c.pendLen) > c.srv.cfg.MaxOutboundBytes { // it pings but does not read
		c.mu.Unlock()
		owner.lost(SlowClient, ErrSlow)
		c.kill()
		return false
	}
	err := c.writeLocked(controlFrame(ws.OpPong, payload))
	c.mu.Unlock()
	if err != nil {
		c.fail(TransportError, err)
	}
	return err == nil
}

// violated ends the connection of a client that broke the WebSocket protocol (WS-006).
func (c *wsConn) violated(owner connOwner, err error) {
	if !errors.Is(err, errMessageTooBig) { // where the next frame begins is not known: maybe with the next read
		c.frames = frameReader{limit: c.frames.limit, deflate: c.frames.deflate}
	}
	owner.lost(TransportError, err)
	if _, open := c.current(); open { // else it is ending already
		c.shutdown(closeFrameCode(closeCode(err)), true)
	}
}

// fail ends a connection that could not be read or written. The owner is told first, so
// that it hears the reason and not what follows from it.
func (c *wsConn) fail(reason Reason, err error) {
	owner, _ := c.current()
	owner.lost(reason, err)
	c.kill()
}
