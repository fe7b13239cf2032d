package bus

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestWatchersKnowTheNewest shows that what is told last is the truth, though who found out what it was before is held up.
func TestWatchersKnowTheNewest(t *testing.T) {
	w := watchers{state: true}
	told := make(chan bool, 3)
	w.add(func(state bool) { told <- state })
	var connected atomic.Bool
	var slow sync.WaitGroup
	asked, overtaken := make(chan struct{}), make(chan struct{})
	slow.Go(func() {
		w.update(func() bool {
			state := connected.Load()
			close(asked)
			select {
			case <-overtaken:
			case <-time.After(50 * time.Millisecond): // nobody can
			}
			return state
		})
	})
	<-asked
	connected.Store(true)
	w.update(connected.Load)
	close(overtaken)
	slow.Wait()
	close(told)
	if first, second := <-told, <-told; first || !second || !w.state || len(told) > 0 {
		t.Errorf("told %v and %v and %d more, want false and then true; state %v", first, second, len(told), w.state)
	}
}
