// Package telemetry shows what the parts of a process count. The parts keep plain atomic counters and know no monitoring
// system; here they become Prometheus metrics, beside the health answers on the same internal port. Labels come from closed
// sets only.
package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one number that can be read at any time.
type Metric struct {
	Name   string // sio_<service>_<noun>_<unit>; a counter's ends in _total
	Help   string
	Labels prometheus.Labels
	Gauge  bool // it may fall; otherwise it is a counter
	Read   func() float64
}

// Register shows metrics to r. It fails if one is malformed or there already.
func Register(r prometheus.Registerer, metrics ...Metric) error {
	for _, m := range metrics {
		var c prometheus.Collector
		if m.Gauge {
			c = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: m.Name, Help: m.Help, ConstLabels: m.Labels}, m.Read)
		} else {
			c = prometheus.NewCounterFunc(prometheus.CounterOpts{Name: m.Name, Help: m.Help, ConstLabels: m.Labels}, m.Read)
		}
		if err := r.Register(c); err != nil {
			return fmt.Errorf("metric %s: %w", m.Name, err)
		}
	}
	return nil
}

// Counter is something like an atomic.Uint64.
type Counter interface{ Load() uint64 }

// Count returns the metric of a counter.
func Count(name, help string, c Counter, labels ...string) Metric {
	return Metric{Name: name, Help: help, Labels: pairs(labels), Read: func() float64 { return float64(c.Load()) }}
}

// Gauge returns a metric that may rise and fall.
func Gauge(name, help string, read func() float64, labels ...string) Metric {
	return Metric{Name: name, Help: help, Labels: pairs(labels), Gauge: true, Read: read}
}

// pairs makes labels of names and values in turn.
func pairs(texts []string) prometheus.Labels {
	labels := prometheus.Labels{}
	for i := 0; i+1 < len(texts); i += 2 {
		labels[texts[i]] = texts[i+1]
	}
	return labels
}
