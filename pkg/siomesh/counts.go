package siomesh

import (
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/telemetry"
	"github.com/siomesh/siomesh/services/api"
	"github.com/siomesh/siomesh/services/auth"
	"github.com/siomesh/siomesh/services/edge"
	"github.com/siomesh/siomesh/services/rooms"
)

// counts is what the parts of a mesh count.
type counts struct {
	edge       edge.Metrics
	edgeLinks  link.Metrics
	rooms      rooms.Metrics
	roomsLinks link.Metrics
	presence   *presence.Metrics // nil if nobody looks
	auth       *auth.Metrics     // nil likewise
	api        *api.Metrics      // nil likewise
}

// newCounts returns counters, and shows them to r unless it is nil.
func newCounts(r prometheus.Registerer) (*counts, error) {
	c := &counts{}
	if r == nil {
		return c, nil
	}
	var err error
	if c.presence, err = presence.NewMetrics(r); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if c.auth, err = auth.NewMetrics(r); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if c.api, err = api.NewMetrics(r); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	all := slices.Concat(c.edge.Telemetry(), c.rooms.Telemetry(),
		telemetry.Link("edge", &c.edgeLinks), telemetry.Link("rooms", &c.roomsLinks))
	if err := telemetry.Register(r, all...); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return c, nil
}
