// Package auth is the stock auth service: it says whether a client may join a namespace, by one policy per namespace, and
// whether it may open a session, by one policy. Any other program that answers the same JSON on the same subjects replaces it; a mesh has one implementation, never two side
// by side. Several instances share the work as one queue group. It holds no state and no connection to a client. Start at
// Service for the plumbing, at policies.go for what is decided.
package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Config of a Service.
type Config struct {
	Policies    Policies        // required, see ParsePolicies
	Handshake   HandshakePolicy // who may open a session; the zero value lets everybody
	Concurrency int             // requests handled at the same time; twice the processors if 0
	Waiting     int             // requests that may wait behind those; beyond it they are lost and asked again; 4096 if 0
	Metrics     *Metrics        // nil counts nothing
}

func (c Config) withDefaults() Config {
	if c.Concurrency == 0 {
		c.Concurrency = 2 * runtime.GOMAXPROCS(0)
	}
	if c.Waiting == 0 {
		c.Waiting = 4096
	}
	return c
}

// Service answers auth requests from a bus.
type Service struct {
	bus      bus.Bus
	subjects mesh.Subjects
	log      *slog.Logger
	cfg      Config

	requests  chan inquiry // to the workers
	ready     chan struct{}
	readyOnce sync.Once
}

// New returns a service that takes no request before Run. The error says what is wrong with cfg.
func New(b bus.Bus, s mesh.Subjects, log *slog.Logger, cfg Config) (*Service, error) {
	cfg = cfg.withDefaults()
	switch {
	case cfg.Policies.empty():
		return nil, errors.New("auth: no policies")
	case cfg.Concurrency < 0:
		return nil, fmt.Errorf("auth: concurrency %d is negative", cfg.Concurrency)
	case cfg.Waiting < 0:
		return nil, fmt.Errorf("auth: waiting %d is negative", cfg.Waiting)
	}
	return &Service{
		bus:      b,
		subjects: s,
		log:      log,
		cfg:      cfg,
		requests: make(chan inquiry),
		ready:    make(chan struct{}),
	}, nil
}

// Ready is closed once the service takes requests.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Run takes requests until ctx ends, then finishes those it has begun. It returns nil then, or the error that kept it from
// receiving.
func (s *Service) Run(ctx context.Context) error {
	s.cfg.Policies.warn(s.log)
	s.cfg.Handshake.warn(s.log)
	g, ctx := errgroup.WithContext(ctx)
	receiver := s.bus.NewReceiver(bus.Control, s.cfg.Waiting)
	g.Go(func() error { return receiver.Run(ctx) })
	for range s.cfg.Concurrency {
		g.Go(func() error { s.work(ctx); return nil })
	}
	g.Go(func() error {
		for subject, decide := range map[string]func([]byte) any{
			s.subjects.AuthConnect():   func(data []byte) any { return s.connect(data) },
			s.subjects.AuthHandshake(): func(data []byte) any { return s.handshake(data) },
		} {
			err := receiver.Subscribe(subject, mesh.AuthQueue, func(m bus.Msg) {
				select {
				case s.requests <- inquiry{m, decide}:
				case <-ctx.Done():
				}
			})
			if err != nil {
				return err
			}
		}
		s.readyOnce.Do(func() { close(s.ready) })
		return nil
	})
	if err := g.Wait(); err != nil {
		return fmt.Errorf("run auth: %w", err)
	}
	return nil
}

// inquiry is a question and how its bytes are decided.
type inquiry struct {
	msg    bus.Msg
	decide func(data []byte) (verdict any)
}

func (s *Service) work(ctx context.Context) {
	for {
		select {
		case q := <-s.requests:
			s.answer(q)
		case <-ctx.Done():
			return
		}
	}
}

// answer decides one request. Whatever it holds, the one who asked hears something: silence means that nobody is there.
func (s *Service) answer(q inquiry) {
	if q.msg.Reply == "" {
		return
	}
	data, err := json.Marshal(q.decide(q.msg.Data))
	if err == nil {
		err = s.bus.Respond(q.msg, data)
	}
	if err != nil {
		s.log.Warn("auth verdict cannot be sent", slog.Any("err", err))
	}
}

// connect returns the verdict on a client that wants to join a namespace.
func (s *Service) connect(data []byte) *authn.ConnectReply {
	q, err := authn.DecodeConnectRequest(data)
	if err != nil {
		s.log.Warn("auth request is not understood", slog.Any("err", err))
		s.cfg.Metrics.count(questionConnect, "none", malformed)
		return refuse(malformed)
	}
	verdict, name, outcome := s.cfg.Policies.decide(q, time.Now())
	s.cfg.Metrics.count(questionConnect, name, outcome)
	s.log.Debug("auth verdict", slog.String("nsp", q.Namespace), slog.String("policy", name), slog.String("outcome", string(outcome)))
	return verdict
}

// handshake returns the verdict on a client that wants to open a session.
func (s *Service) handshake(data []byte) *authn.HandshakeReply {
	q, err := authn.DecodeHandshakeRequest(data)
	if err != nil {
		s.log.Warn("auth request is not understood", slog.Any("err", err))
		s.cfg.Metrics.count(questionHandshake, "none", malformed)
		return &authn.HandshakeReply{Message: refuse(malformed).Message}
	}
	verdict, name, outcome := s.cfg.Handshake.decide(q, time.Now())
	s.cfg.Metrics.count(questionHandshake, name, outcome)
	s.log.Debug("auth verdict on a handshake", slog.String("policy", name), slog.String("outcome", string(outcome)))
	return verdict
}
