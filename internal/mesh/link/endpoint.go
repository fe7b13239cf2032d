package link

import (
	"context"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Endpoint is one instance's end of all its links, in both directions. Safe for concurrent use.
type Endpoint struct {
	self mesh.Address
	cfg  Config
}

// NewEndpoint returns the endpoint of the instance self. It does nothing before Run.
func NewEndpoint(b bus.Bus, s mesh.Subjects, self mesh.Address, h Handler, log *slog.Logger, cfg Config) *Endpoint {
	return &Endpoint{self: self, cfg: cfg.withDefaults()}
}

// Self returns the address of this instance.
func (e *Endpoint) Self() mesh.Address { return e.self }

// Run subscribes, reads, resends and gives verdicts until ctx ends; then every link breaks with ErrStopped.
func (e *Endpoint) Run(ctx context.Context) error { return nil }

// Ready is closed once Run has subscribed.
func (e *Endpoint) Ready() <-chan struct{} { return nil }

// Link returns the open link to an instance; it opens one if there is none, or if the last one broke.
func (e *Endpoint) Link(to mesh.Address) *Link { return nil }

// Drop forgets an instance that is dead, in both directions; its link breaks with ErrPeerDead.
func (e *Endpoint) Drop(id mesh.InstanceID) {}

// Do runs f on the reader goroutine soon, after what was given to Do before. It waits while many functions wait already, so
// it must not be called on that goroutine: there is no need to. Once Run has returned, f is dropped.
func (e *Endpoint) Do(f func()) {}
