package engine

import (
	"context"
	"errors"
	"net/http"
)

// serverKey is the context key under which a request that passes middlewares has its Server.
type serverKey struct{}

// chain returns what serves a request with s.cfg.Middleware around it.
func (s *Server) chain() http.Handler {
	var h http.Handler = http.HandlerFunc(s.answer)
	for i := len(s.cfg.Middleware) - 1; i >= 0; i-- {
		h = s.cfg.Middleware[i](h)
	}
	return h
}

// throughMiddleware serves a request by way of the middlewares.
func (s *Server) throughMiddleware(w http.ResponseWriter, r *http.Request) {
	s.middleware.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), serverKey{}, s)))
}

// Refuse answers a request that a middleware of Config.Middleware does not let through, in
// place of calling the next handler: with code 3, or as err says if it is a *Refusal. Like
// every refusal it is told to Config.OnConnectionError, with MIDDLEWARE_FAILURE as the
// context's name and err as its error; the client does not get to see err (EVT-021). Outside
// of a middleware it answers status 400.
func Refuse(w http.ResponseWriter, r *http.Request, err error) {
	s, ok := r.Context().Value(serverKey{}).(*Server)
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	told := badRequest("MIDDLEWARE_FAILURE", "error", err)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		told.Code, told.Message, told.Status, told.RetryAfter = refusal.Code, refusal.Message, refusal.Status, refusal.RetryAfter
	}
	s.refuse(w, r, told)
}
