package engine

import (
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// The upgrade, seen from here (spec 1.8):
//
//	WS opens with the sid ──► probing ──2probe──► 3probe, and a noop to each GET that waits
//	                             │                   │ 5
//	                             │                   └──► the session moves to the WebSocket
//	                             └─ anything else, end, timeout ──► the WebSocket is closed,
//	                                                the session stays on polling and may retry

// noopInterval is how often a GET that waits is released during an upgrade. The first
// release comes that much after the probe's answer, so that the client has stopped polling.
const noopInterval = 100 * time.Millisecond

// probe is a WebSocket that is about to take a session over. It is its connection's owner
// until then.
type probe struct {
	s     *Session
	conn  *wsConn
	alarm alarm

	deadline  time.Duration // of the upgrade; set once
	answered  bool          // 3probe has been sent; this and below guarded by Session.mu
	holdUntil time.Duration // pings are held back until then
}

// serveUpgrade accepts a WebSocket for a session that has one transport already. If it
// cannot be upgraded the connection is opened and closed again, as by the reference,
// whose clients do not expect a refusal here (UPG-005, WS-016).
func (s *Server) serveUpgrade(w http.ResponseWriter, r *http.Request, q request) {
	conn, first, err := s.upgradeHTTP(w, r, q.dialect)
	if err != nil {
		return // the client has gone; the session does not care
	}
	if !q.session.startProbe(conn) {
		s.cfg.Metrics.upgradeEnded(upgradeRefused)
		conn.shutdown(closeFrame, true)
	}
	s.serveConn(conn, first)
}

// startProbe begins an upgrade to conn, if the session can be upgraded now.
func (s *Session) startProbe(conn *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || s.websocket || s.probe != nil {
		return false
	}
	p := &probe{s: s, conn: conn, deadline: s.srv.wheel.now() + s.srv.cfg.UpgradeTimeout}
	p.alarm.target = p
	conn.setOwner(p)
	s.probe = p
	s.srv.wheel.arm(&p.alarm, p.deadline)
	return true
}

// expire releases a waiting GET, or gives the upgrade up when its time is over (UPG-008).
func (p *probe) expire() {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != p {
		return
	}
	now := s.srv.wheel.now()
	if now >= p.deadline {
		s.dropProbeLocked(p, upgradeTimedOut)
		return
	}
	if p.answered && s.poll != nil {
		s.answerPollLocked(noopPacket) // UPG-002
	}
	s.srv.wheel.arm(&p.alarm, min(now+noopInterval, p.deadline))
}

// mayHoldPing reports whether a ping may wait for the upgrade to end; Session.mu is held.
func (p *probe) mayHoldPing(now time.Duration) bool { return p.answered && now < p.holdUntil }

// dropProbeLocked ends an upgrade without one.
func (s *Session) dropProbeLocked(p *probe, end upgradeEnd) {
	s.forgetProbeLocked(p, end)
	p.conn.shutdown(closeFrame, true)
}

// forgetProbeLocked makes the session one that may be upgraded again.
func (s *Session) forgetProbeLocked(p *probe, end upgradeEnd) {
	s.srv.cfg.Metrics.upgradeEnded(end)
	s.probe = nil
	s.srv.wheel.stop(&p.alarm)
}

// answer replies to 2probe; false if the upgrade is over.
func (p *probe) answer() bool {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != p {
		return false
	}
	if err := p.conn.send([]*Message{probeReply}); err != nil {
		s.dropProbeLocked(p, upgradeFailed)
		return false
	}
	now := s.srv.wheel.now()
	if !p.answered {
		cfg := &s.srv.cfg
		p.answered = true
		s.observer.upgrading(WebSocket)
		p.holdUntil = now + min(cfg.UpgradeTimeout, cfg.PingTimeout/2)
	}
	s.srv.wheel.arm(&p.alarm, min(now+noopInterval, p.deadline))
	return true
}

// upgrade ends the probing: the session is on the WebSocket, be it here or at the relay.
func (p *probe) upgrade() verdict {
	if p.conn.relay != nil {
		if state := p.move(); state != nil {
			p.conn.mu.Lock()
			defer p.conn.mu.Unlock()
			p.conn.moving = state
			return receiveMoved
		}
		if err := p.conn.relay.stay(); err != nil {
			p.conn.fail(TransportError, err)
			return receiveStop
		}
	}
	if !p.complete() {
		return receiveStop
	}
	if u, ok := p.s.handler.(Upgrader); ok {
		p.s.recv.Lock()
		defer p.s.recv.Unlock()
		if !p.s.isClosed() {
			u.Upgraded()
		}
	}
	return receiveSwitched
}

// complete moves the session to the probe's connection, in order and without loss: what
// polling has not been asked for goes out on the WebSocket next.
func (p *probe) complete() bool {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probe != p {
		return false
	}
	s.forgetProbeLocked(p, upgradeCompleted)
	s.releasePollLocked()
	s.finishPostLocked()
	s.websocket, s.upgraded, s.conn = true, true, p.conn
	p.conn.setOwner(wsTransport{s})
	s.observer.upgraded(WebSocket)
	if s.state == stateClosing { // UPG-014
		_ = s.flushLocked() // an error has closed the session
		s.endGracefullyLocked()
		return true
	}
	if s.awaiting && !s.paused.Load() { // the client may have seen the ping late
		s.armLocked(max(s.due, s.srv.wheel.now()+s.patience()))
	}
	_ = s.flushLocked()
	return true
}

// releasePollLocked ends a GET that still waits when the upgrade completes. A proper client
// has none. One from before the probe gets a noop; one that came later, when the client
// was told to stop polling, is a request after the upgrade that overtook it (UPG-004).
func (s *Session) releasePollLocked() {
	if s.poll == nil {
		return
	}
	if !s.poll.afterProbe {
		s.answerPollLocked(noopPacket)
		return
	}
	s.poll.answer <- pollAnswer{
		refusal: badRequest("TRANSPORT_MISMATCH", "transport", Polling, "previousTransport", WebSocket),
	}
	s.poll = nil
}

// The methods of connOwner.

func (p *probe) gate() <-chan struct{} { return nil }
func (p *probe) isPaused() bool        { return false }
func (p *probe) begin()                {}
func (p *probe) end()                  {}

func (p *probe) receive(f frame) verdict {
	switch {
	case f.op == ws.OpText && string(f.payload) == "2probe":
		if p.answer() {
			return receiveMore
		}
	case f.op == ws.OpText && string(f.payload) == "5":
		return p.upgrade()
	default: // UPG-010
		p.lost(TransportError, errMalformed)
		p.conn.shutdown(closeFrame, true)
	}
	return receiveStop
}

func (p *probe) lost(Reason, error) {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if p.s.probe == p {
		p.s.forgetProbeLocked(p, upgradeFailed)
	}
}

func (p *probe) drained() {}
func (p *probe) emptied() {}
