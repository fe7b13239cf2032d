package link

import (
	"context"
	"fmt"
	"time"
)

// drainPoll is how often Drain looks; marks take about as long.
const drainPoll = 2 * time.Millisecond

// Drain writes what was appended to any link and returns when every receiver has taken everything, or its link broke. It
// fails when ctx ends first. It must not be called on the reader goroutine.
func (e *Endpoint) Drain(ctx context.Context) error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for _, p := range e.known() {
		l := e.out(p)
		if l == nil {
			continue
		}
		l.Flush()
		for !l.settled() {
			select {
			case <-tick.C:
			case <-e.done:
				return nil
			case <-ctx.Done():
				return fmt.Errorf("drain the link to %s: %w", p.address.Kind, context.Cause(ctx))
			}
		}
	}
	return nil
}

// settled reports whether nothing of the link is outstanding.
func (l *Link) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken != nil || l.s.marked == l.s.appended
}
