package auth

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts verdicts. A nil *Metrics counts nothing.
type Metrics struct{ verdicts *prometheus.CounterVec }

// NewMetrics returns counters registered with r; an error if r has them already.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sio_auth_verdicts_total",
		Help: "Answers to auth requests, by policy and outcome.",
	}, []string{"policy", "outcome"})}
	if err := r.Register(m.verdicts); err != nil {
		return nil, fmt.Errorf("register auth metrics: %w", err)
	}
	return m, nil
}

func (m *Metrics) count(policy string, why outcome) {
	if m != nil {
		m.verdicts.WithLabelValues(policy, string(why)).Inc()
	}
}
