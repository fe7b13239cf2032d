package engine

import (
	"sync"
	"time"
)

const (
	wheelTick  = 10 * time.Millisecond
	wheelSlots = 4096 // 41 s a round, so that an entry of a usual heartbeat is touched once
)

// expirer is told that the time of its alarm has come. It decides under its own lock
// what is due: an alarm that is stopped or moved at that very moment may still be told.
type expirer interface{ expire() }

// alarm is one entry of a wheel, embedded in the thing it wakes.
type alarm struct {
	target     expirer // set once, before the first arm
	next, prev *alarm  // guarded by wheel.mu
	tick       int64   // guarded by wheel.mu; 0 when not armed
}

// wheel is a timing wheel for all deadlines of a server: no memory and no runtime timer
// per deadline. An alarm due at t is told in [t, t+wheelTick), never early. Its goroutine
// runs only while something is armed, and wakes only for ticks that have something. Times are durations since the wheel was
// made.
type wheel struct {
	epoch time.Time
	spawn func(func()) // starts the wheel's goroutine; its owner waits for it

	mu      sync.Mutex
	slots   [wheelSlots]*alarm // guarded by mu
	armed   int                // guarded by mu
	current int64              // the last tick processed; guarded by mu
	next    int64              // the tick that timer is set to, 0 while the goroutine is awake; guarded by mu
	timer   *time.Timer        // nil while the goroutine does not run; guarded by mu
}

func newWheel(spawn func(func())) *wheel { return &wheel{epoch: time.Now(), spawn: spawn} }

// now returns the time on the wheel's clock, which is monotonic.
func (w *wheel) now() time.Duration { return time.Since(w.epoch) }

// arm sets a to be told at due, in place of what it was set to before.
func (w *wheel) arm(a *alarm, due time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.tick != 0 {
		w.unlink(a)
	}
	start := w.timer == nil
	if start {
		w.current = int64(w.now() / wheelTick)
		w.timer = time.NewTimer(time.Hour) // until sleep sets it
	}
	a.tick = max(int64((due+wheelTick-1)/wheelTick), w.current+1)
	head := &w.slots[a.tick%wheelSlots]
	if a.next = *head; a.next != nil {
		a.next.prev = a
	}
	*head = a
	w.armed++
	switch {
	case start:
		w.sleep()
		ticks := w.timer.C
		w.spawn(func() { w.run(ticks) })
	case w.next > a.tick:
		w.set(a.tick)
	}
}

// stop makes a not armed.
func (w *wheel) stop(a *alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.tick != 0 {
		w.unlink(a)
	}
	if w.armed == 0 && w.next > 0 { // the goroutine is to see that it can go
		w.set(w.current + 1)
	}
}

// unlink takes an armed entry out of its slot; mu is held.
func (w *wheel) unlink(a *alarm) {
	if a.prev != nil {
		a.prev.next = a.next
	} else {
		w.slots[a.tick%wheelSlots] = a.next
	}
	if a.next != nil {
		a.next.prev = a.prev
	}
	a.next, a.prev, a.tick = nil, nil, 0
	w.armed--
}

// sleep sets the timer to the next tick that may have something; mu is held.
func (w *wheel) sleep() {
	next := w.current + 1 // at once if nothing is armed: the goroutine is to go
	for end := w.current + wheelSlots; w.armed > 0 && next < end && w.slots[next%wheelSlots] == nil; {
		next++
	}
	w.set(next)
}

// set sets the timer to a tick; mu is held.
func (w *wheel) set(tick int64) {
	w.next = tick
	w.timer.Reset(time.Duration(tick)*wheelTick - w.now())
}

// run wakes whatever is due until nothing is armed.
func (w *wheel) run(ticks <-chan time.Time) {
	var due []*alarm
	for {
		<-ticks
		var more bool
		if due, more = w.advance(due[:0]); !more && len(due) == 0 {
			return
		}
		for i, a := range due {
			a.target.expire()
			due[i] = nil
		}
		w.mu.Lock()
		w.sleep()
		w.mu.Unlock()
	}
}

// advance processes the ticks that have passed and appends what is due. It returns
// false, and the wheel counts as stopped, when neither is anything due nor armed.
func (w *wheel) advance(due []*alarm) ([]*alarm, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := int64(w.now() / wheelTick)
	from := max(w.current+1, now-wheelSlots+1)
	for t := from; t <= now; t++ {
		for a := w.slots[t%wheelSlots]; a != nil; {
			next := a.next
			if a.tick <= now {
				w.unlink(a)
				due = append(due, a)
			}
			a = next
		}
	}
	w.current, w.next = max(w.current, now), 0
	if len(due) == 0 && w.armed == 0 {
		w.timer.Stop()
		w.timer = nil
		return due, false
	}
	return due, true
}
