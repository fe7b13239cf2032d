// Package api lets any program that speaks NATS do what an application does to sockets: emit, join, leave, disconnect, fetch,
// count, serverSideEmit, in JSON, by request and reply on sio.v1.api.<verb>. It is a NATS micro service, so it can be found and
// counted with the tools of NATS, and several instances share the requests as one queue group. It stands on the SDK like an
// application that serves nothing, and holds no state: what it has answered is done. Start at Service for the plumbing, at
// verbs.go for what can be asked, at docs/api.md for the contract.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/micro"
	"github.com/siomesh/siomesh/pkg/socketio"
)

// App is the name under which the service sends, which ends the subjects of its links: app-siomesh-api.
const App = "siomesh-api"

// Config of a Service.
type Config struct {
	Concurrency int           // requests handled at the same time; beyond it they are refused as busy; 256 if 0
	Timeout     time.Duration // of a request that names none; 4 s if 0
	MaxTimeout  time.Duration // longest that a request may name; 1 min if 0
	Metrics     *Metrics      // nil counts nothing
}

const (
	defaultConcurrency = 256
	defaultTimeout     = 4 * time.Second
	defaultMaxTimeout  = time.Minute

	maxBytes = 64 << 20 // of the requests that are handled at the same time

	grace = 3 * time.Second // for requests when the service stops; then they are answered as unavailable
)

// Check says what is wrong with c.
func (c Config) Check() error {
	_, err := c.withDefaults()
	return err
}

func (c Config) withDefaults() (Config, error) {
	if c.Concurrency == 0 {
		c.Concurrency = defaultConcurrency
	}
	if c.MaxTimeout == 0 {
		c.MaxTimeout = defaultMaxTimeout
	}
	if c.Timeout == 0 {
		c.Timeout = min(defaultTimeout, c.MaxTimeout)
	}
	switch {
	case c.Concurrency < 0:
		return Config{}, fmt.Errorf("api: concurrency %d is negative", c.Concurrency)
	case c.Timeout < time.Millisecond || c.Timeout > c.MaxTimeout:
		return Config{}, fmt.Errorf("api: timeout %v is not between 1 ms and the longest, %v", c.Timeout, c.MaxTimeout)
	}
	return c, nil
}

// Service answers API requests.
type Service struct {
	bus    bus.Bus
	names  mesh.Subjects
	log    *slog.Logger
	cfg    Config
	micro  *micro.Service
	health health

	io *socketio.Server // set by Run before requests come
}

// New returns a service that takes no request before Run. It reaches the mesh by over, and those who ask it by the NATS
// connections of outside. The error says what is wrong with cfg.
func New(over bus.Bus, outside *bus.NATS, names mesh.Subjects, log *slog.Logger, cfg Config) (*Service, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Service{bus: over, names: names, log: log, cfg: cfg, health: health{bus: outside}}
	var endpoints []micro.Endpoint
	for _, v := range verbs() {
		endpoints = append(endpoints, micro.Endpoint{
			Name: v.name, Subject: names.API(v.name), Metadata: map[string]string{"does": v.does, "format": "application/json"},
		})
	}
	s.micro = micro.New(outside.Conn(bus.Data), log, micro.Config{
		Name: names.Prefix() + "-api", Version: version, Description: "Emit to Socket.IO clients, and ask about them, from anywhere",
		Metadata: map[string]string{"prefix": names.Prefix()},
		Queue:    mesh.APIQueue, Endpoints: endpoints, Concurrency: cfg.Concurrency, Bytes: maxBytes, Grace: grace,
		Handle: s.handle,
		Refuse: func(verb string) micro.Answer {
			return s.answer(verb, nil, &failure{Code: busy, Message: "too many requests at a time"})
		},
	})
	cfg.Metrics.watch(s.micro.InProgress)
	return s, nil
}

// version is that of the contract.
const version = "1.0.0"

// Ready is closed once requests are answered.
func (s *Service) Ready() <-chan struct{} { return s.micro.Ready() }

// Healthy reports whether requests are answered now.
func (s *Service) Healthy() bool {
	select {
	case <-s.Ready():
		return s.health.ok()
	default:
		return false
	}
}

// Run takes requests until ctx ends, then finishes those it has begun. It returns nil then, or the error that kept it from
// beginning.
func (s *Service) Run(ctx context.Context) error {
	io, err := socketio.Connect(bus.NewContext(ctx, s.bus), "", socketio.Config{
		App: App, Prefix: s.names.Prefix(), Log: s.log, EmitTimeout: s.cfg.MaxTimeout,
	})
	if ctx.Err() != nil {
		err = nil // told to end before it began
	}
	if err != nil || io == nil {
		return wrapped(err)
	}
	io.OnError(func(err error) { s.log.Debug("api", slog.Any("err", err)) }) // whoever asked is told
	s.io = io
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return s.micro.Run(running) })
	g.Go(func() error { s.health.run(running); return nil })
	err = g.Wait()
	if failure := io.Close(context.WithoutCancel(ctx)); !errors.Is(failure, socketio.ErrLost) { // whoever asked was told
		err = errors.Join(err, failure)
	}
	return wrapped(err)
}

func wrapped(err error) error {
	if err != nil {
		return fmt.Errorf("run api: %w", err)
	}
	return nil
}

// handle answers one request.
func (s *Service) handle(ctx context.Context, name string, data []byte) micro.Answer {
	for _, v := range verbs() {
		if v.name == name {
			result, err := v.do(ctx, s, data)
			return s.answer(name, result, err)
		}
	}
	return s.answer(name, nil, fmt.Errorf("no verb %q", name))
}
