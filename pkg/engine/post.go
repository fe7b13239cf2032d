package engine

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

// crossingTimeout is how long a closing client's GET is waited for, which the POST with the
// close packet may have overtaken, most of all if it came by another server.
const crossingTimeout = time.Second

// postRequest is the POST being served.
type postRequest struct {
	rc      *http.ResponseController
	reading bool // its body is still coming; this and below guarded by Session.mu
	aborted bool
	ended   chan struct{} // closed at its end, if somebody waits for that
}

// servePost serves a POST: it delivers the packets of the body and answers when they have
// been handled and the session is not paused.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	p := &postRequest{rc: http.NewResponseController(w), reading: true}
	if refusal := s.startPost(p, r); refusal != nil {
		if refusal.Status == http.StatusBadRequest {
			w.WriteHeader(http.StatusBadRequest) // with an empty body, as the reference
		} else {
			s.srv.refuse(w, r, refusal)
		}
		return
	}
	defer s.endPost(p)
	buf := s.srv.bufs.get()
	defer s.srv.bufs.put(buf)
	body, err := s.readBody(w, r, p, (*buf)[:0])
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.srv.cfg.Metrics.bodyRefused(bodyTooLarge)
		w.WriteHeader(http.StatusRequestEntityTooLarge) // the session stays (POL-012)
		return
	case errors.Is(err, errPostCut):
		abortRequest(w)
		return
	case err != nil:
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.srv.cfg.Metrics.bodyRefused(bodyTooSlow)
		}
		s.fail(TransportError, errPostAborted, endNow)
		abortRequest(w)
		return
	}
	switch s.deliver(r, body) {
	case postDone:
		h := w.Header()
		h.Set("Content-Type", "text/html") // POL-021: not offered as a download
		s.srv.headers(h, r)
		h.Set("Content-Length", "2")
		_, _ = io.WriteString(w, "ok") // a client that is gone is found out by its next request
	case postRefused:
		w.WriteHeader(http.StatusBadRequest)
	case postAborted:
		abortRequest(w)
	}
}

// startPost makes p the POST being served, or returns why it cannot be; a refusal with a
// status is answered with that and no body.
func (s *Session) startPost(p *postRequest, r *http.Request) *Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	bare := &Refusal{Code: CodeBadRequest, Status: http.StatusBadRequest}
	switch {
	case s.state == stateClosed || s.overdueLocked():
		return unknownSession(s.id)
	case s.websocket:
		return badRequest("TRANSPORT_MISMATCH", "transport", Polling, "previousTransport", WebSocket)
	case s.post != nil:
		s.closeLocked(TransportError, errPostOverlap, endNow) // and aborts the first (POL-008)
		return bare
	case isBinaryPayload(r) && !s.dialect.v3:
		s.closeLocked(TransportError, errPostContent, endNow) // POL-016
		return bare
	}
	s.post = p
	return nil
}

func (s *Session) endPost(p *postRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.post == p {
		s.post = nil
	}
	if p.ended != nil {
		close(p.ended)
		s.behind.Store(false)
	}
}

// finishPostLocked settles a POST that is being served when the upgrade completes. The
// official client has none then. One whose body is still coming is cut, as by the reference;
// the packets of one that has arrived go before those of the WebSocket.
func (s *Session) finishPostLocked() {
	if s.post == nil {
		return
	}
	s.abortPostLocked()
	if !s.post.aborted {
		s.post.ended = make(chan struct{})
		s.behind.Store(true)
	}
}

// afterPost returns a channel that is closed when the WebSocket may be received, as far as
// a POST from before the upgrade is concerned, nil if it may now.
func (s *Session) afterPost() <-chan struct{} {
	if !s.behind.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.post == nil || s.post.ended == nil {
		return nil
	}
	return s.post.ended
}

// abortPostLocked stops a POST whose body is still coming (POL-035), or overlapped one.
func (s *Session) abortPostLocked() {
	if p := s.post; p != nil && p.reading {
		p.aborted = true
		_ = p.rc.SetReadDeadline(time.Unix(1, 0)) // not supported = it ends by itself
	}
}

// readBody appends the body to b, within the size limit and the time limit. The error is
// errPostCut when the session did not want to wait for it any longer.
func (s *Session) readBody(w http.ResponseWriter, r *http.Request, p *postRequest, b []byte) ([]byte, error) {
	limit := s.srv.cfg.MaxHTTPBufferSize
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // the rest is not worth reading
		return b, &http.MaxBytesError{Limit: limit}
	}
	s.mu.Lock()
	if !p.aborted {
		_ = p.rc.SetReadDeadline(time.Now().Add(s.srv.cfg.BodyTimeout))
	}
	s.mu.Unlock()
	body := bytes.NewBuffer(b)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, limit))

	s.mu.Lock()
	defer s.mu.Unlock()
	p.reading = false
	_ = p.rc.SetReadDeadline(time.Time{}) // or it would look like the client's going
	if p.aborted {
		err = errPostCut
	}
	return body.Bytes(), err
}

type postResult uint8

const (
	postDone    postResult = iota
	postRefused            // a packet was malformed
	postAborted            // the client has gone, or the session ended while it waited
)

// deliver hands the packets of a body to the session, holding them while it is paused.
func (s *Session) deliver(r *http.Request, body []byte) postResult {
	payload := s.dialect.newPayloadReader(body, isBinaryPayload(r))
	for more := true; more; {
		if !s.waitResumed(r) {
			return postAborted
		}
		var err error
		switch more, err = s.deliverBatch(&payload); {
		case errors.Is(err, errPostCut):
			return postAborted
		case err != nil:
			return postRefused
		}
	}
	if !s.waitResumed(r) {
		return postAborted
	}
	s.waitParted(r)
	return postDone
}

// waitParted ends the session if the client has closed it and the GET that it has under
// way does not come.
func (s *Session) waitParted(r *http.Request) {
	s.mu.Lock()
	parted := s.parting
	s.mu.Unlock()
	if parted == nil {
		return
	}
	t := time.NewTimer(crossingTimeout)
	defer t.Stop()
	select {
	case <-parted:
	case <-t.C:
	case <-r.Context().Done():
	}
	s.fail(TransportClose, nil, endNicely)
}

// deliverBatch delivers packets until the payload ends or the session is paused, and
// returns whether packets are left.
func (s *Session) deliverBatch(payload *payloadReader) (more bool, err error) {
	s.begin()
	defer s.end()
	for !s.paused.Load() {
		pkt, ok, err := payload.next()
		if err != nil {
			s.fail(ParseError, err, endNow)
			return false, err
		}
		if !ok {
			return false, nil
		}
		if !s.receive(pkt) {
			if pkt.kind != packetClose && s.isClosed() {
				return false, errPostCut // not by the client, nor by Close: say that it was not heard
			}
			return false, nil
		}
	}
	return true, nil
}

// waitResumed waits while the session is paused. It returns false when the client has
// given up the POST meanwhile, which ends the session.
func (s *Session) waitResumed(r *http.Request) bool {
	gone := r.Context().Done()
	for {
		resumed := s.gate()
		if resumed == nil {
			return true
		}
		select {
		case <-resumed: // or ended
		case <-gone:
			if s.Transport() == WebSocket { // it has gone on there
				gone = nil
				continue
			}
			s.fail(TransportError, errPostAborted, endNow)
			return false
		}
	}
}

// abortRequest cuts the connection of a request, or answers 400 where that is impossible.
func abortRequest(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	_ = conn.Close() // nothing is to be told to the peer
}
