package relay

import "sync"

// tasks counts the goroutines that serve requests of other edges. Safe for concurrent
// use; the zero value is ready.
type tasks struct {
	mu     sync.Mutex
	wg     sync.WaitGroup
	closed bool // guarded by mu
}

// start runs f on its own goroutine, or returns false if wait was called before.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f) // wait waits for it
	return true
}

// wait lets no new goroutine start and returns when all have ended.
func (t *tasks) wait() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}
