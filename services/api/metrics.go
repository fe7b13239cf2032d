package api

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts requests. A nil *Metrics counts nothing.
type Metrics struct {
	requests *prometheus.CounterVec
	progress atomic.Pointer[func() int]
}

// NewMetrics returns counters registered with r; an error if r has them already.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sio_api_requests_total",
		Help: "Requests to the API that were answered, by verb and outcome: ok, or the code of the error.",
	}, []string{"verb", "outcome"})}
	now := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sio_api_requests_in_progress",
		Help: "Requests to the API that are being handled.",
	}, func() float64 {
		if read := m.progress.Load(); read != nil {
			return float64((*read)())
		}
		return 0
	})
	for _, c := range []prometheus.Collector{m.requests, now} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register api metrics: %w", err)
		}
	}
	return m, nil
}

// watch has the gauge show what read returns.
func (m *Metrics) watch(read func() int) {
	if m != nil {
		m.progress.Store(&read)
	}
}

func (m *Metrics) count(verb string, outcome code) {
	if m != nil {
		m.requests.WithLabelValues(verb, string(outcome)).Inc()
	}
}
