package abuse_test

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	clients      = 100
	quietRounds  = 10 // of each client, before the attack
	foes         = 16 // attacks at a time
	attackTime   = 4 * time.Second
	slowestRound = 5 * time.Second // of a hundred during the attack, unless it was slow without one
	factor       = 10

	idleWorkers = 64 // goroutines without work that the SDK keeps
)

// TestAbuse: a hundred clients send events and get their answers, all of them and in order, while others do what they can to
// harm the server; every attack is repelled and counted, and leaves nothing behind.
func TestAbuse(t *testing.T) {
	s := newSite(t)
	s.settle(t)
	before := runtime.NumGoroutine()
	good := s.joinAll(t)
	everyone(t, good, func(c *client) error {
		for range quietRounds {
			if err := c.round(); err != nil {
				return err
			}
		}
		return nil
	})
	quiet := worst(good)

	var attacked atomic.Bool
	var attackers sync.WaitGroup
	start := time.Now()
	attackers.Go(func() { // waited for below, when the clients are through
		defer attacked.Store(true)
		s.attack(t)
	})
	everyone(t, good, func(c *client) error {
		for !attacked.Load() {
			if err := c.round(); err != nil {
				return err
			}
		}
		return nil
	})
	attackers.Wait()
	rounds := 0
	for _, c := range good {
		rounds += len(c.took)
	}
	noisy := worst(good)
	t.Logf("99 of 100 rounds: %v, under attack %v; %d rounds in %v", quiet, noisy, rounds, time.Since(start))
	if limit := max(slowestRound, factor*quiet); noisy > limit {
		t.Errorf("under attack 1 of 100 rounds takes more than %v, want at most %v; without %v", noisy, limit, quiet)
	}
	s.counted(t)
	var closing sync.WaitGroup
	for _, c := range good { // all at once: the server gives each that polls a second for a GET that its close may have overtaken
		closing.Go(c.wire.close)
	}
	closing.Wait()
	s.settle(t)
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before+idleWorkers+5 })
}

// joinAll connects the well-behaved clients.
func (s *site) joinAll(t *testing.T) []*client {
	t.Helper()
	good := make([]*client, clients)
	for i := range good {
		var err error
		if good[i], err = join(t.Context(), s.addr, i); err != nil {
			t.Fatal(err)
		}
	}
	return good
}

// everyone lets the clients do something at the same time.
func everyone(t *testing.T, good []*client, do func(*client) error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range good {
		c.took = nil
		wg.Go(func() { // waited for below
			if err := do(c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// worst is the time that 99 of 100 rounds take at most.
func worst(good []*client) time.Duration {
	var all []time.Duration
	for _, c := range good {
		all = append(all, c.took...)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// attack does every attack at least once, and as often as it says if there is the time.
func (s *site) attack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), attackTime)
	defer cancel()
	all := slices.Concat(httpAttacks(), frameAttacks(), packetAttacks())
	queue := make(chan attack)
	var wg sync.WaitGroup
	for range foes {
		wg.Go(func() { // waited for below
			for a := range queue {
				f := &foe{addr: s.addr}
				if err := a.do(f); err != nil {
					t.Errorf("%s: %v", a.name, err)
				}
				f.end()
			}
		})
	}
	for n := 0; ; n++ {
		more := false
		for _, a := range all {
			if n < a.times && (n == 0 || ctx.Err() == nil) {
				more = true
				queue <- a
			}
		}
		if !more {
			break
		}
	}
	close(queue)
	wg.Wait()
}

// counted checks that what was refused was counted.
func (s *site) counted(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"sio_edge_packets_malformed_total", "sio_edge_connections_invalid_state_total", "sio_edge_connect_timeouts_total",
		"sio_edge_packets_late_total", "sio_engine_refused_total",
	} {
		if s.counter(t, name) == 0 {
			t.Errorf("%s is 0", name)
		}
	}
	for _, reason := range []string{"parse error", "transport error", "transport close", "forced close", "slow client"} {
		if s.closed(t, reason) == 0 {
			t.Errorf("no session was closed for %q", reason)
		}
	}
}

// settle waits until all sessions have ended.
func (s *site) settle(t *testing.T) {
	t.Helper()
	eventually(t, "no session", func() bool { return s.mesh.ClientsCount() == 0 })
}
