package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/siomesh/siomesh/pkg/protocol"
)

// Handler handles one event. Events of one socket are handled one at a time, in order (SOC-011); those of different sockets
// in parallel. A returned error, or a panic, goes to OnError; the socket lives on. The context ends when the Server gives
// up on its handlers, not when the client leaves: what was received is to be handled.
type Handler func(ctx context.Context, e *Event) error

// listener is one registration of a handler.
type listener struct {
	event string
	f     Handler
	once  bool
}

// On has f handle the events of that name. Several handlers of one event run in the order of their registration. It may be
// called at any time; the returned function removes this registration. An event without a handler is dropped. A reserved
// name never comes: it is reported to OnError.
func (s *Socket) On(event string, f Handler) (off func()) { return s.listen(event, f, false) }

// Once is On for the first event only.
func (s *Socket) Once(event string, f Handler) (off func()) { return s.listen(event, f, true) }

// Off removes every handler of an event.
func (s *Socket) Off(event string) {
	s.remove(func(l *listener) bool { return l.event == event })
}

// EventNames returns the events that have a handler, in the order of the first registration of each.
func (s *Socket) EventNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, l := range s.listeners {
		if !slices.Contains(names, l.event) {
			names = append(names, l.event)
		}
	}
	return names
}

func (s *Socket) listen(event string, f Handler, once bool) (off func()) {
	if protocol.Reserved(event) {
		s.ns.server.reports.put(fmt.Errorf("listen: %w", &ReservedEventError{Event: event}))
		return func() {}
	}
	l := &listener{event: event, f: f, once: once}
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	return func() { s.remove(func(other *listener) bool { return other == l }) }
}

func (s *Socket) remove(which func(*listener) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = slices.DeleteFunc(s.listeners, which)
}

// listening appends the listeners of an event to dst and removes those that wanted it once.
func (s *Socket) listening(dst []*listener, event string) []*listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	once := false
	for _, l := range s.listeners {
		if l.event == event {
			dst = append(dst, l)
			once = once || l.once
		}
	}
	if once {
		s.listeners = slices.DeleteFunc(s.listeners, func(l *listener) bool { return l.once && l.event == event })
	}
	return dst
}

// On has f handle the events of that name: the first argument is decoded into T, and the result is the acknowledgement, if
// the client wants one. If f returns an error, or the argument is missing or cannot be decoded, the error goes to OnError
// and the acknowledgement is {"error":"…"} with its text. With struct{} as T no argument is needed, with struct{} as R the
// acknowledgement is empty. The returned function removes this registration.
func On[T, R any](s *Socket, event string, f func(ctx context.Context, in T) (R, error)) (off func()) {
	var t, r any = *new(T), *new(R)
	_, noArgument := t.(struct{})
	_, noResult := r.(struct{})
	return s.On(event, func(ctx context.Context, e *Event) error {
		var in T
		var out R
		var err error
		if !noArgument {
			err = e.Bind(&in)
		}
		if err == nil {
			err = guard(func() (err error) { out, err = f(ctx, in); return err })
		}
		switch {
		case err != nil:
			return withFailure(err, e.Ack(ackErrorOf(err)))
		case noResult:
			return e.Ack()
		default:
			err = e.Ack(out)
			if err != nil { // the result may be what cannot be encoded
				return withFailure(err, e.Ack(ackErrorOf(err)))
			}
			return nil
		}
	})
}

// ackError is the acknowledgement of a typed handler that failed.
type ackError struct {
	Error string `json:"error"`
}

// ackErrorOf is what the client is told of a failure: the handler's own words, but nothing of a panic.
func ackErrorOf(err error) ackError {
	var panicked *PanicError
	if errors.As(err, &panicked) {
		return ackError{Error: internalError}
	}
	return ackError{Error: strings.ToValidUTF8(err.Error(), "\ufffd")}
}

// withFailure is the error of a handler with why the client could not be told, unless it has left.
func withFailure(err, told error) error {
	if told == nil || errors.Is(told, ErrDisconnected) {
		return err
	}
	return fmt.Errorf("%w (the client was not told: %w)", err, told)
}
