package engine

import "time"

// The heartbeat of protocol 3 goes the other way: the client pings, the server answers, and
// the session ends when no ping has come for PingInterval + PingTimeout, whatever else has
// (V3-006, V3-007). So the session always awaits something of its client.

// patience returns how long the client may take for the pong, or in protocol 3 the ping,
// that is awaited of it: the ping may have been early.
func (s *Session) patience() time.Duration {
	cfg := &s.srv.cfg
	if s.dialect.v3 {
		return cfg.PingInterval + cfg.PingTimeout
	}
	return cfg.PingTimeout + s.srv.together()
}

// startHeartbeatLocked begins the heartbeat of a session that opens.
func (s *Session) startHeartbeatLocked() {
	if s.dialect.v3 {
		s.awaiting = true
		s.armV3Locked(s.srv.wheel.now())
		return
	}
	s.armLocked(s.srv.nextPing())
}

// armV3Locked gives a client that has shown itself at the given time until when it must
// again. While the session is paused no ping is read: then a pong is sent whenever one
// would be due, which keeps the client as any packet does.
func (s *Session) armV3Locked(at time.Duration) {
	due := at + s.patience()
	if s.paused.Load() {
		due = max(s.srv.wheel.now(), due-s.srv.cfg.PingTimeout)
	}
	s.armLocked(due)
}

// pauseV3Locked goes over to those pongs.
func (s *Session) pauseV3Locked() {
	if s.dialect.v3 && s.state == stateOpen {
		s.armV3Locked(s.due - s.patience())
	}
}

// pulseV3Locked sends the one that is due.
func (s *Session) pulseV3Locked(now time.Duration) {
	if s.pongLocked() {
		s.armV3Locked(now)
	}
}

// heardV3Locked accounts for a packet in the heartbeat. It returns false when the session
// has ended.
func (s *Session) heardV3Locked(kind packetType) bool {
	if kind == packetPong {
		s.closeLocked(TransportError, errHeartbeatDirection, endNicely) // HB-010
		return false
	}
	if kind == packetPing {
		s.armV3Locked(s.srv.wheel.now())
		return s.pongLocked()
	}
	return true // nothing else counts
}

// pongLocked answers a ping; false when the session has ended by that.
func (s *Session) pongLocked() bool {
	return s.queueLocked([]*Message{pongPacket}) == nil && s.flushLocked() == nil
}
