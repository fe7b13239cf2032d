package engine

// ending says what becomes of the session's WebSocket.
type ending uint8

const (
	endNow    ending = iota // the connection is cut, what it still holds is lost
	endNicely               // what it holds and a close frame are sent; the client has a while to answer
	endItself               // the connection is ending and sees to that itself
)

// Close ends the session with ForcedClose once what is queued has been delivered: on
// WebSocket with a close frame behind it, on polling with a close packet to the GET that
// waits or to the next one, for which it waits up to 30 s (POL-032 to POL-034, WS-009).
// Nothing can be sent, and nothing is received, from now on.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case stateOpening:
		s.state = stateClosing // open goes on from here
	case stateOpen:
		s.state = stateClosing
		_ = s.flushLocked() // an error has closed the session
		s.endGracefullyLocked()
	case stateClosing, stateClosed:
	}
}

// Discard ends the session at once with the given reason. What is queued is lost.
func (s *Session) Discard(reason Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(reason, nil, endNow)
}

// endGracefullyLocked does for a flushed session what its transport needs, if it is closing.
func (s *Session) endGracefullyLocked() {
	if s.state != stateClosing {
		return
	}
	s.unpauseLocked()
	s.abortPostLocked()
	now := s.srv.wheel.now()
	switch {
	case s.websocket:
		s.srv.wheel.stop(&s.timer) // the connection has a deadline of its own for this
		if s.conn.shutdown(closeFrame, true) {
			s.closeLocked(ForcedClose, nil, endNicely)
		}
	case s.poll != nil:
		s.closeLocked(ForcedClose, nil, endNicely)
	default:
		s.armLocked(now + closeTimeout)
	}
}

// closeLocked ends the session unless it has ended already, and has its handler told. The
// reason of a session that Close was called on is ForcedClose, whatever ends it.
func (s *Session) closeLocked(reason Reason, cause error, how ending) {
	if s.state == stateClosed {
		return
	}
	if s.state == stateClosing {
		reason = ForcedClose
	}
	s.state, s.reason, s.cause = stateClosed, reason, cause
	s.srv.wheel.stop(&s.timer)
	if out := s.takeOutLocked(); s.observer != nil {
		s.observer.unsent = out
	}
	s.unpauseLocked()
	if s.parting != nil {
		close(s.parting)
		s.parting = nil
	}
	if s.poll != nil {
		s.answerPollLocked(closePacket)
	}
	s.abortPostLocked()
	if p := s.probe; p != nil {
		s.dropProbeLocked(p, upgradeFailed)
	}
	if s.conn != nil {
		switch how {
		case endNow:
			s.conn.kill()
		case endNicely:
			s.conn.shutdown(closeFrame, true)
		case endItself:
		}
	}
	if !s.opened {
		return // the handshake sees it and tells the handler
	}
	s.srv.unregister(s)
	s.seat.leave()
	s.srv.cfg.Metrics.sessionClosed(reason)
	s.srv.track.spawn(s.finish) // not here: the caller may hold its own locks, or be the handler
}

// fail ends the session from outside its lock.
func (s *Session) fail(reason Reason, cause error, how ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(reason, cause, how)
}
