package engine

import (
	"errors"
	"net/http"
	"strconv"
	"time"
)

// pollRequest is a GET that waits. Whoever takes it out of Session.poll answers it,
// exactly once.
type pollRequest struct {
	answer     chan pollAnswer // of capacity 1
	afterProbe bool            // it came after the probe's answer
	alarm      alarm           // closes longer
	longer     chan struct{}   // closed when it has waited for parkAfter
	parked     *parked         // where it waits then; nil in the HTTP server; guarded by Session.mu
}

// pollAnswer is one payload, or a refusal.
type pollAnswer struct {
	msgs    []*Message
	refusal *Refusal
}

// servePoll serves a GET: it waits for packets and answers with all that are queued.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	p := &pollRequest{answer: make(chan pollAnswer, 1), longer: make(chan struct{})}
	p.alarm.target = p
	refusal, overlap := s.startPoll(p)
	if refusal != nil {
		s.srv.refuse(w, r, refusal)
		return
	}
	if overlap {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	// The server's own timeouts are for requests that are being read, not for those that wait.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // not supported = not set
	if !p.afterProbe && s.mayPark(w, r) {
		s.srv.wheel.arm(&p.alarm, s.srv.wheel.now()+parkAfter)
		defer s.srv.wheel.stop(&p.alarm)
	}
	select {
	case a := <-p.answer:
		s.writePoll(w, r, a)
	case <-p.longer:
		if !s.park(w, r, p) {
			s.waitPoll(w, r, p)
		}
	case <-r.Context().Done():
		s.quitPoll(w, r, p)
	}
}

// waitPoll waits for the answer to a GET that cannot be parked.
func (s *Session) waitPoll(w http.ResponseWriter, r *http.Request, p *pollRequest) {
	select {
	case a := <-p.answer:
		s.writePoll(w, r, a)
	case <-r.Context().Done():
		s.quitPoll(w, r, p)
	}
}

// quitPoll ends the session of a client that has given its GET up.
func (s *Session) quitPoll(w http.ResponseWriter, r *http.Request, p *pollRequest) {
	if s.abortPoll(p) {
		w.WriteHeader(http.StatusBadRequest) // for whoever is still there, say a proxy
		return
	}
	s.writePoll(w, r, <-p.answer) // it was answered in that moment
}

// startPoll makes p the waiting GET, or says why it cannot be.
func (s *Session) startPoll(p *pollRequest) (refusal *Refusal, overlap bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || s.overdueLocked() {
		return unknownSession(s.id), false
	}
	if s.websocket {
		return badRequest("TRANSPORT_MISMATCH", "transport", Polling, "previousTransport", WebSocket), false
	}
	if s.poll != nil {
		s.closeLocked(TransportError, errPollOverlap, endNow) // answers the first with 1 (POL-007)
		return nil, true
	}
	p.afterProbe = s.probe != nil && s.probe.answered
	s.poll = p
	if s.parting != nil {
		s.partLocked()
		return nil, false
	}
	if s.state == stateClosing && len(s.out) == 0 {
		s.answerPollLocked(noopPacket, closePacket) // POL-033
		s.closeLocked(ForcedClose, nil, endNicely)
		return nil, false
	}
	_ = s.flushLocked() // polling has no write error here
	return nil, false
}

// abortPoll ends the session because the client has given up p; false if p is answered already.
func (s *Session) abortPoll(p *pollRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poll != p {
		return false
	}
	s.poll = nil
	s.closeLocked(TransportError, errPollAborted, endNow) // POL-009
	return true
}

// answerPollLocked answers the GET that waits.
func (s *Session) answerPollLocked(msgs ...*Message) {
	for _, m := range msgs {
		if m.kind == packetNoop || m.kind == packetClose { // the others were counted when queued
			s.srv.cfg.Metrics.packetOut(m)
		}
	}
	s.poll.answer <- pollAnswer{msgs: msgs}
	if s.poll.parked != nil {
		s.poll.parked.poke()
	}
	s.poll = nil
}

// answerHandshake sends the open packet, and what Accept has queued, in the response to
// the first request.
func (s *Session) answerHandshake(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	out := s.takeOutLocked()
	s.observer.flushed(out)
	s.mu.Unlock()
	s.initialHeaders(w.Header(), r)
	s.writePoll(w, r, pollAnswer{msgs: out})
}

// writePoll writes the response to a GET. Packets that could not be written are lost, and
// with them the session.
func (s *Session) writePoll(w http.ResponseWriter, r *http.Request, a pollAnswer) {
	if a.refusal != nil {
		s.srv.refuse(w, r, a.refusal)
		return
	}
	buf := s.srv.bufs.get()
	defer s.srv.bufs.put(buf)
	body, coding := s.payload((*buf)[:0], a.msgs, r.Header["Accept-Encoding"])
	h := w.Header()
	h.Set("Content-Type", s.dialect.payloadType(a.msgs))
	s.srv.headers(h, r)
	if coding != "" {
		h.Set("Content-Encoding", coding)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(s.srv.cfg.BodyTimeout)) // not supported = not set
	w.WriteHeader(http.StatusOK)
	_, err := w.Write(body)
	if err == nil {
		err = rc.Flush()
	}
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(TransportError, errPollAborted, endNow)
		return
	}
	s.wrotePoll(a.msgs)
}

// payload returns the body that msgs make and its content coding, "" for none. It is in buf, unless that is too small or the
// body is shared with other clients: so is a single message's that is compressed.
func (s *Session) payload(buf []byte, msgs []*Message, accept []string) (body []byte, coding string) {
	n := s.dialect.payloadLen(msgs)
	coding = s.srv.codingFor(accept, msgs, n)
	if coding != "" && len(msgs) == 1 && (s.dialect == dialect{}) {
		if zipped := msgs[0].zipped(s.srv.zip, coding); zipped != nil {
			return zipped, coding
		}
	}
	if n > cap(buf) {
		buf = make([]byte, 0, n)
	}
	body = s.dialect.appendPayload(buf, msgs)
	if coding != "" {
		if zipped, err := s.srv.zip.body(nil, coding, body); err == nil {
			return zipped, coding
		}
	}
	return body, ""
}

// wrotePoll tells that a payload is out; one of the transport's own was never flushed.
func (s *Session) wrotePoll(msgs []*Message) {
	if s.observer == nil || msgs[0].kind == packetNoop || msgs[0].kind == packetClose {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainedLocked()
}
