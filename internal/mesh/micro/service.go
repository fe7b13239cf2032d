package micro

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/siomesh/siomesh/internal/mesh"
)

// Config of a Service. All fields but Metadata are required.
type Config struct {
	Name, Version, Description string
	Metadata                   map[string]string
	Queue                      string // queue group of the endpoints: instances share the requests
	Endpoints                  []Endpoint
	Concurrency                int           // requests handled at the same time; beyond it they are refused
	Bytes                      int           // of the requests that are handled; beyond it, too, unless there is no other
	Grace                      time.Duration // for what is being handled when Run ends

	// Handle answers a request; ctx ends when the Service gives up on it. It is called by many goroutines at a time.
	Handle func(ctx context.Context, endpoint string, data []byte) Answer
	// Refuse answers a request beyond Concurrency or Bytes. It must not wait.
	Refuse func(endpoint string) Answer
}

// Endpoint is one subject that is answered.
type Endpoint struct {
	Name, Subject string
	Metadata      map[string]string
}

// Answer is what a request gets. Code is 0 unless Data is an error, which the headers tell then.
type Answer struct {
	Data  []byte
	Code  int
	Error string // one line
}

// Service is one instance of a micro service.
type Service struct {
	conn *nats.Conn
	log  *slog.Logger
	cfg  Config
	id   string

	slots     chan struct{} // one token for each request that is handled
	answering chan struct{} // one token for each that is being answered
	ready     chan struct{}

	mu      sync.Mutex
	started time.Time                       // guarded by mu, like all below
	stats   map[string]*micro.EndpointStats // by name of the endpoint
	bytes   int                             // of the requests that are handled
	ended   bool
	running sync.WaitGroup // the goroutines of requests; each holds a slot while it is handled, and then a place in answering
}

// New returns a service that answers nothing before Run. The connection stays the caller's.
func New(conn *nats.Conn, log *slog.Logger, cfg Config) *Service {
	s := &Service{
		conn: conn, log: log, cfg: cfg, id: mesh.NewInstanceID().String(),
		slots: make(chan struct{}, cfg.Concurrency), answering: make(chan struct{}, cfg.Concurrency), ready: make(chan struct{}),
		started: time.Now().UTC(), stats: map[string]*micro.EndpointStats{},
	}
	for _, e := range cfg.Endpoints {
		s.stats[e.Name] = &micro.EndpointStats{Name: e.Name, Subject: e.Subject, QueueGroup: cfg.Queue}
	}
	return s
}

// Ready is closed once requests are answered.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Limit is how many bytes an answer may have.
func (s *Service) Limit() int {
	const headers = 1024 // room for them
	return int(s.conn.MaxPayload()) - headers
}

// InProgress returns how many requests are being handled.
func (s *Service) InProgress() int { return len(s.slots) }

// What bounds the waits for the server when subscriptions begin and end.
const (
	settle = 10 * time.Second
	leave  = 2 * time.Second
)

// Run answers until ctx ends; then it takes no new requests, and lets those it has finish for Config.Grace. It returns nil
// then, or why it could not begin.
func (s *Service) Run(ctx context.Context) error {
	handling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	subscriptions, err := s.subscribe(handling)
	if err == nil {
		close(s.ready)
		<-ctx.Done()
	}
	s.drain(subscriptions)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	grace := time.NewTimer(s.cfg.Grace)
	defer grace.Stop()
	for range cap(s.slots) { // all slots are ours once nobody else works
		select {
		case s.slots <- struct{}{}:
		case <-grace.C:
			giveUp()
			s.slots <- struct{}{} // a handler returns soon, now that its context has ended
		}
	}
	s.running.Wait()
	if err != nil {
		return fmt.Errorf("serve %s: %w", s.cfg.Name, err)
	}
	return nil
}

// subscribe returns once the server knows all subscriptions.
func (s *Service) subscribe(handling context.Context) (subscriptions []*nats.Subscription, err error) {
	for _, e := range s.cfg.Endpoints {
		sub, err := s.conn.QueueSubscribe(e.Subject, s.cfg.Queue, func(m *nats.Msg) { s.take(handling, e.Name, m) })
		if err != nil {
			return subscriptions, fmt.Errorf("subscribe to %s: %w", e.Subject, err)
		}
		subscriptions = append(subscriptions, sub)
	}
	control, err := s.control()
	subscriptions = append(subscriptions, control...)
	if err != nil {
		return subscriptions, err
	}
	if err := s.conn.FlushTimeout(settle); err != nil {
		return subscriptions, fmt.Errorf("subscribe: %w", err)
	}
	return subscriptions, s.refused(subscriptions)
}

// refused returns an error if the server has refused a subscription: it says so ahead of the answer to a flush.
func (s *Service) refused(subscriptions []*nats.Subscription) error {
	err := s.conn.LastError()
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return nil
	}
	for _, sub := range subscriptions {
		if strings.Contains(err.Error(), `"`+sub.Subject+`"`) {
			return err
		}
	}
	return nil
}

// drain ends subscriptions once what has come was taken. While there is no connection nothing can come.
func (s *Service) drain(subscriptions []*nats.Subscription) {
	drained := make(chan struct{}, len(subscriptions))
	waiting := 0
	for _, sub := range subscriptions {
		if !s.conn.IsConnected() {
			sub.Unsubscribe() //nolint:errcheck // it fails only when the connection is closed, which ends the subscription too
			continue
		}
		sub.SetClosedHandler(func(string) { drained <- struct{}{} })
		if sub.Drain() == nil {
			waiting++
		} // else the connection is closed, and the subscription with it
	}
	late := time.NewTimer(leave)
	defer late.Stop()
	for range waiting {
		select {
		case <-drained:
		case <-late.C:
			return
		}
	}
}

// take runs on the goroutine of a subscription, so it must not wait.
func (s *Service) take(ctx context.Context, endpoint string, m *nats.Msg) {
	begun := time.Now()
	select {
	case s.slots <- struct{}{}:
	default:
		s.finish(endpoint, m, s.cfg.Refuse(endpoint), begun)
		return
	}
	if !s.admit(len(m.Data)) {
		<-s.slots
		s.finish(endpoint, m, s.cfg.Refuse(endpoint), begun)
		return
	}
	s.running.Go(func() { // Run waits
		defer func() { <-s.answering }()
		s.finish(endpoint, m, s.handle(ctx, endpoint, m.Data), begun)
	})
}

// handle gives up the slot and the bytes of a request before it is answered: who asks again then is not refused because of it.
// But while as many answers are being sent as requests may be handled, it waits.
func (s *Service) handle(ctx context.Context, endpoint string, data []byte) Answer {
	defer func() { <-s.slots }()
	defer s.release(len(data))
	a := s.cfg.Handle(ctx, endpoint, data)
	s.answering <- struct{}{}
	return a
}

// admit reports whether a request of that size is handled.
func (s *Service) admit(size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.bytes > 0 && s.bytes+size > s.cfg.Bytes {
		return false
	}
	s.bytes += size
	return true
}

func (s *Service) release(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= size
}

// finish answers and counts.
func (s *Service) finish(endpoint string, m *nats.Msg, a Answer, begun time.Time) {
	if m.Reply != "" {
		answer := &nats.Msg{Subject: m.Reply, Data: a.Data}
		if a.Code != 0 {
			answer.Header = nats.Header{
				micro.ErrorHeader:     []string{a.Error},
				micro.ErrorCodeHeader: []string{strconv.Itoa(a.Code)},
			}
		}
		if err := s.conn.PublishMsg(answer); err != nil {
			s.log.Warn("answer cannot be sent", slog.String("subject", m.Subject), slog.Any("err", err))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats[endpoint]
	stats.NumRequests++
	stats.ProcessingTime += time.Since(begun)
	stats.AverageProcessingTime = stats.ProcessingTime / time.Duration(stats.NumRequests)
	if a.Code != 0 {
		stats.NumErrors++
		stats.LastError = strconv.Itoa(a.Code) + ":" + a.Error
	}
}
