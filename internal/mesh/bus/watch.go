package bus

import (
	"slices"
	"sync"
)

// maxChanges bounds the changes that wait for a watcher that takes long; older ones are left out in pairs.
const maxChanges = 16

// watchers tells functions about the changes of one truth value, in order and one call at a time.
type watchers struct {
	mu      sync.Mutex
	state   bool       // guarded by mu
	funcs   []*watcher // guarded by mu; the slice is replaced, never changed
	changes []bool     // guarded by mu; still to be told
	telling bool       // guarded by mu; some goroutine is in tell
}

type watcher struct{ f func(bool) }

func (w *watchers) add(f func(bool)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	added := &watcher{f: f}
	w.funcs = append(slices.Clip(w.funcs), added)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.funcs = slices.DeleteFunc(slices.Clone(w.funcs), func(other *watcher) bool { return other == added })
	}
}

// update has the state be what now says, which is asked under the lock, and must not block: whoever comes last has seen the
// newest. Who finds nobody telling tells, also what others find meanwhile.
func (w *watchers) update(now func() bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state := now()
	if state == w.state {
		return
	}
	w.state = state
	w.changes = append(w.changes, state)
	if len(w.changes) > maxChanges {
		w.changes = slices.Delete(w.changes, 0, 2)
	}
	if w.telling {
		return
	}
	w.telling = true
	for len(w.changes) > 0 {
		change := w.changes[0]
		w.changes = slices.Delete(w.changes, 0, 1)
		for _, to := range w.funcs {
			if slices.Contains(w.funcs, to) { // not stopped by an earlier one
				w.mu.Unlock()
				to.f(change)
				w.mu.Lock()
			}
		}
	}
	w.telling = false
}
