package edge

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// With Config.AuthHandshake the auth service is asked about each session before it opens. Unlike a CONNECT a handshake is
// never held: without a permission it is refused, and stock clients try again with their own back-off. A handshake that
// waits costs a request's goroutine, so that there is a bound: Config.MaxHandshakes of them wait, each for AuthTimeout at
// most, and what comes on top is refused at once.

// admission is what auth has allowed a request, between engine.Config's AllowRequest and InitialHeaders.
type admission struct{ headers map[string]authn.Values }

// admissionKey is the context key under which a request has its *admission.
type admissionKey struct{}

// admitting gives a request the place for its verdict, if auth is asked.
func (s *Service) admitting(r *http.Request) *http.Request {
	if !s.cfg.AuthHandshake {
		return r
	}
	return r.WithContext(context.WithValue(r.Context(), admissionKey{}, &admission{}))
}

// errNotAuthenticated refuses a handshake that nobody has decided.
var errNotAuthenticated = errors.New(authn.Unavailable)

// allow decides about a handshake: the program's own function first, then auth; engine.Config.AllowRequest.
func (s *Service) allow(r *http.Request) error {
	if f := s.cfg.AllowRequest; f != nil {
		if err := f(r); err != nil {
			return err
		}
	}
	if !s.cfg.AuthHandshake {
		return nil
	}
	select {
	case s.handshakes <- struct{}{}:
		defer func() { <-s.handshakes }()
	default:
		s.cfg.Metrics.handshake(authBusy)
		return errNotAuthenticated
	}
	return s.admit(r)
}

// admit asks auth about a handshake.
func (s *Service) admit(r *http.Request) error {
	a, ok := r.Context().Value(admissionKey{}).(*admission)
	if !ok { // a middleware has replaced the request's context
		s.log.Error("handshake cannot be authenticated", slog.String("reason", "a middleware dropped the request's context"))
		s.cfg.Metrics.handshake(authUnreadable)
		return errNotAuthenticated
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.AuthTimeout)
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)() //nolint:contextcheck // the end of the edge is another than the request's
	verdict, err := authn.AskHandshake(ctx, s.bus, s.names, &authn.HandshakeRequest{Handshake: toAuth(s.handshake(r))})
	switch {
	case errors.Is(err, authn.ErrUnavailable):
		s.cfg.Metrics.handshake(authUnavailable)
		s.unheard(&s.silentHandshakes, s.names.AuthHandshake(), "handshakes are refused", err, r.Context(), s.ending)
		return errNotAuthenticated
	case errors.Is(err, bus.ErrTooLarge):
		s.cfg.Metrics.handshake(authTooLarge)
		return errNotAuthenticated
	case err != nil:
		s.cfg.Metrics.handshake(authUnreadable)
		s.log.Warn("auth verdict on a handshake unusable", slog.Any("err", err))
		return errNotAuthenticated
	case !verdict.Allow:
		s.cfg.Metrics.handshake(authRefused)
		return notAllowedError(verdict.Message)
	}
	s.cfg.Metrics.handshake(authAllowed)
	a.headers = verdict.Headers
	return nil
}

// notAllowedError is a refusal in the words of auth; without any the client gets the code's standard message.
type notAllowedError string

func (e notAllowedError) Error() string { return string(e) }

// initialHeaders adds to the first response of a session what auth has sent along, then what the program adds;
// engine.Config.InitialHeaders.
func (s *Service) initialHeaders(h http.Header, r *http.Request) {
	if a, ok := r.Context().Value(admissionKey{}).(*admission); ok {
		for name, values := range a.headers {
			key := http.CanonicalHeaderKey(name)
			if key != "Set-Cookie" && key != "Vary" { // those are of several who add to them
				h.Del(key)
			}
			for _, v := range values {
				h.Add(key, v)
			}
		}
	}
	if f := s.cfg.InitialHeaders; f != nil {
		f(h, r)
	}
}
