package rooms

import (
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// App instances that want to hear who joins and leaves the rooms of a namespace say so by an operation. From then on every real
// change of the membership goes to them, in the order in which it was made; what one frame changes goes together. Without
// such an instance a namespace has no watch, and a change costs the look for it.

// watch collects what happens to the rooms of one namespace.
type watch struct {
	namespace string
	watchers  []*watcher
	events    []string // what has happened since the last frame, as threes: see wire.RoomCreated
	listed    bool     // in index.happened
}

// watcher is an app instance that wants to know.
type watcher struct {
	origin *origin
	missed bool // some events did not get there
}

// came notes that a member is about to join a room (ADP-003).
func (x *index) came(m *member, room string) {
	switch {
	case m.ns.watch == nil:
	case m.ns.size(room) == 0:
		x.note(m, wire.RoomCreated, room)
	default:
		x.note(m, wire.RoomJoined, room)
	}
}

// went notes that a member has left a room.
func (x *index) went(m *member, room string) {
	switch {
	case m.ns.watch == nil:
	case m.ns.size(room) == 0:
		x.note(m, wire.RoomDeleted, room)
	default:
		x.note(m, wire.RoomLeft, room)
	}
}

func (x *index) note(m *member, what, room string) {
	w := m.ns.watch
	w.events = append(w.events, what, room, m.id)
	x.tell(w)
}

// tell has the watchers told at the end of the frame.
func (x *index) tell(w *watch) {
	if !w.listed {
		w.listed = true
		x.happened = append(x.happened, w)
	}
}

// watchRooms takes an operation that begins or ends a watch.
func (s *Service) watchRooms(o *origin, r *wire.Record) {
	w := s.index.watches[string(r.Namespace)]
	at := w.find(o)
	on := len(r.Body) > 0
	switch {
	case on && w == nil:
		s.index.watch(&watch{namespace: string(r.Namespace), watchers: []*watcher{{origin: o}}})
	case on && at < 0:
		s.tellRooms(w) // what was before is for the others
		w.watchers = append(w.watchers, &watcher{origin: o})
	case !on && at >= 0:
		s.unwatch(w, at)
	}
}

// find returns the place of an app instance among the watchers, -1 if it is not there.
func (w *watch) find(o *origin) int {
	if w == nil {
		return -1
	}
	return slices.IndexFunc(w.watchers, func(k *watcher) bool { return k.origin == o })
}

// unwatchAll forgets a dead app instance.
func (s *Service) unwatchAll(o *origin) {
	for _, w := range s.index.watches {
		if at := w.find(o); at >= 0 {
			s.unwatch(w, at)
		}
	}
}

// watcherBroke notes that what was on its way to an app instance may be lost: the next frame says so.
func (s *Service) watcherBroke(o *origin) {
	for _, w := range s.index.watches {
		if at := w.find(o); at >= 0 {
			w.watchers[at].missed = true
			s.index.tell(w)
		}
	}
}

func (s *Service) unwatch(w *watch, at int) {
	w.watchers = slices.Delete(w.watchers, at, at+1)
	if len(w.watchers) == 0 {
		s.index.unwatch(w)
	}
}

// watch begins to note what happens in a namespace.
func (x *index) watch(w *watch) {
	x.watches[w.namespace] = w
	if n := x.namespaces[w.namespace]; n != nil {
		n.watch = w
	}
}

// unwatch ends that.
func (x *index) unwatch(w *watch) {
	delete(x.watches, w.namespace)
	if n := x.namespaces[w.namespace]; n != nil {
		n.watch = nil
	}
}

// tellAllRooms tells the watchers what has happened in the frame.
func (s *Service) tellAllRooms() {
	for i, w := range s.index.happened {
		s.index.happened[i] = nil
		w.listed = false
		s.tellRooms(w)
	}
	s.index.happened = s.index.happened[:0]
}

// maxRoomEvents is how many bytes of room events make a record; it may end behind them.
const maxRoomEvents = 64 << 10

// tellRooms tells the watchers of one namespace.
func (s *Service) tellRooms(w *watch) {
	events := w.events
	w.events = nil
	for _, k := range w.watchers { // also without events: one that missed some is to hear of it
		if k.missed && s.toWatcher(w, k, []string{wire.RoomsMissed, "", ""}) {
			k.missed = false
		}
	}
	for len(events) > 0 {
		size, n := 0, 0
		for n < len(events) && size < maxRoomEvents {
			size += len(events[n+1]) + len(events[n+2])
			n += 3
		}
		for _, k := range w.watchers {
			if !k.missed && !s.toWatcher(w, k, events[:n]) {
				k.missed = true
				s.cfg.Metrics.roomEventsMissed()
			}
		}
		events = events[n:]
	}
}

// toWatcher sends events, and reports whether they are on their way.
func (s *Service) toWatcher(w *watch, k *watcher, events []string) bool {
	err := s.batch.Append(s.appLink(k.origin), &wire.Record{
		Kind: wire.KindRoomEvents, Namespace: []byte(w.namespace), Body: wire.AppendStrings(nil, events),
	})
	return err == nil
}
