package edge

import (
	"cmp"
	"errors"
	"math/rand/v2"
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

// appInstance is one running process of an app, as long as presence says it lives.
type appInstance struct {
	addr     mesh.Address
	links    *link.Endpoint
	assigned atomic.Int64 // sockets this edge gave it
	dead     atomic.Bool
}

// link returns the link to the instance, nil if it is dead.
func (a *appInstance) link() *link.Link {
	if a.dead.Load() {
		return nil
	}
	return a.links.Link(a.addr)
}

// onSpace calls f once the link has room; never if the instance is dead, whose sockets are closed.
func (a *appInstance) onSpace(f func()) {
	if l := a.link(); l != nil {
		l.OnSpace(f)
	}
}

// directory is which app instances serve which namespace. Safe for concurrent use.
type directory struct {
	mu        sync.Mutex
	instances map[mesh.InstanceID]*entry // guarded by mu
	announced map[string]struct{}        // guarded by mu: every namespace that was ever announced
	changed   chan struct{}              // guarded by mu: closed and replaced on every change
}

type entry struct {
	instance *appInstance
	info     *siomeshv1.Presence
	suspect  bool
}

// serving is what the directory knows about a namespace.
type serving int

const (
	served  serving = iota // an instance was chosen
	waiting                // nobody serves it now, but somebody may soon
	unknown                // no app has such a namespace
)

func newDirectory() *directory {
	return &directory{
		instances: map[mesh.InstanceID]*entry{},
		announced: map[string]struct{}{},
		changed:   make(chan struct{}),
	}
}

// update takes a heartbeat of an app instance.
func (d *directory) update(p presence.Peer, links *link.Endpoint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.instances[p.Instance]
	if e == nil {
		e = &entry{instance: &appInstance{addr: p.Address, links: links}}
		d.instances[p.Instance] = e
	}
	e.info, e.suspect = p.Info, p.Suspect
	for _, n := range p.Info.GetNamespaces() {
		if n.GetName() != "" {
			d.announced[n.GetName()] = struct{}{}
		}
	}
	d.wake()
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

// find returns a live instance, nil if there is none of that id.
func (d *directory) find(id mesh.InstanceID) *appInstance {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.instances[id]; e != nil {
		return e.instance
	}
	return nil
}

// wake tells those who wait that something changed; mu is held.
func (d *directory) wake() {
	close(d.changed)
	d.changed = make(chan struct{})
}

// choose picks an instance for a namespace: of the first app by name that serves it, the less loaded of two random ones that
// are not draining. changed is closed as soon as another answer is possible.
func (d *directory) choose(namespace string) (chosen *appInstance, is serving, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var candidates []*entry
	alive := 0
	for _, e := range d.instances {
		if len(e.info.GetNamespaces()) == 0 {
			continue // a process that only sends
		}
		alive++
		if !e.info.GetDraining() && serves(e.info, namespace) {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		if _, once := d.announced[namespace]; alive == 0 || once {
			return nil, waiting, d.changed
		}
		return nil, unknown, d.changed
	}
	app := slices.MinFunc(candidates, func(a, b *entry) int { return cmp.Compare(a.info.GetName(), b.info.GetName()) }).info.GetName()
	candidates = slices.DeleteFunc(candidates, func(e *entry) bool { return e.info.GetName() != app })
	if sure := slices.DeleteFunc(slices.Clone(candidates), func(e *entry) bool { return e.suspect }); len(sure) > 0 {
		candidates = sure
	}
	a := candidates[rand.IntN(len(candidates))] //nolint:gosec // a balancing choice, not a secret
	b := candidates[rand.IntN(len(candidates))] //nolint:gosec // as above
	if b.load() < a.load() {
		a = b
	}
	return a.instance, served, d.changed
}

// load is what the instance says it holds, or what this edge alone gave it if that is more recent.
func (e *entry) load() int64 {
	return max(int64(e.info.GetLoad()), e.instance.assigned.Load()) //nolint:gosec // a number of sockets
}

func serves(info *siomeshv1.Presence, namespace string) bool {
	for _, n := range info.GetNamespaces() {
		if n.GetName() == namespace {
			return true
		}
	}
	return false
}
