package socketio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// ServerEvent is an event of another app instance.
type ServerEvent struct {
	Name string
	Args Args
	From string // instance id of the sender

	namespace *Namespace
	request   uint64
	acked     atomic.Bool // one acknowledgement is sent, no more
}

// WantsAck reports whether the sender asked for an acknowledgement.
func (e *ServerEvent) WantsAck() bool { return e.request != 0 }

// Ack answers the event with at most one argument; later calls do nothing. If the argument cannot be sent, it returns why and may
// be called again.
func (e *ServerEvent) Ack(args ...any) error {
	if e.request == 0 || !e.acked.CompareAndSwap(false, true) {
		return nil
	}
	err := e.ack(args)
	if err != nil {
		e.acked.Store(false)
	}
	return err
}

func (e *ServerEvent) ack(args []any) error {
	n := e.namespace
	body, err := n.server.encoder.ack(wire.AppendReply(nil, e.From), args[:min(1, len(args))])
	if err != nil {
		return err
	}
	r := wire.Record{Kind: wire.KindServerReply, Namespace: n.nameBytes, Partition: n.partition, Ack: e.request, Body: body}
	_, err = n.server.send(context.Background(), &r, false)
	return err
}

// ServerHandler handles an event of another instance. Its error, or panic, goes to Server.OnError, and is not told to the
// sender. The context ends when the Server gives up on its handlers.
type ServerHandler func(ctx context.Context, e *ServerEvent) error

// ServerReply is what one instance acknowledged with.
type ServerReply struct {
	Instance string
	Args     Args // at most one argument
}

// MissingServersError says that instances did not acknowledge.
type MissingServersError struct {
	Instances []string // sorted
	Err       error    // why the wait has ended: ErrTimeout, ErrClosed, or the cause of the context
}

// Error returns the reference's text (CLU-020), with another reason if it was not the time.
func (e *MissingServersError) Error() string {
	reason := "timeout reached"
	if e.Err != nil && !errors.Is(e.Err, ErrTimeout) {
		reason = e.Err.Error()
	}
	return fmt.Sprintf("%s: missing %d responses", reason, len(e.Instances))
}

// Unwrap returns Err.
func (e *MissingServersError) Unwrap() error { return e.Err }

// OnServerSide has f handle the events of that name that other instances send to this namespace. They come to instances that
// serve it, with a connection handler or a middleware, and are handled one at a time, in the order in which each sender sent them,
// from Run on until its end begins. While too many wait, events are dropped, and OnError is told. The returned function removes
// this registration.
func (n *Namespace) OnServerSide(event string, f ServerHandler) (off func()) {
	server := n.server
	l := &serverListener{event: event, f: f}
	server.mu.Lock()
	n.serverSide = append(n.serverSide[:len(n.serverSide):len(n.serverSide)], l)
	server.mu.Unlock()
	return func() {
		server.mu.Lock()
		defer server.mu.Unlock()
		n.serverSide = slices.DeleteFunc(slices.Clone(n.serverSide), func(other *serverListener) bool { return other == l })
	}
}

type serverListener struct {
	event string
	f     ServerHandler
}

// ServerSideEmit sends an event to every other app instance that serves the namespace, of whatever application, not to this one
// (CLU-018). It returns what Emit returns.
func (n *Namespace) ServerSideEmit(event string, args ...any) error {
	return n.serverEmit(n.context(), 0, event, args)
}

// ServerSideEmitWithAck is ServerSideEmit that waits for one answer of each (CLU-019); without others it returns at once
// (CLU-022), and one that dies meanwhile is not waited for (CLU-021). After the deadline of ctx, or else Config.EmitTimeout, it
// returns the answers there are and a *MissingServersError (CLU-020). ErrLost says that the rooms service went away before it told
// who was asked, if anybody was.
func (n *Namespace) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]ServerReply, error) {
	server := n.server
	ctx, cancel := server.patient(ctx)
	defer cancel()
	id := server.requests.Add(1)
	k := server.polls.add(id, n.partition)
	defer server.polls.remove(id)
	if err := n.serverEmit(ctx, id, event, args); err != nil {
		return nil, err
	}
	for {
		over := server.await(ctx, k.wake)
		replies, missing, complete, failure := k.state()
		switch {
		case complete:
			return replies, nil
		case failure != nil && server.usable() != nil: // it is lost because the Server has ended
			return nil, ErrClosed
		case failure != nil:
			return nil, fmt.Errorf("emit %.80q to other instances: %w", event, failure)
		case over != nil:
			return replies, &MissingServersError{Instances: missing, Err: over}
		}
	}
}

func (n *Namespace) serverEmit(ctx context.Context, id uint64, event string, args []any) error {
	switch event {
	case "connect", "connection", "new_namespace":
		return &ReservedEventError{Event: event}
	}
	encoder := n.server.encoder
	body := encoder.body()
	defer encoder.release(body)
	encoded, err := encoder.event(*body, event, args)
	*body = encoded
	if err != nil {
		return err
	}
	r := wire.Record{Kind: wire.KindServerEmit, Namespace: n.nameBytes, Partition: n.partition, Ack: id, Body: encoded}
	_, err = n.server.send(ctx, &r, false)
	return err
}

// maxServerEvents is how many bytes of events of other instances may wait for their handlers.
const maxServerEvents = 16 << 20

var errServerEvents = errors.New("socketio: events of other instances were dropped, too many wait")

// handleServerEvent runs the handlers of one event.
func (s *Server) handleServerEvent(e *ServerEvent) {
	s.mu.Lock()
	listeners := e.namespace.serverSide
	s.mu.Unlock()
	for _, l := range listeners {
		if l.event != e.Name {
			continue
		}
		if err := guard(func() error { return l.f(s.handlerContext(), e) }); err != nil {
			s.reports.put(fmt.Errorf("handle server-side %.80q in namespace %.80q: %w", e.Name, e.namespace.name, err))
		}
	}
}

// serverEvent takes an event of another instance.
func (s *Server) serverEvent(r *wire.Record) error {
	if _, err := wire.ParsePacket(r.Body, nil); err != nil {
		return fmt.Errorf("server-side event: %w", err)
	}
	s.mu.Lock()
	n, serving := s.namespaces[string(r.Namespace)], s.phase == running
	s.mu.Unlock()
	if n == nil || !serving {
		return nil
	}
	name, args, err := decodeEvent(nil, bytes.Clone(r.Body))
	if err != nil {
		s.reports.put(fmt.Errorf("server-side event: %w", err))
		return nil
	}
	s.events.put(&ServerEvent{Name: name, Args: args, From: r.Origin.String(), namespace: n, request: r.Ack}, len(r.Body)+overhead)
	return nil
}

// polls are the requests to other instances that wait for answers.
type polls struct {
	mu   sync.Mutex
	open map[uint64]*poll // guarded by mu
}

type poll struct {
	partition uint8
	wake      chan struct{} // one token

	mu      sync.Mutex
	targets map[string]bool // guarded by mu; nil until rooms has named them, true: waited for
	replies []ServerReply   // guarded by mu
	failure error           // guarded by mu; why rooms will not name them
}

func (p *polls) add(id uint64, partition uint8) *poll {
	k := &poll{partition: partition, wake: make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[uint64]*poll{}
	}
	p.open[id] = k
	return k
}

func (p *polls) remove(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, id)
}

// update changes the poll of an id, if there is one.
func (p *polls) update(id uint64, change func(*poll)) {
	p.mu.Lock()
	k := p.open[id]
	p.mu.Unlock()
	if k != nil {
		k.update(change)
	}
}

// each changes all polls.
func (p *polls) each(change func(*poll)) {
	p.mu.Lock()
	var open []*poll
	for _, k := range p.open {
		open = append(open, k)
	}
	p.mu.Unlock()
	for _, k := range open {
		k.update(change)
	}
}

// gone stops waiting for a dead instance.
func (p *polls) gone(id mesh.InstanceID) {
	p.each(func(k *poll) {
		k.drop(id.String())
	})
}

// lost fails those that rooms may never have taken.
func (p *polls) lost(partition uint8) {
	p.each(func(k *poll) {
		if k.targets == nil && k.partition == partition {
			k.failure = ErrLost
		}
	})
}

func (k *poll) update(change func(*poll)) {
	k.mu.Lock()
	change(k)
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// drop waits for an instance no more. The caller holds mu.
func (k *poll) drop(id string) {
	if k.targets[id] {
		k.targets[id] = false
	}
}

// state returns what has come, who is missing, whether that is nobody, and why nothing more will come.
func (k *poll) state() (replies []ServerReply, missing []string, complete bool, failure error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, waits := range k.targets {
		if waits {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return slices.Clone(k.replies), missing, k.targets != nil && len(missing) == 0, k.failure
}

// serverTargets takes what rooms says: which instances got a request.
func (s *Server) serverTargets(r *wire.Record) error {
	ids, err := wire.ParseStrings(r.Body)
	if err != nil {
		return fmt.Errorf("instances asked: %w", err)
	}
	s.polls.update(r.Ack, func(k *poll) {
		k.targets = make(map[string]bool, len(ids))
		for _, id := range ids {
			replied := slices.ContainsFunc(k.replies, func(reply ServerReply) bool { return reply.Instance == id })
			k.targets[id] = !replied && !s.died(id)
		}
		k.failure = nil
	})
	return nil
}

// died reports whether an instance is dead, which rooms may not have known when it asked it. One that dies later passes gone.
func (s *Server) died(instance string) bool {
	id, err := mesh.ParseInstanceID(instance)
	return err == nil && s.peers.Dead(id)
}

// serverAnswer takes an answer of another instance.
func (s *Server) serverAnswer(r *wire.Record) error {
	args, err := decodeAck(bytes.Clone(r.Body))
	if err != nil {
		return fmt.Errorf("server-side answer: %w", err)
	}
	from := r.Origin.String()
	s.polls.update(r.Ack, func(k *poll) {
		if slices.ContainsFunc(k.replies, func(reply ServerReply) bool { return reply.Instance == from }) {
			return
		}
		k.replies = append(k.replies, ServerReply{Instance: from, Args: args.first()})
		k.drop(from)
	})
	return nil
}

// ServerSideEmit sends an event to the other instances that serve "/"; see Namespace.ServerSideEmit.
func (s *Server) ServerSideEmit(event string, args ...any) error {
	return s.Of("/").ServerSideEmit(event, args...)
}

// ServerSideEmitWithAck asks the other instances that serve "/"; see Namespace.ServerSideEmitWithAck.
func (s *Server) ServerSideEmitWithAck(ctx context.Context, event string, args ...any) ([]ServerReply, error) {
	return s.Of("/").ServerSideEmitWithAck(ctx, event, args...)
}

// OnServerSide handles events that other instances send to "/"; see Namespace.OnServerSide.
func (s *Server) OnServerSide(event string, f ServerHandler) (off func()) {
	return s.Of("/").OnServerSide(event, f)
}
