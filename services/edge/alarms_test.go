package edge

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestAlarms sets, moves and drops alarms at random: each rings once, when it is due, and none that was dropped.
func TestAlarms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		as := newAlarms()
		runs(t, as.run)
		random := rand.New(rand.NewPCG(1, 2))
		const n = 500
		var rang [n]time.Time
		var due [n]time.Time
		start := time.Now()
		later := func() time.Time { return start.Add(time.Duration(random.Int64N(int64(3 * time.Minute)))) }
		all := make([]*alarm, n)
		for i := range all {
			all[i] = &alarm{ring: func() {
				if !rang[i].IsZero() {
					t.Errorf("alarm %d rang twice", i)
				}
				rang[i] = time.Now()
			}}
			due[i] = later()
			as.set(all[i], due[i])
		}
		for i := range all {
			switch i % 3 {
			case 0:
				due[i] = later()
				as.set(all[i], due[i])
			case 1:
				due[i] = time.Time{}
				as.drop(all[i])
				as.drop(all[i])
			}
		}
		<-time.After(4 * time.Minute)
		synctest.Wait()
		for i := range all {
			switch late := rang[i].Sub(due[i]); {
			case due[i].IsZero() && !rang[i].IsZero():
				t.Errorf("alarm %d was dropped, and rang", i)
			case !due[i].IsZero() && (late < 0 || late > grain):
				t.Errorf("alarm %d is %v late, want up to %v", i, late, grain)
			}
		}
		if as.pending.Len() != 0 {
			t.Errorf("%d alarms are left", as.pending.Len())
		}
	})
}
