package engine

import (
	"net/http"
	"strings"
)

// Standalone returns a handler for an HTTP server that is there for the engine alone: it
// answers 501 to everything outside of Config.Path (EIO-037).
func (s *Server) Standalone() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.matches(r) {
			http.Error(w, "Not Implemented", http.StatusNotImplemented)
			return
		}
		s.ServeHTTP(w, r)
	})
}

// matches reports whether a request is the engine's (EIO-032, EIO-033).
func (s *Server) matches(r *http.Request) bool {
	return strings.HasPrefix(r.URL.EscapedPath(), s.cfg.Path)
}
