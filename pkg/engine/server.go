package engine

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/rs/cors"
)

// Accept is called once per session, before the open packet is sent, with the first
// HTTP request, which is valid only during the call. It returns the session's handler,
// or an error that refuses the handshake: with code 3, or as a *Refusal says. It may
// already send on the session and close it.
type Accept func(s *Session, r *http.Request) (Handler, error)

// Handler receives what happens to one session. Its methods never run concurrently with
// each other and are never called from inside a method of Session, so that a caller may
// hold its own locks while sending.
type Handler interface {
	// Message is called for each message, one at a time and in order. data is valid only
	// during the call.
	Message(data []byte, binary bool)
	// EndBatch is called after the last Message of one read of the connection or of one
	// POST body: the moment to flush what the messages caused.
	EndBatch()
	// Closed is called once, after the last Message and EndBatch; nothing is called after it.
	// cause says more when there is more to say.
	Closed(reason Reason, cause error)
}

// Server is an Engine.IO server. Use it as an http.Handler, and Close it in the end.
type Server struct {
	accept Accept
	cfg    Config
	cors   *cors.Cors // nil = no CORS headers
	wheel  *wheel
	track  tracker // every goroutine and request of this server
	bufs   bufferPools
	zip    *compressor
	seats  *admission

	middleware http.Handler // nil = none

	mu       sync.RWMutex
	sessions map[SessionID]*Session  // guarded by mu
	leaving  map[*wsConn]struct{}    // connections whose session has ended before them; guarded by mu
	pipes    map[*relayPipe]struct{} // connections that belong to sessions of other servers; guarded by mu
	idle     map[*parked]struct{}    // connections between a GET that was parked and the next request; guarded by mu
	moved    movedList               // guarded by mu
	closed   bool                    // guarded by mu
}

// New returns a server that hands its sessions to accept, or an error if cfg makes no
// sense. It starts nothing: goroutines exist only while sessions do.
func New(accept Accept, cfg Config) (*Server, error) {
	if accept == nil {
		return nil, errors.New("engine: no accept function")
	}
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		accept:   accept,
		cfg:      cfg,
		zip:      newCompressor(),
		seats:    newAdmission(&cfg),
		sessions: make(map[SessionID]*Session),
		leaving:  make(map[*wsConn]struct{}),
	}
	s.wheel = newWheel(s.track.spawn)
	if cfg.CORS != nil {
		s.cors = cors.New(*cfg.CORS)
	}
	if len(cfg.Middleware) > 0 {
		s.middleware = s.chain()
	}
	return s, nil
}

// ServeHTTP serves polling requests and WebSocket handshakes below Config.Path, and
// answers 404 to everything else. It returns when the request is answered, or when its
// connection has left net/http: as a WebSocket, or for a GET that has waited a second, up to
// the next request. Such connections end with Close of this server, not with Shutdown or
// Close of the http.Server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.track.add()
	defer s.track.done()
	if r.ContentLength != 0 {
		upgrade := isUpgrade(r)
		if upgrade || r.Method != http.MethodPost {
			s.boundBody(w)
		}
		if !upgrade { // else the connection may be a WebSocket, whose making takes the bound away
			defer s.boundBody(w)
		}
	}
	if !s.matches(r) {
		http.NotFound(w, r)
		return
	}
	if isUpgrade(r) {
		u := newSwitching(s, w, r)
		defer u.end()
		w = u
	}
	if s.cors != nil {
		s.cors.HandlerFunc(w, r) // sets headers, which stay on refusals too (EVT-017)
		if r.Method == http.MethodOptions {
			if r.Header.Get("Access-Control-Request-Method") == "" { // else it is answered
				s.endPreflight(w)
			}
			return
		}
	}
	if s.middleware != nil {
		s.throughMiddleware(w, r)
		return
	}
	s.answer(w, r)
}

// boundBody bounds the time for what nobody has read of a body: net/http waits for it before
// it sends the answer. servePost has a bound of its own, and takes it away in the end.
func (s *Server) boundBody(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) // not supported = it is the server's affair
}

// answer serves a request that no middleware has answered.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) { s.serve(w, r, s.foreign) }

// serve is answer with another answer to requests of sessions that are not here.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, absent func(http.ResponseWriter, *http.Request, SessionID)) {
	q, refusal := s.verify(r)
	if refusal == nil && q.transport == WebSocket && switchingOf(w) == nil {
		refusal = badRequest("TRANSPORT_HANDSHAKE_ERROR") // a middleware hides the connection
	}
	switch {
	case refusal != nil && refusal.Code == CodeUnknownSession:
		absent(w, r, q.sid)
	case refusal != nil:
		s.refuse(w, r, refusal)
	case q.session == nil:
		s.handshake(w, r, q)
	case q.transport == WebSocket:
		s.serveUpgrade(w, r, q)
	case r.Method == http.MethodGet:
		q.session.servePoll(w, r)
	case r.Method == http.MethodPost:
		q.session.servePost(w, r)
	default:
		s.cfg.Metrics.refusal(CodeBadMethod)
		w.WriteHeader(http.StatusInternalServerError) // as the reference (POL-019)
	}
}

// endPreflight answers an OPTIONS request that is not quite a preflight, as the
// reference's CORS middleware does.
func (s *Server) endPreflight(w http.ResponseWriter) {
	status := http.StatusNoContent
	if s.cfg.CORS.OptionsSuccessStatus != 0 {
		status = s.cfg.CORS.OptionsSuccessStatus
	}
	w.WriteHeader(status)
}

// ClientsCount returns the number of open sessions.
func (s *Server) ClientsCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.sessions)
}

// Close refuses new handshakes with status 503, ends every session with ForcedClose
// without sending what is queued, and waits until every request and goroutine of the
// server has ended, handlers included, or ctx ends. It may be called more than once.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	sessions := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		sessions = append(sessions, session)
	}
	pipes, idle := slices.Collect(maps.Keys(s.pipes)), slices.Collect(maps.Keys(s.idle))
	conns := make([]*wsConn, 0, len(s.leaving))
	for c := range s.leaving {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, session := range sessions {
		session.Discard(ForcedClose)
	}
	for _, c := range conns {
		c.kill()
	}
	for _, p := range pipes {
		p.cut()
	}
	for _, k := range idle {
		_ = k.conn.Close() // nothing is on its way
	}
	return s.track.wait(ctx)
}

// lookup returns the session with an id, nil if there is none.
func (s *Server) lookup(id SessionID) *Session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.sessions[id]
}

// register makes a session reachable. It fails when the server is closing.
func (s *Server) register(session *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.sessions[session.id] != nil {
		return false
	}
	s.sessions[session.id] = session
	return true
}

func (s *Server) unregister(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[session.id] == session {
		delete(s.sessions, session.id)
	}
}

// leave notes a connection that outlives its session, so that Close can end it. It
// returns false when the server is closed already.
func (s *Server) leave(c *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.leaving[c] = struct{}{}
	}
	return !s.closed
}

func (s *Server) left(c *wsConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leaving, c)
}
