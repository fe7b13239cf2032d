package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A session's life:
//
//	opening ──open──► open ──Close──► closing ──delivered, or 30 s──► closed
//	   └──────────────┴───any end, Discard──────┴───────────────────────►┘
type state uint8

const (
	stateOpening state = iota // Accept is running; nothing has been sent
	stateOpen
	stateClosing // Close was called: what is queued still goes out, nothing comes in
	stateClosed
)

// closeTimeout bounds how long a graceful close waits for the client (POL-033).
const closeTimeout = 30 * time.Second

// Session is one client, over whichever transport it uses at the moment. All methods are
// safe for concurrent use and none of them waits for the network or calls the handler.
type Session struct {
	srv     *Server
	id      SessionID
	remote  string
	dialect dialect // of its first request; set before the session is given to anybody
	handler Handler // set before the session is reachable
	seat    *seat   // as is this; nil where sessions are not counted

	observer *watch // set inside Accept; nil = none

	recv      sync.Mutex // held while a method of handler runs; taken before mu
	delivered bool       // a Message came after the last EndBatch; guarded by recv

	paused atomic.Bool // written with mu held, as is the next
	behind atomic.Bool // the WebSocket waits for a POST from before the upgrade

	mu        sync.Mutex
	state     state         // this and all below guarded by mu
	opened    bool          // the open packet may be sent
	websocket bool          // the transport
	upgraded  bool          // it was polling before
	out       []*Message    // accepted but not yet handed to the transport
	outBytes  int           // of out
	conn      *wsConn       // nil on polling
	poll      *pollRequest  // the GET that waits for packets
	post      *postRequest  // the POST being served
	probe     *probe        // a WebSocket on its way to replace polling
	parting   chan struct{} // the client has closed, its GET may still come; closed with the session
	resume    chan struct{} // closed by Resume; nil when not paused

	timer    alarm
	due      time.Duration // of timer: next ping, ping timeout or close timeout
	awaiting bool          // a pong, or a ping in protocol 3; else the next is ours to send
	extended bool          // this ping's timeout was extended already

	reason Reason // why the session ended
	cause  error
}

func newSession(srv *Server, id SessionID, remote, transport string) *Session {
	s := &Session{srv: srv, id: id, remote: remote, websocket: transport == WebSocket}
	s.timer.target = s
	return s
}

// ID returns the session's secret id.
func (s *Session) ID() SessionID { return s.id }

// RemoteAddr returns the client's address as Config.RemoteAddr saw it in the first request.
func (s *Session) RemoteAddr() string { return s.remote }

// Transport returns the name of the present transport, Polling or WebSocket.
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.websocket {
		return WebSocket
	}
	return Polling
}

// Closing reports whether the session has ended or is about to: after Close, or since the
// client has closed it, while the GET is waited for that its close packet may have overtaken.
func (s *Session) Closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state >= stateClosing || s.parting != nil
}

// Protocol returns the revision of Engine.IO that the client speaks: 4, or 3 with
// Config.AllowEIO3.
func (s *Session) Protocol() int { return s.dialect.protocol() }

// Upgraded reports whether the session has changed from polling to WebSocket.
func (s *Session) Upgraded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.upgraded
}

// Pause stops reading the client after the current Message: a WebSocket is not read
// further, a POST is answered only after Resume. The ping timeout is suspended, while
// pings, in protocol 3 pongs, go on so that the client stays. Pausing twice is pausing once. It may be called
// from inside Handler.Message.
func (s *Session) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= stateClosing || s.resume != nil { // closing: nothing is received any more
		return
	}
	s.resume = make(chan struct{})
	s.paused.Store(true)
	s.pauseV3Locked()
}

// Resume undoes Pause. A client that owes a pong has a whole ping timeout for it from now,
// one of protocol 3 the whole time it has for a ping.
func (s *Session) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume == nil {
		return
	}
	s.unpauseLocked()
	if s.state == stateOpen && s.awaiting {
		s.armLocked(s.srv.wheel.now() + s.patience())
	}
}

func (s *Session) unpauseLocked() {
	if s.resume != nil {
		close(s.resume)
		s.resume = nil
		s.paused.Store(false)
	}
}

// gate returns a channel that is closed when receiving may go on, nil if it may now.
func (s *Session) gate() <-chan struct{} {
	if !s.paused.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.resume == nil {
		return nil
	}
	return s.resume
}

// open makes the session reachable and sends the open packet and what Accept has queued;
// conn is nil on polling, whose packets go with the handshake's response. It returns
// false when the session or the server was closed meanwhile.
func (s *Session) open(conn *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || !s.srv.register(s) {
		return false
	}
	s.opened = true
	s.conn = conn
	s.srv.cfg.Metrics.sessionOpened()
	s.startHeartbeatLocked()
	if s.state == stateOpening {
		s.state = stateOpen
	}
	_ = s.flushLocked()     // an error has closed the session
	s.endGracefullyLocked() // if Accept has closed it
	return true
}

// abandon ends an accepted session that could not be opened: its handler is told, and
// the metrics, which never saw it, are not.
func (s *Session) abandon(reason Reason, cause error) {
	s.mu.Lock()
	if s.state != stateClosed {
		s.reason, s.cause = reason, cause
		s.state = stateClosed
	}
	s.seat.leave()
	s.unpauseLocked()
	s.mu.Unlock()
	s.finish()
}

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed
}

// finish tells the handler the end. It runs once, in a goroutine of its own or of the handshake.
func (s *Session) finish() {
	s.recv.Lock()
	defer s.recv.Unlock()
	s.observer.closed(s.reason, s.cause)
	s.handler.Closed(s.reason, s.cause) // both are final once the state is closed
	s.srv.cfg.Log.Debug("session closed", slog.String("session", s.logID()),
		slog.String("reason", string(s.reason)), slog.Any("err", s.cause))
}

// logID returns what may be logged of the id.
func (s *Session) logID() string {
	sum := sha256.Sum256([]byte(s.id))
	return hex.EncodeToString(sum[:4])
}
