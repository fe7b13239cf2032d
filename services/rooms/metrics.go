package rooms

import (
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Metrics counts what a rooms instance does. The zero value is ready, a nil one counts nothing; safe for concurrent use.
type Metrics struct {
	Operations [64]atomic.Uint64 // by record kind
	Repeats    atomic.Uint64     // operations that had been taken before
	Queries    atomic.Uint64
	Gone       atomic.Uint64 // sockets that edges reported as gone
	EdgesEnded atomic.Uint64
	EdgesFull  atomic.Uint64 // links that broke because an edge left too much unapplied

	RoomEventsMissed atomic.Uint64 // how often an app instance took no more room events
}

func (m *Metrics) operation(k wire.Kind) {
	if m != nil && int(k) < len(m.Operations) {
		m.Operations[k].Add(1)
	}
}

func (m *Metrics) repeat() {
	if m != nil {
		m.Repeats.Add(1)
	}
}

func (m *Metrics) query() {
	if m != nil {
		m.Queries.Add(1)
	}
}

func (m *Metrics) gone() {
	if m != nil {
		m.Gone.Add(1)
	}
}

func (m *Metrics) edgeEnded() {
	if m != nil {
		m.EdgesEnded.Add(1)
	}
}

func (m *Metrics) edgeFull() {
	if m != nil {
		m.EdgesFull.Add(1)
	}
}

func (m *Metrics) roomEventsMissed() {
	if m != nil {
		m.RoomEventsMissed.Add(1)
	}
}
