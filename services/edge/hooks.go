package edge

import (
	"net/http"

	"github.com/siomesh/siomesh/pkg/engine"
)

// Hooks are functions of the program that an edge is a part of. Each may be nil. They are called by many goroutines at a
// time, and none may keep the request.
type Hooks struct {
	// AllowRequest may refuse a handshake, with status 403 and the error's text as message. Auth is asked after it.
	AllowRequest func(*http.Request) error
	// GenerateID makes the secret part of a session's id: 16 to 64 of A-Z a-z 0-9 _ -, at least 96 bits of it random and
	// never the same twice, since whoever knows the id can act for the client. In front of it the edge puts its own name.
	GenerateID func(*http.Request) (string, error)
	// InitialHeaders may add headers to the first response of each session, Headers to all that serve one.
	InitialHeaders, Headers func(h http.Header, r *http.Request)
	// OnConnectionError is told of each refused request: the code, its standard message, and what more is known.
	OnConnectionError func(r *http.Request, code int, message string, context map[string]any)
	// Middleware wraps the serving of each request of the endpoint, the first one outermost. See engine.Config.
	Middleware []func(http.Handler) http.Handler
	// OnSession is told of each new session before its open packet: the moment for Session.Observe.
	OnSession func(s *engine.Session, r *http.Request)
}
