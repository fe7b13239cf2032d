package engine

import "time"

// Heartbeat: a ping PingInterval after the opening and after each pong, a pong within
// PingTimeout after the ping. Only a pong counts, but one other packet extends the
// timeout once (HB-012). Protocol 3 is told in v3heartbeat.go. The times hang on the wheel's alarm of the session and go on
// across an upgrade.

// probeGrace is how long at a time a ping is held back while an upgrade is being probed.
const probeGrace = 50 * time.Millisecond

// nextPing returns the time of the next ping of a session that has been heard now: together with those of others. A process that
// wakes for a hundred pings and pongs at a time spends less than half of what it spends for as many one by one.
func (s *Server) nextPing() time.Duration {
	due := s.wheel.now() + s.cfg.PingInterval
	if together := s.together(); together > 0 {
		due -= due % together
	}
	return due
}

// together returns how far pings are apart that go together: that much earlier at most each goes than it would alone. Its
// client gets the time back with the timeout, which must not come early (HB-005, HB-006).
func (s *Server) together() time.Duration {
	if t := min(s.cfg.PingInterval/100, 250*time.Millisecond); t > wheelTick {
		return t
	}
	return 0
}

// armLocked sets the time of the session's alarm.
func (s *Session) armLocked(due time.Duration) {
	s.due = due
	s.srv.wheel.arm(&s.timer, due)
}

// expire is called by the wheel when the alarm's time has come.
func (s *Session) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.srv.wheel.now()
	if s.state == stateClosed || now < s.due {
		return // moved at the last moment
	}
	switch {
	case s.state == stateClosing:
		s.closeLocked(ForcedClose, nil, endNow)
	case s.awaiting && !s.paused.Load():
		s.closeLocked(PingTimeout, nil, endNow)
	default:
		s.pingLocked(now)
	}
}

// overdueLocked ends the session if its ping timeout has passed, although the wheel has
// not come to it yet: a request in that tick must find the session gone (HB-003).
func (s *Session) overdueLocked() bool {
	if s.state == stateOpen && s.awaiting && !s.paused.Load() && s.srv.wheel.now() >= s.due {
		s.closeLocked(PingTimeout, nil, endNow)
		return true
	}
	return false
}

// pingLocked sends the ping that is due.
func (s *Session) pingLocked(now time.Duration) {
	cfg := &s.srv.cfg
	if s.probe != nil && s.probe.mayHoldPing(now) {
		// The client waits for its GET to end with a noop and nothing else.
		s.armLocked(now + min(probeGrace, cfg.PingTimeout/4))
		return
	}
	if s.dialect.v3 { // it is paused
		s.pulseV3Locked(now)
		return
	}
	if s.queueLocked([]*Message{pingPacket}) != nil {
		return
	}
	s.awaiting, s.extended = true, false
	due := s.due
	if now-due > cfg.PingTimeout/4 { // this process was late; the client shall not pay much for it
		due = now
	}
	if s.paused.Load() { // its pong is not read: no timeout, but the next ping in time
		s.armLocked(due + cfg.PingInterval)
	} else {
		s.armLocked(due + s.patience())
	}
	_ = s.flushLocked() // an error has closed the session
}

// heardLocked accounts for a packet of an open session in its heartbeat. It returns false
// when the session has ended.
func (s *Session) heardLocked(kind packetType) bool {
	if s.dialect.v3 {
		return s.heardV3Locked(kind)
	}
	switch {
	case kind == packetPing:
		s.closeLocked(TransportError, errHeartbeatDirection, endNicely) // HB-009
		return false
	case kind == packetPong:
		s.awaiting = false
		s.armLocked(s.srv.nextPing())
	case s.awaiting && !s.extended:
		s.extended = true
		s.armLocked(max(s.due, s.srv.wheel.now()+s.srv.cfg.PingTimeout))
	}
	return true
}
