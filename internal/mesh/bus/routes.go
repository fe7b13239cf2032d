package bus

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// maxRoutes bounds the remembered lookups; beyond it remembering starts anew. A process uses few subjects, but may send to
// many that are gone.
const maxRoutes = 512

// subscription is one subscription of a receiver inside the process.
type subscription struct {
	subject  string
	queue    string
	handler  func(Msg)
	receiver *memoryReceiver
}

// route is where the messages of one subject go. Immutable but for the turn of its groups.
type route struct {
	plain  []*subscription
	groups []*group
}

// group is a queue group: its members take turns.
type group struct {
	members []*subscription
	turn    atomic.Uint64
}

func (g *group) pick() *subscription {
	return g.members[g.turn.Add(1)%uint64(len(g.members))]
}

// routes finds the subscriptions of a subject. Readers take no lock: what was looked up since the last change of the
// subscriptions stands in an immutable map.
type routes struct {
	mu   sync.Mutex
	subs []*subscription                   // guarded by mu
	seen atomic.Pointer[map[string]*route] // replaced under mu
}

func (r *routes) find(subject string) *route {
	if seen := r.seen.Load(); seen != nil {
		if found := (*seen)[subject]; found != nil {
			return found
		}
	}
	return r.resolve(subject)
}

// has reports whether anybody subscribes to subject; it does not remember the lookup, for subjects that are used once.
func (r *routes) has(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.subs, func(s *subscription) bool { return Matches(s.subject, subject) })
}

func (r *routes) add(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = append(r.subs, s)
	r.seen.Store(nil)
}

func (r *routes) removeAll(of *memoryReceiver) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subs = slices.DeleteFunc(r.subs, func(s *subscription) bool { return s.receiver == of })
	r.seen.Store(nil)
}

func (r *routes) resolve(subject string) *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := &route{}
	queues := map[string]*group{}
	for _, s := range r.subs {
		switch g := queues[s.queue]; {
		case !Matches(s.subject, subject):
		case s.queue == "":
			found.plain = append(found.plain, s)
		case g == nil:
			g = &group{members: []*subscription{s}}
			queues[s.queue] = g
			found.groups = append(found.groups, g)
		default:
			g.members = append(g.members, s)
		}
	}
	seen := map[string]*route{}
	if old := r.seen.Load(); old != nil && len(*old) < maxRoutes {
		seen = maps.Clone(*old)
	}
	seen[subject] = found
	r.seen.Store(&seen)
	return found
}

// Matches reports whether subject is one of those that pattern stands for: a * in pattern is any one token.
func Matches(pattern, subject string) bool {
	for {
		p, restOfPattern, morePattern := strings.Cut(pattern, ".")
		s, restOfSubject, moreSubject := strings.Cut(subject, ".")
		if p != s && (p != "*" || s == "") || morePattern != moreSubject {
			return false
		}
		if !morePattern {
			return true
		}
		pattern, subject = restOfPattern, restOfSubject
	}
}

// validPattern reports whether subject may be subscribed to: no empty token, no > and no blank.
func validPattern(subject string) bool {
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || token != "*" && strings.ContainsAny(token, "*> \t\r\n") {
			return false
		}
	}
	return true
}
