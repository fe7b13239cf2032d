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
		Help: "Answers to auth requests, by what was asked, policy and outcome.",
	}, []string{"question", "policy", "outcome"})}
	if err := r.Register(m.verdicts); err != nil {
		return nil, fmt.Errorf("register auth metrics: %w", err)
	}
	return m, nil
}

// The label values of what may be asked.
const (
	questionConnect   = "connect"
	questionHandshake = "handshake"
)

func (m *Metrics) count(question, policy string, why outcome) {
	if m != nil {
		m.verdicts.WithLabelValues(question, policy, string(why)).Inc()
	}
}
