package presence

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what presence sees. A nil *Metrics counts nothing. One may be shared by all the instances of a process.
type Metrics struct {
	malformed  prometheus.Counter
	deaths     *prometheus.CounterVec
	reconnects prometheus.Counter
}

// NewMetrics returns counters registered with r; an error if r has them already.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		malformed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sio_presence_malformed_total",
			Help: "Messages on presence subjects that are no heartbeat.",
		}),
		deaths: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sio_presence_deaths_total",
			Help: "Peers declared dead, by cause.",
		}, []string{"cause"}),
		reconnects: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sio_presence_forced_reconnects_total",
			Help: "Reconnects forced because the own probe was not heard.",
		}),
	}
	for _, c := range []prometheus.Collector{m.malformed, m.deaths, m.reconnects} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register presence metrics: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) countMalformed() {
	if m != nil {
		m.malformed.Inc()
	}
}

func (m *Metrics) countDeath(why cause) {
	if m != nil {
		m.deaths.WithLabelValues(string(why)).Inc()
	}
}

func (m *Metrics) countReconnect() {
	if m != nil {
		m.reconnects.Inc()
	}
}
