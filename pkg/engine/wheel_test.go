package engine

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

type bell struct {
	alarm alarm
	ring  func()
}

func (b *bell) expire() { b.ring() }

func newBell(ring func()) *bell {
	b := &bell{ring: ring}
	b.alarm.target = b
	return b
}

// due ≤ t < due + one tick, for near and far deadlines, moved and stopped ones.
func TestWheelIsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var track tracker
		w := newWheel(track.spawn)
		random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test wants the same numbers again
		<-time.After(3333 * time.Microsecond)
		rung := 0
		for i := range 2000 {
			var due time.Duration
			b := newBell(func() {
				rung++
				if now := w.now(); now < due || now >= due+wheelTick {
					t.Errorf("due %v rang at %v", due, now)
				}
			})
			due = w.now() + time.Duration(random.Int64N(int64(2*time.Minute)))
			switch i % 4 {
			case 0: // moved
				w.arm(&b.alarm, w.now()+time.Duration(random.Int64N(int64(time.Minute))))
				w.arm(&b.alarm, due)
			case 1: // stopped
				w.arm(&b.alarm, due)
				w.stop(&b.alarm)
				w.stop(&b.alarm)
			default:
				w.arm(&b.alarm, due)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := track.wait(ctx); err != nil { // the wheel stops when it is empty
			t.Fatal(err)
		}
		if rung != 1500 {
			t.Errorf("%d alarms rang, want 1500", rung)
		}
	})
}

// An alarm may be armed again from its own call, and the wheel starts anew after a stop.
func TestWheelRearmsAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var track tracker
		w := newWheel(track.spawn)
		for round := range 2 {
			left := 5
			var b *bell
			b = newBell(func() {
				if left--; left > 0 {
					w.arm(&b.alarm, w.now()+25*time.Millisecond)
				}
			})
			w.arm(&b.alarm, w.now()) // already due: the next tick
			if err := track.wait(t.Context()); err != nil || left != 0 {
				t.Errorf("round %d: %d left, %v", round, left, err)
			}
			<-time.After(time.Hour)
		}
	})
}

// TestWheelSleeps: the wheel wakes for ticks that have something, and for no others.
func TestWheelSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var track tracker
		w := newWheel(track.spawn)
		want := func(due time.Duration) {
			t.Helper()
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			if got := time.Duration(w.next) * wheelTick; got != due {
				t.Errorf("it wakes at %v, want %v", got, due)
			}
		}
		far, near := newBell(func() {}), newBell(func() {})
		w.arm(&far.alarm, 30*time.Second)
		want(30 * time.Second)
		w.arm(&near.alarm, 2*time.Second)
		want(2 * time.Second)
		<-time.After(2 * time.Second)
		want(30 * time.Second)
		w.arm(&far.alarm, 29*time.Second)
		want(29 * time.Second)
		w.stop(&far.alarm)
		if err := track.wait(t.Context()); err != nil { // nothing is left to wake for
			t.Error(err)
		}
		if now := w.now(); now > 2*time.Second+wheelTick {
			t.Errorf("it ended at %v, want at once", now)
		}
	})
}
