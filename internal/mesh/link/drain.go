package link

import (
	"context"
	"fmt"
)

// Drain writes what was appended to any link and returns when every receiver has taken everything, or its link broke. It
// fails when ctx ends first. It must not be called on the reader goroutine.
func (e *Endpoint) Drain(ctx context.Context) error {
	for _, p := range e.known() {
		l := e.out(p)
		if l == nil {
			continue
		}
		l.Flush()
		select {
		case <-l.whenSettled():
		case <-e.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("drain the link to %s: %w", p.address.Kind, context.Cause(ctx))
		}
	}
	return nil
}

// whenSettled returns a channel that is closed as soon as nothing is outstanding, or the link broke.
func (l *Link) whenSettled() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	l.settled = append(l.settled, c)
	if l.broken != nil || l.s.marked == l.s.appended {
		l.settle()
	}
	return c
}

// settle tells those who wait in Drain. It is called with the lock held.
func (l *Link) settle() {
	for _, c := range l.settled {
		close(c)
	}
	l.settled = nil
}
