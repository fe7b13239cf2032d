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
}

// pollAnswer is one payload, or a refusal.
type pollAnswer struct {
	msgs    []*Message
	refusal *Refusal
}

// servePoll serves a GET: it waits for packets and answers with all that are queued.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	p := &pollRequest{answer: make(chan pollAnswer, 1)}
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
	select {
	case a := <-p.answer:
		s.writePoll(w, r, a)
	case <-r.Context().Done():
		if s.abortPoll(p) {
			w.WriteHeader(http.StatusBadRequest) // for whoever is still there, say a proxy
			return
		}
		s.writePoll(w, r, <-p.answer) // it was answered in that moment
	}
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
	body := (*buf)[:0]
	if n := s.dialect.payloadLen(a.msgs); n > cap(body) {
		body = make([]byte, 0, n)
	}
	body = s.dialect.appendPayload(body, a.msgs)
	h := w.Header()
	h.Set("Content-Type", s.dialect.payloadType(a.msgs))
	s.srv.headers(h, r)
	if coding := s.srv.codingFor(r, a.msgs, len(body)); coding != "" {
		if zipped, err := s.srv.zip.body(nil, coding, body); err == nil {
			body = zipped
			h.Set("Content-Encoding", coding)
		}
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

// wrotePoll tells that a payload is out; one of the transport's own was never flushed.
func (s *Session) wrotePoll(msgs []*Message) {
	if s.observer == nil || msgs[0].kind == packetNoop || msgs[0].kind == packetClose {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainedLocked()
}
