package socketio

import (
	"context"
	"fmt"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// An event of a client passes, one after the other on the socket's worker:
//
//	OnAny listeners → packet middlewares (Use), which may change it or stop it → the listeners of its name
//
// What the socket is sent passes its OnAnyOutgoing listeners.

// OutgoingHandler sees an event on its way to a client. Args holds what was sent, binary too; it may be kept.
type OutgoingHandler func(event string, args Args)

// PacketMiddleware sees an event before its handlers, and may change its Name and, by SetArgs, its arguments. An error stops
// it: later middlewares and the handlers are not called, and the socket lives on (SOC-031, SOC-032).
type PacketMiddleware func(ctx context.Context, e *Event) error

// rare is what few sockets have. All is guarded by the socket's mu.
type rare struct {
	incoming    functions[Handler]
	outgoing    functions[OutgoingHandler]
	middlewares functions[PacketMiddleware]
	failures    functions[func(error)]
	handOver    functions[func()]
}

// functions are registrations in order. The list is never changed in place, so it may be walked without a lock.
type functions[F any] struct{ list []*F }

func (l *functions[F]) add(f F, first bool) *F {
	if first {
		l.list = append([]*F{&f}, l.list...)
	} else {
		l.list = append(l.list[:len(l.list):len(l.list)], &f)
	}
	return &f
}

func (l *functions[F]) remove(f *F) {
	var kept []*F
	for _, other := range l.list {
		if other != f {
			kept = append(kept, other)
		}
	}
	l.list = kept
}

func (l *functions[F]) all() []F {
	all := make([]F, len(l.list))
	for i, f := range l.list {
		all[i] = *f
	}
	return all
}

// rarely calls f with mu held.
func (s *Socket) rarely(f func(r *rare)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rare == nil {
		s.rare = &rare{}
	}
	f(s.rare)
}

// OnAny has f see every event of the client before its handlers do, also one that a packet middleware stops (SOC-033). Its
// error goes to OnError and stops nothing. The returned function removes this registration.
func (s *Socket) OnAny(f Handler) (off func()) { return s.onAny(f, false) }

// PrependAny is OnAny before all others.
func (s *Socket) PrependAny(f Handler) (off func()) { return s.onAny(f, true) }

func (s *Socket) onAny(f Handler, first bool) (off func()) {
	var added *Handler
	s.rarely(func(r *rare) { added = r.incoming.add(f, first) })
	return func() { s.rarely(func(r *rare) { r.incoming.remove(added) }) }
}

// OffAny removes every OnAny listener.
func (s *Socket) OffAny() { s.rarely(func(r *rare) { r.incoming = functions[Handler]{} }) }

// ListenersAny returns the OnAny listeners in the order in which they are called.
func (s *Socket) ListenersAny() (all []Handler) {
	s.rarely(func(r *rare) { all = r.incoming.all() })
	return all
}

// OnAnyOutgoing has f see every event that is sent to the client: what this instance emits to the socket, on the goroutine
// that emits, once it is on its way; and broadcasts of anybody that reach it, on the socket's own goroutine, behind what it
// handles (SOC-034). Acknowledgements do not pass here (SOC-035). The socket's edge sends a copy of each broadcast; while too
// many wait to be seen, copies are left out and OnError is told. The returned function removes this registration.
func (s *Socket) OnAnyOutgoing(f OutgoingHandler) (off func()) { return s.onAnyOutgoing(f, false) }

// PrependAnyOutgoing is OnAnyOutgoing before all others.
func (s *Socket) PrependAnyOutgoing(f OutgoingHandler) (off func()) { return s.onAnyOutgoing(f, true) }

func (s *Socket) onAnyOutgoing(f OutgoingHandler, first bool) (off func()) {
	var added *OutgoingHandler
	s.watch(func(r *rare) { added = r.outgoing.add(f, first) })
	return func() { s.watch(func(r *rare) { r.outgoing.remove(added) }) }
}

// OffAnyOutgoing removes every OnAnyOutgoing listener.
func (s *Socket) OffAnyOutgoing() {
	s.watch(func(r *rare) { r.outgoing = functions[OutgoingHandler]{} })
}

// ListenersAnyOutgoing returns the OnAnyOutgoing listeners in the order in which they are called.
func (s *Socket) ListenersAnyOutgoing() (all []OutgoingHandler) {
	s.rarely(func(r *rare) { all = r.outgoing.all() })
	return all
}

// watch changes the outgoing listeners and tells the edge when the first comes or the last goes.
func (s *Socket) watch(change func(r *rare)) {
	s.changes.Lock()
	defer s.changes.Unlock()
	var before, after int
	s.rarely(func(r *rare) {
		before = len(r.outgoing.list)
		change(r)
		after = len(r.outgoing.list)
	})
	if (before > 0) == (after > 0) {
		return
	}
	r := wire.Record{Kind: wire.KindWatch}
	if after > 0 {
		r.Body = []byte{1}
	}
	if err := s.change(&r); err != nil && !isLost(err) {
		s.ns.server.reports.put(fmt.Errorf("watch what is sent to a socket in namespace %.80q: %w", s.ns.name, err))
	}
}

// outgoing returns the outgoing listeners; mostly none.
func (s *Socket) outgoing() []*OutgoingHandler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rare == nil {
		return nil
	}
	return s.rare.outgoing.list
}

// tellOutgoing shows an event to the outgoing listeners. They may keep what they get of body.
func (s *Socket) tellOutgoing(listeners []*OutgoingHandler, body []byte) {
	name, args, err := decodeEvent(nil, body)
	if err != nil {
		s.ns.server.reports.put(&HandlerError{Socket: s, Err: err})
		return
	}
	for _, f := range listeners {
		err := guard(func() error { (*f)(name, args); return nil })
		if err != nil { // not to the socket's OnError handlers, which run on its own goroutine
			s.ns.server.reports.put(&HandlerError{Socket: s, Event: name, Err: err})
		}
	}
}

// Use adds a packet middleware. They run in order, on the socket's own goroutine, for every event (SOC-031).
func (s *Socket) Use(m PacketMiddleware) { s.rarely(func(r *rare) { r.middlewares.add(m, false) }) }

// OnError adds a handler for what goes wrong with this socket's events: errors of packet middlewares (SOC-032), and errors and
// panics of its handlers, each a *HandlerError. Without one they go to Server.OnError. It runs on the socket's own goroutine.
func (s *Socket) OnError(f func(error)) { s.rarely(func(r *rare) { r.failures.add(f, false) }) }

// passes shows an event to the OnAny listeners and has the packet middlewares decide over it. It runs on the worker.
func (s *Socket) passes(ctx context.Context, e *Event) bool {
	s.mu.Lock()
	r := s.rare
	if r == nil {
		s.mu.Unlock()
		return true
	}
	incoming, middlewares := r.incoming.list, r.middlewares.list
	s.mu.Unlock()
	name := e.Name
	for _, f := range incoming {
		s.report(name, guard(func() error { return (*f)(ctx, e) }))
	}
	for _, m := range middlewares {
		if err := guard(func() error { return (*m)(ctx, e) }); err != nil {
			s.report(name, err)
			return false
		}
	}
	return !s.isCut() // one of them may have ended the socket
}

// report brings a handler's error to OnError: the socket's, or if there is none the Server's. That the client has left, or
// another instance has it, is no failure of a handler. It runs on the worker.
func (s *Socket) report(event string, err error) {
	if err == nil || s.gone.Load() && isLost(err) {
		return
	}
	failure := &HandlerError{Socket: s, Event: event, Err: err}
	s.mu.Lock()
	var handlers []*func(error)
	if s.rare != nil {
		handlers = s.rare.failures.list
	}
	s.mu.Unlock()
	if len(handlers) == 0 {
		s.ns.server.reports.put(failure)
	}
	for _, f := range handlers {
		if err := guard(func() error { (*f)(failure); return nil }); err != nil {
			s.ns.server.reports.put(&HandlerError{Socket: s, Event: event, Err: err})
		}
	}
}
