package main

import (
	"errors"
	"fmt"
	"time"
)

// idleLinks opens connections that have nothing to say.
func idleLinks(cfg *config, r *report, n int) ([]link, error) {
	links := make([]link, n)
	var latency hist
	unexpected := func([]byte, int64) error { return errors.New("unexpected message on an idle connection") }
	failed := openAll(cfg, n, cfg.connectRate, &latency, func(i int) error {
		l, err := dial(cfg, cfg.poll, cfg.polling, i, handlers{packet: unexpected, binary: unexpected, failed: func(err error) {
			r.failures.add(fmt.Errorf("connection %d: %w", i, err))
		}})
		if err == nil {
			links[i] = l
		}
		return err
	}, &r.failures)
	links = present(links)
	if failed > 0 {
		closeAll(links)
		return nil, fmt.Errorf("%d of %d connections failed", failed, n)
	}
	return links, nil
}

// warmUp opens and closes a few connections, so that what the first one brings is not counted as everyone's.
func warmUp(cfg *config, r *report) error {
	links, err := idleLinks(cfg, r, min(cfg.conns, 100))
	if err != nil {
		return err
	}
	pause(cfg.settle)
	closeAll(links)
	return nil
}

// runIdle reports what one idle connection costs a server that gives account of itself: memory right after connecting and
// again after a time of pings and pongs, goroutines, descriptors, CPU time in that time. What the server costs with no
// connection is subtracted.
func runIdle(cfg *config, r *report) error {
	r.param("conns", cfg.conns)
	r.param("polling", cfg.polling)
	r.param("hold_s", cfg.hold.Seconds())
	if err := warmUp(cfg, r); err != nil {
		return err
	}
	empty, err := cfg.quiet()
	if err != nil {
		return err
	}
	emptyLoad, err := cfg.holdFor(min(cfg.hold, 15*time.Second))
	if err != nil {
		return err
	}
	before, err := cfg.spent()
	if err != nil {
		return err
	}
	links, err := idleLinks(cfg, r, cfg.conns)
	if err != nil {
		return err
	}
	defer closeAll(links)
	after, err := cfg.spent()
	if err != nil {
		return err
	}
	pause(cfg.settle)
	for _, l := range links {
		if p, ok := l.(*pollClient); ok {
			p.rest()
		}
	}
	pause(cfg.settle)
	full, err := cfg.collected()
	if err != nil {
		return err
	}
	n := float64(cfg.conns)
	r.add("connect_cpu_us", round(float64(after.CPUMicros-before.CPUMicros)/n))
	r.addCosts("", empty, full, n)
	if cfg.hold == 0 {
		return nil
	}
	load, err := cfg.holdFor(cfg.hold)
	if err != nil {
		return err
	}
	if full, err = cfg.collected(); err != nil {
		return err
	}
	r.addCosts("held_", empty, full, n)
	r.add("empty_cpu_us_per_s", round(emptyLoad))
	r.add("held_cpu_us_per_s", round(load))
	r.add("cpu_us_per_s_per_conn", round((load-emptyLoad)/n))
	return nil
}

// addCosts reports what one of n connections costs.
func (r *report) addCosts(prefix string, empty, full account, n float64) {
	per := func(a, b int64) float64 { return round(float64(b-a) * 1024 / n) }
	r.add(prefix+"empty_anonymous_kb", empty.AnonymousKB)
	r.add(prefix+"bytes_per_conn", per(empty.AnonymousKB, full.AnonymousKB))
	r.add(prefix+"heap_bytes_per_conn", per(empty.HeapKB, full.HeapKB))
	r.add(prefix+"stack_bytes_per_conn", per(empty.StackKB, full.StackKB))
	r.add(prefix+"goroutines_per_conn", round(float64(full.Goroutines-empty.Goroutines)/n))
	r.add(prefix+"descriptors_per_conn", round(float64(full.Descriptors-empty.Descriptors)/n))
}

// holdFor waits, and returns the microseconds of CPU time that the server has used in a second meanwhile.
func (c *config) holdFor(d time.Duration) (float64, error) {
	if d == 0 {
		return 0, nil
	}
	before, err := c.spent()
	if err != nil {
		return 0, err
	}
	pause(d)
	after, err := c.spent()
	return float64(after.CPUMicros-before.CPUMicros) / after.at.Sub(before.at).Seconds(), err
}
