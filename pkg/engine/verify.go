package engine

import (
	"net/http"
	"slices"
	"strings"
)

// request is what verification found out about an HTTP request.
type request struct {
	transport string
	dialect   dialect
	sid       SessionID // as the client names it; "" = handshake
	session   *Session  // nil = handshake
}

// verify applies the reference's checks in the reference's order (spec 1.2), up to the
// application's own, which handshake asks.
func (s *Server) verify(r *http.Request) (request, *Refusal) {
	query := r.URL.Query()
	q := request{transport: query.Get("transport"), dialect: dialectOf(query)}
	if !slices.Contains(s.cfg.Transports, q.transport) {
		return q, &Refusal{Code: CodeUnknownTransport, context: map[string]any{"transport": q.transport}}
	}
	if origin := r.Header.Get("Origin"); !validHeader(origin) {
		return q, badRequest("INVALID_ORIGIN", "origin", origin)
	}
	if sid := SessionID(query.Get("sid")); sid != "" {
		q.sid = sid
		return q, s.verifyFollowUp(r, sid, &q)
	}
	if r.Method != http.MethodGet {
		return q, &Refusal{Code: CodeBadMethod, context: map[string]any{"method": r.Method}}
	}
	if (q.transport == WebSocket) != isUpgrade(r) || q.transport == WebSocket && !isWebSocketHandshake(r) {
		return q, badRequest("TRANSPORT_HANDSHAKE_ERROR")
	}
	return q, nil
}

// verifyFollowUp checks a request that names a session, and finds the session.
func (s *Server) verifyFollowUp(r *http.Request, sid SessionID, q *request) *Refusal {
	session := s.lookup(sid)
	if session == nil {
		return unknownSession(sid)
	}
	upgrade := isUpgrade(r)
	if previous := session.Transport(); !upgrade && previous != q.transport {
		return badRequest("TRANSPORT_MISMATCH", "transport", q.transport, "previousTransport", previous)
	}
	if asked, previous := q.dialect.protocol(), session.Protocol(); asked != previous {
		return badRequest("PROTOCOL_MISMATCH", "protocol", asked, "previousProtocol", previous)
	}
	if upgrade && (q.transport != WebSocket || !isWebSocketHandshake(r)) {
		return badRequest("TRANSPORT_HANDSHAKE_ERROR")
	}
	q.session = session
	return nil
}

// isUpgrade reports whether the request asks for WebSocket.
func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), WebSocket) && hasToken(r.Header["Connection"], "upgrade")
}

// isWebSocketHandshake reports whether an upgrade request has what RFC 6455 section 4.2.1
// wants, so that the handshake after it cannot fail on the client's account (EIO-043).
func isWebSocketHandshake(r *http.Request) bool {
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && r.Host != "" &&
		len(r.Header.Get("Sec-Websocket-Key")) == 24 && r.Header.Get("Sec-Websocket-Version") == "13"
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// validHeader reports whether v may stand in a header: no control characters but tab.
func validHeader(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
