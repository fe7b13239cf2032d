package socketio

import (
	"context"
	"sync"
)

// workers counts the goroutines that run code of the application, so that the Server can wait for them.
type workers struct {
	mu     sync.Mutex
	n      int           // guarded by mu
	closed bool          // guarded by mu
	idle   chan struct{} // guarded by mu; closed when n falls to 0, nil if nobody waits
}

// start runs f on a goroutine of its own, unless closed.
func (w *workers) start(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.n++
	go func() { // waited for by wait: the Server owns it
		defer w.done()
		f()
	}()
	return true
}

func (w *workers) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// wait waits until none runs or ctx ends, and returns how many still do.
func (w *workers) wait(ctx context.Context) int {
	w.mu.Lock()
	if w.n == 0 {
		w.mu.Unlock()
		return 0
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// close lets nobody start any more.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}
