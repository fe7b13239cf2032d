package main

import (
	"fmt"
	"math"
)

// tolerance is how far from the baseline a server may be after a wave.
const tolerance = 0.02

// runWaves opens all connections and closes them, several times over, and fails unless the server is then what it was after
// the warm-up: from that it may keep what as many connections need at most, say the lists of a runtime that never shrink.
func runWaves(cfg *config, r *report) error {
	r.param("conns", cfg.conns)
	r.param("polling", cfg.polling)
	r.param("warm_up_waves", cfg.warmWaves)
	r.param("waves", cfg.waves)
	var baseline account
	worst := 0.0
	for i := range cfg.warmWaves + cfg.waves {
		wave := i + 1 - cfg.warmWaves // 0 ends with the baseline
		links, err := idleLinks(cfg, r, cfg.conns)
		if err != nil {
			return fmt.Errorf("wave %d: %w", wave, err)
		}
		pause(cfg.settle)
		full, err := cfg.spent()
		closeAll(links)
		if err != nil {
			return err
		}
		a, err := cfg.quiet()
		if err != nil {
			return err
		}
		name := fmt.Sprintf("wave_%d_", wave)
		if wave < 0 {
			r.add(fmt.Sprintf("warm_up_%d_anonymous_kb", i+1), a.AnonymousKB)
			continue
		}
		if wave == 0 {
			name, baseline = "baseline_", a
		}
		r.add(name+"goroutines_at_the_top", full.Goroutines)
		r.add(name+"heap_kb", a.HeapKB)
		r.add(name+"stack_kb", a.StackKB)
		worst = max(worst, r.compare(name+"anonymous_kb", baseline.AnonymousKB, a.AnonymousKB),
			r.compare(name+"goroutines", baseline.Goroutines, a.Goroutines),
			r.compare(name+"descriptors", baseline.Descriptors, a.Descriptors))
	}
	r.add("worst_percent_off", round(100*worst))
	return nil
}

// compare reports a figure, and a failure if it is off the baseline. It returns how far.
func (r *report) compare(name string, baseline, v int64) (off float64) {
	r.add(name, v)
	if off = math.Abs(float64(v-baseline)) / float64(max(baseline, 1)); off > tolerance {
		r.failures.add(fmt.Errorf("%s is %d, %.1f %% off the baseline %d", name, v, 100*off, baseline))
	}
	return off
}
