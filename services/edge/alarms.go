package edge

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// alarm is something to be done at a time. Its owner sets it and takes it back through alarms.
type alarm struct {
	ring func() // called on the alarms' goroutine; must not block

	due   time.Time // guarded by alarms.mu
	place int       // guarded by alarms.mu: in the heap, from 1; 0 is not set
}

// alarms are all that are set, so that one goroutine with one timer takes the place of a timer for each. Safe for concurrent
// use; locks that its callers hold come before its own.
type alarms struct {
	mu      sync.Mutex
	pending pending       // guarded by mu
	earlier chan struct{} // one token: the first alarm has changed
}

func newAlarms() *alarms { return &alarms{earlier: make(chan struct{}, 1)} }

// set lets the alarm ring at due, soon if that has passed, and at no other time.
func (as *alarms) set(a *alarm, due time.Time) {
	as.mu.Lock()
	defer as.mu.Unlock()
	a.due = due
	if a.place == 0 {
		heap.Push(&as.pending, a)
	} else {
		heap.Fix(&as.pending, a.place-1)
	}
	if a.place == 1 {
		select {
		case as.earlier <- struct{}{}:
		default:
		}
	}
}

// drop takes an alarm back. It may ring at this very moment.
func (as *alarms) drop(a *alarm) {
	as.mu.Lock()
	defer as.mu.Unlock()
	if a.place != 0 {
		heap.Remove(&as.pending, a.place-1)
	}
}

// grain is the time between two looks: alarms ring that much late, many at a time.
const grain = 5 * time.Millisecond

// longestSleep bounds what a step of the system's clock can add to the wait for an alarm.
const longestSleep = time.Minute

// run rings until ctx ends.
func (as *alarms) run(ctx context.Context) error {
	timer := time.NewTimer(longestSleep)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-as.earlier:
		case <-timer.C:
			for a := as.next(time.Now()); a != nil; a = as.next(time.Now()) {
				a.ring()
			}
		}
		timer.Reset(as.sleep())
	}
}

// next takes out the first alarm that is due, nil if none is.
func (as *alarms) next(now time.Time) *alarm {
	as.mu.Lock()
	defer as.mu.Unlock()
	if len(as.pending) == 0 || as.pending[0].due.After(now) {
		return nil
	}
	a, _ := heap.Pop(&as.pending).(*alarm)
	return a
}

// sleep returns how long there is nothing to do.
func (as *alarms) sleep() time.Duration {
	as.mu.Lock()
	defer as.mu.Unlock()
	if len(as.pending) == 0 {
		return longestSleep
	}
	return min(max(time.Until(as.pending[0].due), grain), longestSleep)
}

// pending is a heap.Interface of alarms by time.
type pending []*alarm

func (p pending) Len() int           { return len(p) }
func (p pending) Less(i, j int) bool { return p[i].due.Before(p[j].due) }

func (p pending) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].place, p[j].place = i+1, j+1
}

// Push implements heap.Interface.
func (p *pending) Push(x any) {
	if a, ok := x.(*alarm); ok {
		*p = append(*p, a)
		a.place = len(*p)
	}
}

// Pop implements heap.Interface.
func (p *pending) Pop() any {
	last := len(*p) - 1
	a := (*p)[last]
	(*p)[last] = nil
	*p = (*p)[:last]
	a.place = 0
	return a
}
