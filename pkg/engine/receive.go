package engine

// begin makes ready to deliver what one read or one POST has brought.
func (s *Session) begin() { s.recv.Lock() }

// end closes what begin has opened.
func (s *Session) end() {
	defer s.recv.Unlock()
	if s.delivered {
		s.delivered = false
		s.handler.EndBatch()
	}
}

// receive handles one packet of the session's own transport, between begin and end. It
// returns false when no more packets are wanted.
func (s *Session) receive(p packet) bool {
	if !s.account(p) {
		return false
	}
	if p.kind == packetMessage {
		s.delivered = true
		s.handler.Message(p.data, p.binary)
	}
	return true
}

// account does all of a packet but to hand it to the handler; it returns false when the
// session does not receive, be it because of this packet.
func (s *Session) account(p packet) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return false
	}
	s.srv.cfg.Metrics.packetIn(p.kind, len(p.data)+1)
	if s.state == stateOpen {
		s.observer.received(p, p.kind == packetPong && !s.dialect.v3 || p.kind == packetPing && s.dialect.v3)
	}
	if p.kind == packetClose {
		s.partLocked()
		return false
	}
	if s.state != stateOpen {
		return false
	}
	return s.heardLocked(p.kind) // open, upgrade and noop mean nothing here, as to the reference
}

// partLocked handles a close packet of the client. On WebSocket the session ends at once
// (WS-005), on polling with a noop to the GET that waits (POL-011). A client closes while
// its GET is under way, on another connection: if that has been overtaken, the POST that
// brought the packet waits for it a moment.
func (s *Session) partLocked() {
	if !s.websocket && s.poll == nil {
		s.parting = make(chan struct{})
		return
	}
	if s.poll != nil {
		s.answerPollLocked(noopPacket)
	}
	s.closeLocked(TransportClose, nil, endNicely)
}
