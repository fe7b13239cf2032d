package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// handshake opens a session on a verified request, up to and including the open packet.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, q request) {
	session, refusal := s.newAccepted(r, q)
	if refusal != nil {
		s.refuse(w, r, refusal)
		return
	}
	if q.transport == WebSocket {
		if conn, first := session.openWebSocket(w, r); conn != nil {
			s.serveConn(conn, first)
		}
		return
	}
	if !session.open(nil) {
		session.abandon(ForcedClose, nil)
		s.refuse(w, r, closing())
		return
	}
	session.answerHandshake(w, r)
}

// openWebSocket opens a session on the WebSocket that its handshake asks for, and returns that
// and what has been read of it already. With nil the session has been abandoned; so it is if a
// function of the application panics.
func (s *Session) openWebSocket(w http.ResponseWriter, r *http.Request) (conn *wsConn, first []byte) {
	opened, reason, cause := false, TransportError, error(nil)
	defer func() {
		if !opened {
			s.abandon(reason, cause)
		}
	}()
	s.initialHeaders(w.Header(), r)
	if conn, first, cause = s.srv.upgradeHTTP(w, r, s.dialect); cause != nil {
		return nil, nil
	}
	s.dialect.waitOpened()
	conn.setOwner(wsTransport{s})
	if opened = s.open(conn); !opened {
		conn.kill()
		reason = ForcedClose
		return nil, nil
	}
	return conn, first
}

// newAccepted returns a session that has a seat and that the application has accepted, but
// that is not open yet.
func (s *Server) newAccepted(r *http.Request, q request) (session *Session, refusal *Refusal) {
	if s.isClosed() {
		return nil, closing()
	}
	remote := s.cfg.RemoteAddr(r)
	place, refusal := s.seats.enter(remote)
	if refusal != nil {
		return nil, refusal
	}
	defer func() {
		if session == nil { // refused, or something has panicked
			place.leave()
		}
	}()
	if f := s.cfg.AllowRequest; f != nil {
		if err := f(r); err != nil {
			return nil, &Refusal{
				Code: CodeForbidden, Message: err.Error(), context: map[string]any{"message": err.Error()},
			}
		}
	}
	return s.newSeated(r, q, remote, place)
}

// newSeated returns a session in the place that its client has been given.
func (s *Server) newSeated(r *http.Request, q request, remote string, place *seat) (*Session, *Refusal) {
	if q.dialect.v3 && !s.cfg.AllowEIO3 {
		return nil, &Refusal{Code: CodeUnsupportedVersion, context: map[string]any{"protocol": 3}}
	}
	id, err := s.cfg.GenerateID(r)
	if err == nil && (id == "" || s.lookup(id) != nil) {
		err = errors.New("session id is empty or in use")
	}
	if err != nil {
		return nil, badRequest("ID_GENERATION_ERROR", "error", err)
	}
	session := newSession(s, id, remote, q.transport)
	session.dialect, session.seat = q.dialect, place
	open, err := s.openPacket(id, q.transport)
	if err != nil {
		return nil, badRequest("TRANSPORT_HANDSHAKE_ERROR", "error", err)
	}
	session.out, session.outBytes = append(session.out, open), open.Len()
	s.cfg.Metrics.packetOut(open)
	if m := s.cfg.InitialPacket; m != nil {
		session.out, session.outBytes = append(session.out, m), session.outBytes+m.Len()
		s.cfg.Metrics.packetOut(m)
	}

	handler, err := s.accept(session, r)
	if err == nil && handler == nil {
		err = errors.New("no handler")
	}
	if err != nil {
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			refusal = badRequest("ACCEPT_ERROR", "error", err)
		}
		return nil, refusal
	}
	session.handler = handler
	if session.isClosed() {
		session.abandon(ForcedClose, nil)
		return nil, badRequest("CLOSED")
	}
	s.cfg.Log.Debug("session opening", slog.String("session", session.logID()), slog.String("transport", q.transport))
	return session, nil
}

// openPacket returns the packet 0{…} with the five fields clients expect (EIO-002).
func (s *Server) openPacket(id SessionID, transport string) (*Message, error) {
	b, err := json.Marshal(struct {
		SID          SessionID `json:"sid"`
		Upgrades     []string  `json:"upgrades"`
		PingInterval int64     `json:"pingInterval"`
		PingTimeout  int64     `json:"pingTimeout"`
		MaxPayload   int64     `json:"maxPayload"`
	}{
		id, s.cfg.upgradesFrom(transport),
		int64(s.cfg.PingInterval / time.Millisecond), int64(s.cfg.PingTimeout / time.Millisecond),
		s.cfg.MaxHTTPBufferSize,
	})
	if err != nil {
		return nil, fmt.Errorf("encode open packet: %w", err)
	}
	return newPacket(packetOpen, b), nil
}

func (s *Server) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}

// closing refuses a handshake because the server is going away.
func closing() *Refusal {
	return &Refusal{
		Code: CodeBadRequest, Message: "Server is closing",
		context: map[string]any{"name": "SERVER_CLOSING"}, Status: http.StatusServiceUnavailable,
	}
}
