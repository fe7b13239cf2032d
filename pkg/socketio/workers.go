package socketio

import (
	"context"
	"sync"
)

// task is a socket that has something to do.
type task interface{ work() }

// workers runs tasks, each on a goroutine, and counts them, so that the Server can wait for them. A few goroutines without
// work are kept: theirs have the stack that handlers need, which a new one would have to grow.
type workers struct {
	tasks chan task // not buffered: to a goroutine that is kept
	quit  chan struct{}

	mu     sync.Mutex
	n      int           // guarded by mu; tasks at work
	kept   int           // guarded by mu; goroutines without work
	closed bool          // guarded by mu
	idle   chan struct{} // guarded by mu; closed when n falls to 0, nil if nobody waits
	gone   chan struct{} // guarded by mu; closed when none is kept any more, nil before close
}

// maxKept is how many goroutines without work are kept.
const maxKept = 64

func newWorkers() *workers { return &workers{tasks: make(chan task), quit: make(chan struct{})} }

// start has t work on a goroutine of its own, unless closed.
func (w *workers) start(t task) bool {
	if !w.count() {
		return false
	}
	w.run(t)
	return true
}

// count has a task count as at work, which run is called with next, unless closed.
func (w *workers) count() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.n++
	return true
}

// run has a task that counts work on a goroutine of its own.
func (w *workers) run(t task) {
	select {
	case w.tasks <- t:
	default:
		go w.serve(t) // wait and close wait: the Server owns it
	}
}

// serve works for one task after the other until there are enough goroutines without work.
func (w *workers) serve(t task) {
	for t != nil {
		w.work(t)
		t = w.next()
	}
}

func (w *workers) work(t task) {
	defer w.done() // also if a handler ends the goroutine
	t.work()
}

func (w *workers) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// next waits for work, and returns nil if the goroutine is not to be kept.
func (w *workers) next() task {
	w.mu.Lock()
	if w.closed || w.kept == maxKept {
		w.mu.Unlock()
		return nil
	}
	w.kept++
	w.mu.Unlock()
	var t task
	select {
	case t = <-w.tasks:
	case <-w.quit:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kept--; w.kept == 0 && w.gone != nil {
		close(w.gone)
		w.gone = nil
	}
	return t
}

// wait waits until no task is at work or ctx ends, and returns how many still are.
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

// close lets nobody start any more, and waits for the goroutines without work. It is called once.
func (w *workers) close() {
	w.mu.Lock()
	w.closed = true
	var gone chan struct{}
	if w.kept > 0 {
		gone = make(chan struct{})
		w.gone = gone
	}
	w.mu.Unlock()
	close(w.quit)
	if gone != nil {
		<-gone
	}
}
