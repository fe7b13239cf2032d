package engine

import (
	"net"
	"net/http"
)

// Any of several servers may get any request of a session. One that has not got the session
// hands the request to the one that has, and passes the answer back:
//
//	client ──request──► relay ──Config.Foreign──► (whatever lies between) ──► owner, ServeRelayed
//	client ◄──answer─── relay ◄────────────────────────────────────────────── owner
//
// A request for WebSocket is answered by the relay, once the owner says that it wants it, and
// its connection is a stream between client and owner from then on: relaypipe.go is the
// relay's end of that, relayconn.go the owner's. When the upgrade is complete the session
// may move to the relay, so that nothing is relayed any longer: move.go.

// ServeRelayed serves a request that another server has got for a session of this one. That
// server has applied its CORS and its middleware. w should have the methods of
// http.ResponseController for deadlines, and Hijack, after which Close on the connection
// cuts the client's. r's context ends with the client's request.
//
// join is for a request for WebSocket: it is called once the request is found to be in order,
// has the relay send the 101 (RelayUpgrade), and returns the stream to it.
func (s *Server) ServeRelayed(w http.ResponseWriter, r *http.Request, join func() (net.Conn, error)) {
	s.track.add()
	defer s.track.done()
	if isUpgrade(r) {
		u := newSwitching(s, w, r)
		u.join = join
		defer u.end()
		w = u
	}
	s.serve(w, r, s.unknown)
}

// foreign serves a request for a session that is not here, if it is elsewhere.
func (s *Server) foreign(w http.ResponseWriter, r *http.Request, sid SessionID) {
	if s.hasMoved(sid) || s.cfg.Foreign == nil || !s.cfg.Foreign(w, r, sid) {
		s.unknown(w, r, sid)
	}
}

// unknown refuses a request for a session that is nowhere, or has left its owner for the
// WebSocket that it has: nothing but that one may be used any more (UPG-004, WS-016).
func (s *Server) unknown(w http.ResponseWriter, r *http.Request, sid SessionID) {
	switch query := r.URL.Query(); {
	case !s.hasMoved(sid):
		s.refuse(w, r, unknownSession(sid))
	case isWebSocketHandshake(r) && switchingOf(w) != nil:
		conn, first, err := s.upgradeHTTP(w, r, dialectOf(query))
		if err != nil {
			return // the client has gone
		}
		s.cfg.Metrics.upgradeEnded(upgradeRefused)
		conn.shutdown(closeFrame, true)
		s.serveConn(conn, first)
	default:
		s.refuse(w, r, badRequest("TRANSPORT_MISMATCH", "transport", query.Get("transport"), "previousTransport", WebSocket))
	}
}
