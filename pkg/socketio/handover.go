package socketio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// When a Server ends, the edges ask for its sockets, and give them to other instances:
//
//	DETACH, behind the last event ──► the running handler returns ──► OnHandOver ──► DETACHED, with the events that wait
//
// and another instance gets ATTACH: it makes a Socket with the same id, rooms and data, and runs the connection handlers.

// HandedOver reports whether another instance had the socket before, and gave it to this one when it ended: the client has
// been there all the time, is in the rooms it was in, and its Data is what it was. Middlewares do not run again, connection
// handlers do: they add the handlers of events, and can leave out here what is done once for each client.
func (s *Socket) HandedOver() bool { return s.handed }

// OnHandOver adds a handler that runs when this instance ends and another one takes the socket, behind the last event that is
// handled here: what it does to the socket still counts, and what it sets in Data the other instance finds there. From then on
// operations on this Socket return ErrMoved; acknowledgements that were asked for still arrive. There is no disconnect: that
// is raised at the instance that has the socket when its client leaves, or at none if operations are lost (ErrLost) before the
// other one has it. Its panic goes to OnError.
func (s *Socket) OnHandOver(f func()) {
	s.rarely(func(r *rare) { r.handOver.add(f, false) })
}

// lost tells why nothing can be done to the socket any more, nil if something can.
func (s *Socket) lost() error {
	switch {
	case s.away.Load():
		return ErrMoved
	case s.gone.Load():
		return ErrDisconnected
	default:
		return nil
	}
}

// isLost reports whether an error says that the socket is not this instance's any more.
func isLost(err error) bool { return errors.Is(err, ErrDisconnected) || errors.Is(err, ErrMoved) }

// detach has the socket handed over as soon as no handler runs. It runs on the reader goroutine.
func (s *Socket) detach() {
	s.mu.Lock()
	s.inbox.detach = true
	s.startAndUnlock()
}

// maxReturned is how many bytes of events can go back to the edge. One that is larger waits alone, and is handled here.
const maxReturned = creditBytes + creditSlack

// handOver gives the socket back to its edge, with the events that no handler has begun with. It runs on the worker.
func (s *Socket) handOver() {
	if s.accepted.Load() {
		var handlers []func()
		s.rarely(func(r *rare) { handlers, r.handOver = r.handOver.all(), functions[func()]{} }) // once
		for _, f := range handlers {
			s.report("hand-over", guard(func() error { f(); return nil }))
		}
	}
	s.sending.Lock() // what is being sent comes before
	s.mu.Lock()
	in := &s.inbox
	if in.end != nil { // the client has left, or was disconnected, meanwhile
		s.mu.Unlock()
		s.sending.Unlock()
		return
	}
	s.away.Store(true)
	in.end, in.over = &Disconnect{}, true // whatever comes now is not for us
	jobs := in.jobs
	in.jobs, in.bytes, in.copies, in.copied = nil, 0, 0, 0
	s.mu.Unlock()
	s.sending.Unlock()
	if reason := s.handBack(jobs); reason != "" {
		s.away.Store(false)
		s.ended(Disconnect{Reason: reason})
		return
	}
	s.mu.Lock()
	s.gone.Store(true)
	s.left, s.rooms, s.parted = true, nil, nil
	s.forgetMoved()
	s.mu.Unlock()
	s.ns.server.release(s.ns)
}

// handBack sends DETACHED, or returns the reason of the disconnect: the edge closes the connection. It goes on trying as decide
// does, until the Server gives up or the client may have missed something.
func (s *Socket) handBack(jobs []job) (reason string) {
	var events []wire.Event
	for _, j := range jobs {
		switch {
		case j.connect:
			raise(&s.handled, j.seq) // by whoever gets the socket
		case j.seq != 0: // else it is a copy
			events = append(events, wire.Event{ID: j.id, Packet: j.body})
		}
	}
	server := s.ns.server
	body := wire.AppendDetached(nil, events)
	for first := true; ; first = false {
		r := wire.Record{Kind: wire.KindDetached, Body: body, Seq: s.misses} // for partition.append
		s.address(&r)
		_, err := server.send(server.handing, &r, false)
		switch {
		case err == nil:
			return ""
		case server.handing.Err() != nil:
			return ReasonServerShuttingDown
		case errors.Is(err, ErrLost): // which has been reported
			return ReasonTransportClose
		}
		if first {
			server.reports.put(fmt.Errorf("hand over a socket in namespace %.80q: %w", s.ns.name, err))
		}
		if !retriable(err) {
			return ReasonServerShuttingDown
		}
	}
}

// forgetMoved forgets a socket that was handed over, once the client owes it nothing. The caller holds mu.
func (s *Socket) forgetMoved() {
	if s.away.Load() && len(s.requests) == 0 {
		s.ns.server.sockets.remove(s)
	}
}

// attach makes a socket that another instance had.
func (h receiver) attach(r *wire.Record) error {
	rooms, body, err := wire.ReadAttach(r.Body)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	s, _, err := h.socket(r, bytes.Clone(body))
	if s == nil || err != nil {
		return err
	}
	s.handed = true
	s.enter(rooms, 0)
	h.server.sockets.add(s)
	return s.push(job{seq: r.Seq, connect: true})
}

// takeOver runs the connection handlers of a socket that another instance had.
func (s *Socket) takeOver() {
	s.accepted.Store(true)
	if !s.made(s.ns.server.handlerContext()) { // a namespace that this instance does not know
		_ = s.decide(wire.KindClose, nil) // it has been reported
		s.finish(Disconnect{Reason: ReasonServerNamespaceDisconnect}, atOnce)
		return
	}
	s.connect()
}

// handOverAll waits until no socket is left and no edge gives it any more: edges ask for theirs, and say so, as soon as they
// hear that this instance drains. Those of an edge that is gone, or does not ask, end here.
func (s *Server) handOverAll(ctx context.Context) {
	s.mu.Lock()
	serves := len(s.announced)+len(s.parents) > 0
	s.mu.Unlock()
	if !serves {
		return // no edge knows it
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.DrainTimeout/10*9) // what is left is for those that must end here
	defer cancel()
	unasked := time.NewTimer(s.cfg.DrainTimeout / 5)
	defer unasked.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	patient := true
	select {
	case <-s.peers.Heard(): // before, an edge that is not known may be there
	case <-unasked.C:
		patient = false
	case <-ctx.Done():
	}
	for {
		for _, socket := range s.sockets.all(mesh.InstanceID{}) {
			if s.peers.Dead(socket.addr.Edge) || !patient && !socket.isAsked() { // one not heard of yet is there all the same
				socket.finish(Disconnect{Reason: ReasonServerShuttingDown}, drained)
			}
		}
		edges := s.peers.Live(mesh.KindEdge)
		if !patient {
			edges = nil
		}
		changed, ended := s.sockets.ended(edges)
		if ended || len(s.peers.Live(mesh.KindRooms)) == 0 { // without rooms edges close their connections
			return
		}
		select {
		case err := <-s.deaf:
			s.reports.put(fmt.Errorf("hand over: %w", err))
			return
		case <-changed:
		case <-unasked.C:
			patient = false
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// isAsked reports whether the edge has asked for the socket, or it is handed over and waits for acknowledgements.
func (s *Socket) isAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.detach || s.away.Load()
}

// socket makes a socket of what a connect or attach record says, and returns the rooms of the verdict; nil if none is taken now.
func (h receiver) socket(r *wire.Record, body []byte) (s *Socket, rooms []string, err error) {
	var c siomeshv1.Connect
	if err := proto.Unmarshal(body, &c); err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	data, err := parseData(c.GetData())
	if err != nil {
		return nil, nil, fmt.Errorf("connect: %w", err)
	}
	ns, ok := h.server.assign(string(r.Namespace))
	if !ok {
		return nil, nil, nil
	}
	return &Socket{
		ns: ns, addr: r.Socket, epoch: r.Epoch, lease: r.Lease, misses: h.server.out.parts[ns.partition].misses.Load(),
		id: c.GetSocketId(), user: c.GetUser(), body: body, data: data,
	}, c.GetRooms(), nil
}
