package engine

import (
	"context"
	"fmt"
	"sync"
)

// tracker counts running goroutines and requests, and lets one wait for the last to end.
// Unlike a sync.WaitGroup it may be added to while somebody waits.
type tracker struct {
	mu    sync.Mutex
	count int           // guarded by mu
	empty chan struct{} // closed when count falls to 0; nil while nobody waits; guarded by mu
}

func (t *tracker) add() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
}

func (t *tracker) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count--; t.count == 0 && t.empty != nil {
		close(t.empty)
		t.empty = nil
	}
}

// spawn runs f in a goroutine that wait waits for.
func (t *tracker) spawn(f func()) {
	t.add()
	go func() { // ended by f; waited for in wait
		defer t.done()
		f()
	}()
}

// wait returns when the count is 0, or when ctx ends, with its error.
func (t *tracker) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.count == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.empty == nil {
		t.empty = make(chan struct{})
	}
	empty, n := t.empty, t.count
	t.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %d goroutines: %w", n, ctx.Err())
	}
}
