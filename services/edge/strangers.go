package edge

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// strangers are app instances that have asked something, by way of rooms, and whose first heartbeat has not come yet: the two
// travel apart. What is for them waits for it. Safe for concurrent use; conn.mu may be held.
type strangers struct {
	n atomic.Int32 // instances in held: while there are none nobody takes mu

	mu    sync.Mutex
	held  map[mesh.InstanceID]*letters // guarded by mu
	bytes int                          // guarded by mu; of all
}

// letters are the records for one of them.
type letters struct {
	since   time.Time
	records []wire.Record
	bytes   int
}

// What waits for strangers is bounded: an instance that is none of this mesh, or dead, never comes.
const (
	strangerFor   = 5 * time.Second
	strangerBytes = 1 << 20
)

// toAsker sends a record that owns its body to an app instance, and reports whether it is on its way.
func (s *Service) toAsker(b *link.Batch, id mesh.InstanceID, r *wire.Record) bool {
	if l := s.apps.linkTo(id); l != nil && s.strangers.n.Load() == 0 {
		return b.Append(l, r) == nil
	}
	s.strangers.mu.Lock()
	defer s.strangers.mu.Unlock()
	l := s.apps.linkTo(id)
	if l == nil {
		return s.strangers.keep(id, r)
	}
	s.strangers.deliver(b, l, id)
	return b.Append(l, r) == nil
}

// introduce sends what has waited for an instance that is known from now on.
func (s *Service) introduce(id mesh.InstanceID) {
	if s.strangers.n.Load() == 0 {
		return
	}
	var b link.Batch
	defer b.Flush()
	s.strangers.mu.Lock()
	defer s.strangers.mu.Unlock()
	if l := s.apps.linkTo(id); l != nil {
		s.strangers.deliver(&b, l, id)
	}
}

// keep has a record wait, if there is room. The caller holds mu.
func (t *strangers) keep(id mesh.InstanceID, r *wire.Record) bool {
	now := time.Now()
	for other, l := range t.held {
		if now.Sub(l.since) > strangerFor {
			t.forget(other)
		}
	}
	size := recordOverhead + len(r.Body)
	if t.bytes+size > strangerBytes {
		return false
	}
	l := t.held[id]
	if l == nil {
		if t.held == nil {
			t.held = map[mesh.InstanceID]*letters{}
		}
		l = &letters{since: now}
		t.held[id] = l
		t.n.Add(1)
	}
	l.records = append(l.records, *r)
	l.bytes += size
	t.bytes += size
	return true
}

// recordOverhead is what a record counts beyond its body.
const recordOverhead = 256

// deliver sends what waits for an instance. The caller holds mu.
func (t *strangers) deliver(b *link.Batch, l *link.Link, id mesh.InstanceID) {
	waiting := t.held[id]
	if waiting == nil {
		return
	}
	t.forget(id)
	for i := range waiting.records {
		if b.Append(l, &waiting.records[i]) != nil {
			return // the link is full or broken: whoever asked counts the rest as silent
		}
	}
}

// forget drops what waits for an instance. The caller holds mu.
func (t *strangers) forget(id mesh.InstanceID) {
	t.bytes -= t.held[id].bytes
	delete(t.held, id)
	t.n.Add(-1)
}
