package engine

import (
	"net/http"
	"net/url"
	"strings"
)

// DefaultCookie returns what Config.Cookie is to be for the reference's cookie: true, that
// is "io=<sid>; Path=/; HttpOnly; SameSite=Lax" (EVT-010).
func DefaultCookie() *http.Cookie {
	return &http.Cookie{Name: "io", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// initialHeaders sets what only the first response of a session carries (EVT-007, EVT-009).
func (s *Session) initialHeaders(h http.Header, r *http.Request) {
	cfg := &s.srv.cfg
	if cfg.Cookie != nil && !s.websocket { // EVT-012; nobody else knows the session yet
		c := *cfg.Cookie
		c.Value = strings.ReplaceAll(url.QueryEscape(string(s.id)), "+", "%20")
		if v := c.String(); v != "" {
			h.Add("Set-Cookie", v)
		}
	}
	if f := cfg.InitialHeaders; f != nil {
		f(h, r)
	}
}

// headers sets what every response of a session carries (EVT-008).
func (s *Server) headers(h http.Header, r *http.Request) {
	h.Set("Cache-Control", "no-store")
	if ua := r.UserAgent(); strings.Contains(ua, ";MSIE") || strings.Contains(ua, "Trident/") {
		h.Set("X-XSS-Protection", "0") // POL-022
	}
	s.userHeaders(h, r)
}

// userHeaders lets the application add its own.
func (s *Server) userHeaders(h http.Header, r *http.Request) {
	if f := s.cfg.Headers; f != nil {
		f(h, r)
	}
}
