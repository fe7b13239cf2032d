package link

import (
	"sync"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// reverse is the mark that is due to a peer: the reader sets it, whoever writes a frame to that peer takes it along, and the
// tick sends what found no frame.
type reverse struct {
	mu   sync.Mutex
	mark wire.Mark // guarded by mu
	due  bool      // guarded by mu: the peer was not told yet
}

// set replaces the mark by a newer one.
func (r *reverse) set(m wire.Mark) {
	r.mu.Lock()
	r.mark, r.due = m, true
	r.mu.Unlock()
}

// clear forgets the mark: there is nothing to tell.
func (r *reverse) clear() {
	r.mu.Lock()
	r.mark, r.due = wire.Mark{}, false
	r.mu.Unlock()
}

// ride returns the mark for a frame that is about to be sent.
func (r *reverse) ride() wire.Mark {
	r.mu.Lock()
	m := r.mark
	r.mark.Gap, r.due = false, false // one report per gap
	r.mu.Unlock()
	return m
}

// take returns the mark if the peer was not told yet.
func (r *reverse) take() (wire.Mark, bool) {
	r.mu.Lock()
	m, due := r.mark, r.due
	r.mark.Gap, r.due = false, false
	r.mu.Unlock()
	return m, due
}

// repeat makes the mark due again: the peer may not have got it.
func (r *reverse) repeat() {
	r.mu.Lock()
	r.due = r.mark.Link != 0
	r.mu.Unlock()
}
