package socketio

import "sync"

// series is things that wait to be handled, one after the other, on a worker that lives while there are some. Safe for
// concurrent use.
type series[T any] struct {
	workers *workers
	handle  func(T)
	dropped func() // told of the first that finds no room, after one that did
	most    int    // weight that may wait; one larger than that passes when no other waits

	mu     sync.Mutex
	queue  []weighted[T] // guarded by mu
	weight int           // guarded by mu; of the queue
	busy   bool          // guarded by mu; the worker runs
	full   bool          // guarded by mu; one was dropped since one was queued
}

type weighted[T any] struct {
	value  T
	weight int
}

// put queues v. It blocks on nothing.
func (q *series[T]) put(v T, weight int) {
	q.mu.Lock()
	if len(q.queue) > 0 && q.weight+weight > q.most {
		news := !q.full
		q.full = true
		q.mu.Unlock()
		if news {
			q.dropped()
		}
		return
	}
	q.full = false
	q.queue = append(q.queue, weighted[T]{v, weight})
	q.weight += weight
	start := !q.busy
	q.busy = true
	q.mu.Unlock()
	if start {
		q.workers.start(q) // if the Server is closed, nobody handles them
	}
}

// work handles what waits.
func (q *series[T]) work() {
	normal := false
	defer func() {
		if !normal { // a handler ended the goroutine
			q.workers.start(q)
		}
	}()
	for v, ok := q.next(); ok; v, ok = q.next() {
		q.handle(v)
	}
	normal = true
}

func (q *series[T]) next() (v T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 {
		q.busy, q.queue = false, nil
		return v, false
	}
	first := q.queue[0]
	q.queue[0] = weighted[T]{}
	q.queue = q.queue[1:]
	q.weight -= first.weight
	return first.value, true
}
