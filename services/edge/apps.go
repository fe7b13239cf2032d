package edge

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
)

// errAppDead says that the instance a record is meant for is dead.
var errAppDead = errors.New("app instance dead")

// appInstance is one running process of an app, for as long as the link to it holds: after a break it is another.
type appInstance struct {
	addr     mesh.Address
	link     *link.Link
	assigned atomic.Int64 // sockets of this edge that it has
	draining atomic.Bool  // it says that it ends: who gives it a socket looks here with conn.mu held, which detachAll takes after it is set
	dead     atomic.Bool  // presence says so, or the link broke: its sockets are taken from it

	mu      sync.Mutex
	waiting []*socket // guarded by mu: what they hold did not fit the link
}

// await has the socket resumed when the link has room. Its conn.mu may be held.
func (a *appInstance) await(sk *socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting = append(a.waiting, sk)
}

// marked resumes sockets in turn, until the link is full again. It runs on the reader goroutine of the links.
func (a *appInstance) marked(uint64) {
	for more := true; more; {
		sk := a.next()
		more = sk != nil && sk.conn.resume(sk, a)
	}
}

// next takes the socket that waits longest, nil if none does.
func (a *appInstance) next() *socket {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 {
		return nil
	}
	sk := a.waiting[0]
	a.waiting[0] = nil
	if a.waiting = a.waiting[1:]; len(a.waiting) == 0 {
		a.waiting = nil
	}
	return sk
}

// directory is which app instances serve which namespace. Safe for concurrent use.
type directory struct {
	links *link.Endpoint
	broke func(*appInstance, error) // called on the links' reader goroutine when the link to an instance breaks

	mu        sync.Mutex
	instances map[mesh.InstanceID]*entry // guarded by mu
	announced map[string]struct{}        // guarded by mu: every namespace that was ever announced
	compiled  map[string]*regexp.Regexp  // guarded by mu: patterns that were announced lately, nil if they are none
	changed   chan struct{}              // guarded by mu: closed and replaced on every change
}

type entry struct {
	instance *appInstance
	info     *siomeshv1.Presence
	suspect  bool
	patterns []*regexp.Regexp // those info announces
}

// serving is what the directory knows about a namespace.
type serving int

const (
	served  serving = iota // an instance was chosen
	waiting                // nobody serves it now, but somebody may soon
	unknown                // no app has such a namespace
)

func newDirectory(links *link.Endpoint, broke func(*appInstance, error)) *directory {
	return &directory{
		links:     links,
		broke:     broke,
		instances: map[mesh.InstanceID]*entry{},
		announced: map[string]struct{}{},
		compiled:  map[string]*regexp.Regexp{},
		changed:   make(chan struct{}),
	}
}

// update takes a heartbeat of an app instance, and returns the instance if it serves namespaces and has begun to drain.
func (d *directory) update(p presence.Peer) (drains *appInstance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.instances[p.Instance]
	if e == nil {
		e = &entry{instance: d.open(p.Address)}
		d.instances[p.Instance] = e
	}
	e.info, e.suspect, e.patterns = p.Info, p.Suspect, e.patterns[:0]
	for _, n := range p.Info.GetNamespaces() {
		if n.GetName() != "" {
			d.announced[n.GetName()] = struct{}{}
		}
		if pattern := d.compile(n.GetPattern()); pattern != nil {
			e.patterns = append(e.patterns, pattern)
		}
	}
	d.wake()
	draining := p.Info.GetDraining()
	if before := e.instance.draining.Swap(draining); draining && !before && len(p.Info.GetNamespaces()) > 0 {
		return e.instance
	}
	return nil
}

// maxCompiled is how many patterns are kept compiled between heartbeats.
const maxCompiled = 1024

// compile returns a pattern ready to use, nil if there is none; mu is held. One that is no RE2 finds nothing.
func (d *directory) compile(pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	compiled, known := d.compiled[pattern]
	if known {
		return compiled
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		compiled = nil
	}
	if len(d.compiled) >= maxCompiled {
		clear(d.compiled)
	}
	d.compiled[pattern] = compiled
	return compiled
}

// open makes the instance at an address; mu is held.
func (d *directory) open(a mesh.Address) *appInstance {
	app := &appInstance{addr: a, link: d.links.Link(a)}
	app.link.OnMark(app.marked)
	app.link.OnBreak(func(err error) { d.broke(app, err) })
	return app
}

// linkTo returns the link to an instance that is there, nil if it is not.
func (d *directory) linkTo(id mesh.InstanceID) *link.Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.instances[id]; e != nil {
		return e.instance.link
	}
	return nil
}

// remove forgets a dead instance and returns it, nil if it was not known.
func (d *directory) remove(id mesh.InstanceID) *appInstance {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.instances[id]
	if e == nil {
		return nil
	}
	delete(d.instances, id)
	e.instance.dead.Store(true)
	d.wake()
	return e.instance
}

// replace begins anew with an instance whose link broke, if it is still there. Others are chosen before it until its next
// heartbeat.
func (d *directory) replace(app *appInstance) (fresh *appInstance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	app.dead.Store(true)
	if e := d.instances[app.addr.Instance]; e != nil && e.instance == app {
		e.instance, e.suspect = d.open(app.addr), true
		d.wake()
		return e.instance
	}
	return nil
}

// wake tells those who wait that something changed; mu is held.
func (d *directory) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// choose picks an instance for a namespace: of the first app by name among those that know it best and have not declined it,
// the less loaded of two random ones that are not draining. changed is closed as soon as another answer is possible.
func (d *directory) choose(namespace string, declined []string) (chosen *appInstance, is serving, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var candidates []*entry
	alive, best, retracted := 0, knowsNot, false
	for _, e := range d.instances {
		if len(e.info.GetNamespaces()) == 0 {
			continue // a process that only sends
		}
		alive++
		knows := e.knows(namespace)
		if knows == knowsNot || knows > best {
			continue
		}
		if slices.Contains(declined, e.instance.addr.App) {
			retracted = retracted || knows == knowsExactly
			continue
		}
		if knows < best {
			best, candidates = knows, nil
		}
		if !e.info.GetDraining() {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		if _, once := d.announced[namespace]; alive == 0 || once && !retracted || best != knowsNot {
			return nil, waiting, d.changed
		}
		return nil, unknown, d.changed
	}
	app := slices.MinFunc(candidates, func(a, b *entry) int { return cmp.Compare(a.instance.addr.App, b.instance.addr.App) }).instance.addr.App
	candidates = slices.DeleteFunc(candidates, func(e *entry) bool { return e.instance.addr.App != app })
	return lessLoaded(candidates), served, d.changed
}

// another picks an instance of an app that serves a namespace and does not drain, nil if there is none. changed is closed as
// soon as another answer is possible.
func (d *directory) another(app, namespace string) (chosen *appInstance, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var candidates []*entry
	for _, e := range d.instances {
		if e.instance.addr.App == app && !e.info.GetDraining() && e.knows(namespace) != knowsNot {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		return nil, d.changed
	}
	return lessLoaded(candidates), d.changed
}

// lessLoaded picks the less loaded of two random ones, none of them suspect if that is possible.
func lessLoaded(candidates []*entry) *appInstance {
	if sure := slices.DeleteFunc(slices.Clone(candidates), func(e *entry) bool { return e.suspect }); len(sure) > 0 {
		candidates = sure
	}
	a := candidates[rand.IntN(len(candidates))] //nolint:gosec // a balancing choice, not a secret
	b := candidates[rand.IntN(len(candidates))] //nolint:gosec // as above
	if b.load() < a.load() {
		a = b
	}
	return a.instance
}

// load is what the instance says it holds, or what this edge alone gave it if that is more recent.
func (e *entry) load() int64 {
	return max(int64(e.info.GetLoad()), e.instance.assigned.Load()) //nolint:gosec // a number of sockets
}

// knowledge is how an app knows a namespace. Lower is better.
type knowledge int

const (
	knowsExactly   knowledge = iota // announced by name
	knowsByPattern                  // found by a pattern it announced
	knowsPerhaps                    // it has a function to ask
	knowsNot
)

// knows returns how the instance knows a namespace.
func (e *entry) knows(namespace string) knowledge {
	is := knowsNot
	for _, n := range e.info.GetNamespaces() {
		switch {
		case n.GetName() == namespace:
			return knowsExactly
		case n.GetDynamic():
			is = knowsPerhaps
		}
	}
	for _, pattern := range e.patterns {
		if pattern.MatchString(namespace) {
			return knowsByPattern
		}
	}
	return is
}
