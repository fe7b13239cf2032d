package presence

import (
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
)

// clock measures time that passes while the bus is connected; it stands still otherwise. It starts stopped, at zero.
type clock struct {
	base    time.Duration // shown when it was last set
	since   time.Time     // when that was
	running bool
}

func (c *clock) set(now time.Time, running bool) {
	c.base = c.at(now)
	c.since = now
	c.running = running
}

func (c *clock) at(now time.Time) time.Duration {
	if !c.running {
		return c.base
	}
	return c.base + max(0, now.Sub(c.since))
}

// graves is how many dead instances are remembered. Only stray heartbeats from before a death are to be recognised, so
// minutes are enough.
const graves = 1024

// ending is how an instance was last heard of.
type ending struct {
	sequence uint64 // of its last heartbeat
	final    bool   // it said goodbye: ids are new at every start, so nothing of it can count any more
}

// graveyard remembers the latest deaths.
type graveyard struct {
	ends  map[mesh.InstanceID]ending
	order []mesh.InstanceID // of burial, oldest first; holds exactly the keys of ends
}

// ignores reports whether a heartbeat of id is from before its death or after its goodbye. A later one of an instance
// that was only silent brings it back: it leaves the graveyard.
func (g *graveyard) ignores(id mesh.InstanceID, sequence uint64) bool {
	end, buried := g.ends[id]
	switch {
	case !buried:
		return false
	case end.final || sequence <= end.sequence:
		return true
	}
	delete(g.ends, id)
	for i, other := range g.order {
		if other == id {
			g.order = append(g.order[:i], g.order[i+1:]...)
			break
		}
	}
	return false
}

// holds reports whether id is dead, as far as is remembered.
func (g *graveyard) holds(id mesh.InstanceID) bool {
	_, buried := g.ends[id]
	return buried
}

// bury remembers id, which is not in the graveyard, and forgets the oldest if there are too many.
func (g *graveyard) bury(id mesh.InstanceID, end ending) {
	if len(g.order) == graves {
		delete(g.ends, g.order[0])
		g.order = append(g.order[:0], g.order[1:]...)
	}
	g.ends[id] = end
	g.order = append(g.order, id)
}
