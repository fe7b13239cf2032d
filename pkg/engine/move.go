package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// A session may move to the server that has its WebSocket, at the moment in which the upgrade
// to that is complete and if its handler lets it go. Nothing is sent or received while it
// moves: what is queued goes with it, and what the client has sent behind its upgrade packet
// is with the relay. The old server remembers for a while that it had the session, and
// answers stray requests of it as a session on WebSocket does.

// Mover is a Handler whose session may move to another server. It is asked at the end of an
// upgrade to a WebSocket that another server has relayed, and when it agrees returns its
// state, which that server's Config.Adopt gets. From then on none of its methods is called,
// and nothing may be sent on the session; but if the session ends in that very moment,
// Closed is called as ever. Like other methods of a Handler it is not called concurrently
// with them.
type Mover interface {
	Move() (state []byte, ok bool)
}

// Upgrader is a Handler that is told when its session has changed to WebSocket. It is called
// like other methods of a Handler, before the first message that comes on the WebSocket.
type Upgrader interface {
	Upgraded()
}

const (
	movedMemory = time.Minute // how long a server remembers the sessions that have moved
	movedCount  = 1 << 16     // and how many of them
)

// movedSession is a session on its way.
type movedSession struct {
	ID       SessionID      `json:"sid"`
	Remote   string         `json:"remote"`
	Awaiting bool           `json:"awaiting"` // a pong
	Extended bool           `json:"extended"`
	Left     time.Duration  `json:"left"` // until the next ping
	Out      []movedMessage `json:"out"`  // queued
	Handler  []byte         `json:"handler"`
}

type movedMessage struct {
	Kind   packetType `json:"kind"`
	Binary bool       `json:"binary"`
	Plain  bool       `json:"plain"`
	Data   []byte     `json:"data"`
}

func (m *Message) moved() movedMessage {
	data := m.payload()
	if !m.bin {
		data = data[1:] // the type
	}
	return movedMessage{Kind: m.kind, Binary: m.bin, Plain: m.plain, Data: data}
}

func (m movedMessage) message() (*Message, error) {
	var msg *Message
	switch {
	case m.Kind >= packetTypes:
		return nil, errMalformed
	case m.Binary:
		msg = NewBinary(m.Data)
	default:
		msg = newPacket(m.Kind, m.Data)
	}
	msg.plain = m.Plain
	return msg, nil
}

// move ends the session here, if it can go on at the relay of p's connection, and returns it
// as JSON; nil if it stays.
func (p *probe) move() []byte {
	s := p.s
	mover, ok := s.handler.(Mover)
	if !ok {
		return nil
	}
	s.recv.Lock()
	defer s.recv.Unlock()
	if !p.movable() {
		return nil
	}
	handler, ok := mover.Move()
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != p { // it has ended meanwhile, and its connection with it
		return nil
	}
	e := movedSession{
		ID: s.id, Remote: s.remote, Awaiting: s.awaiting, Extended: s.extended,
		Left: s.due - s.srv.wheel.now(), Handler: handler,
	}
	for _, m := range s.out {
		e.Out = append(e.Out, m.moved())
	}
	b, err := json.Marshal(e)
	if err != nil {
		s.closeLocked(ForcedClose, fmt.Errorf("encode session: %w", err), endNow)
		return nil
	}
	s.moveLocked(p)
	return b
}

// movable reports whether nothing of the session is bound to this server.
func (p *probe) movable() bool {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.probe == p && s.state == stateOpen && s.resume == nil && s.post == nil && s.observer == nil && !s.dialect.v3
}

// moveLocked forgets a session that goes on elsewhere.
func (s *Session) moveLocked(p *probe) {
	s.forgetProbeLocked(p, upgradeMoved)
	s.releasePollLocked()
	s.abortPostLocked()
	s.state, s.reason = stateClosed, Moved
	s.srv.wheel.stop(&s.timer)
	s.takeOutLocked()
	s.srv.rememberMoved(s.id)
	s.srv.unregister(s)
	s.seat.leave()
	s.srv.cfg.Metrics.sessionClosed(Moved)
	s.srv.cfg.Log.Debug("session moved away", slog.String("session", s.logID()))
}

// adopt goes on with a session that another server had: conn is the client's WebSocket
// behind the upgrade packet, first what has been read of it already.
func (s *Server) adopt(conn net.Conn, deflate bool, first, state []byte) error {
	var e movedSession
	if err := json.Unmarshal(state, &e); err != nil {
		return fmt.Errorf("decode session: %w", err)
	}
	if s.cfg.Adopt == nil || e.ID == "" {
		return errMalformed
	}
	session := newSession(s, e.ID, e.Remote, WebSocket)
	session.upgraded = true
	for _, m := range e.Out {
		msg, err := m.message()
		if err != nil {
			return err
		}
		session.out, session.outBytes = append(session.out, msg), session.outBytes+msg.Len()
	}
	session.seat = s.seats.add(e.Remote)
	handler, err := s.cfg.Adopt(session, e.Handler)
	if err != nil {
		session.seat.leave()
		return fmt.Errorf("adopt session: %w", err)
	}
	session.handler = handler
	c := newWSConn(s, conn, session.dialect)
	c.frames.deflate = deflate
	c.setOwner(wsTransport{session})
	if session.isClosed() || !session.open(c) {
		c.kill()
		session.abandon(ForcedClose, nil)
		return errors.New("closed")
	}
	session.continueHeartbeat(&e)
	s.cfg.Log.Debug("session adopted", slog.String("session", session.logID()))
	s.serveConn(c, first)
	return nil
}

// continueHeartbeat sets the heartbeat to where it was.
func (s *Session) continueHeartbeat(e *movedSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return
	}
	now, cfg := s.srv.wheel.now(), &s.srv.cfg
	if s.awaiting, s.extended = e.Awaiting, e.Extended; s.awaiting { // the client may have seen the ping late
		s.armLocked(now + s.patience())
		return
	}
	s.armLocked(now + min(max(e.Left, 0), cfg.PingInterval))
}

// movedList remembers sessions that have moved away, the oldest first.
type movedList struct {
	until map[SessionID]time.Duration
	order []SessionID
}

// rememberMoved remembers that a session has moved away.
func (s *Server) rememberMoved(id SessionID) {
	now := s.wheel.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.moved
	if m.until == nil {
		m.until = make(map[SessionID]time.Duration)
	}
	for len(m.order) > 0 && (len(m.order) >= movedCount || m.until[m.order[0]] < now) {
		delete(m.until, m.order[0])
		m.order = m.order[1:]
	}
	m.until[id] = now + movedMemory
	m.order = append(m.order, id)
}

// hasMoved reports whether a session of this server has lately moved to another.
func (s *Server) hasMoved(id SessionID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	until, ok := s.moved.until[id]
	return ok && s.wheel.now() < until
}
