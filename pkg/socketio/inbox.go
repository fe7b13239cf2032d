package socketio

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// The credit an edge has for one socket: packets that are not reported as handled. One packet larger than the bytes passes
// while no other waits.
const (
	creditPackets = 64
	creditBytes   = 256 << 10
	creditSlack   = 64 * creditPackets // bytes; the edge need not count framing as we do
)

var errCredit = errors.New("more packets than the socket has credit for")

// inbox is what waits for a socket's worker, a goroutine that lives while there is something to do. It is guarded by the
// socket's mu.
type inbox struct {
	jobs   []job
	bytes  int         // of events
	copies int         // jobs that are copies
	copied int         // their bytes
	missed bool        // a copy was left out since one was taken
	busy   bool        // the worker runs
	end    *Disconnect // the last job, once it is known
	cut    bool        // end comes before the jobs
	over   bool        // end was taken
	detach bool        // the edge wants the socket back
}

// job is the connection, one event, or the copy of a broadcast, which has no seq.
type job struct {
	seq     uint64
	again   bool // it may have been handled before
	connect bool
	detach  bool     // no job of its own: the socket is to be handed over
	rooms   []string // for the connection: where the auth service wants the socket
	id      []byte   // acknowledgement id
	body    []byte   // of an event
}

// manner is how a socket ends.
type manner int

const (
	inOrder manner = iota // the client left: its events are handled first
	atOnce                // the server ended it: its events are dropped
	drained               // the server stops: events are dropped, the running handler may still use the socket
)

// push gives the worker a job. It runs on the reader goroutine.
func (s *Socket) push(j job) error {
	s.mu.Lock()
	in := &s.inbox
	if in.end != nil {
		s.mu.Unlock()
		return nil
	}
	n, bytes := len(in.jobs)-in.copies, in.bytes
	if n > creditPackets || n > 0 && bytes+len(j.body) > creditBytes+creditSlack {
		s.mu.Unlock()
		return fmt.Errorf("%w: %d packets, %d bytes", errCredit, n, bytes)
	}
	in.jobs = append(in.jobs, j)
	in.bytes += len(j.body)
	s.startAndUnlock()
	return nil
}

// maxCopies is how many copies of broadcasts may wait, and maxCopied of how many bytes; one larger than that may, if no other does.
const (
	maxCopies = 1024
	maxCopied = 4 << 20
)

var errMissed = errors.New("socketio: broadcasts were not shown to the outgoing listeners, too many wait")

// pushCopy gives the worker a copy of a broadcast, unless too many wait. It runs on the reader goroutine.
func (s *Socket) pushCopy(body []byte) {
	s.mu.Lock()
	in := &s.inbox
	if in.end != nil {
		s.mu.Unlock()
		return
	}
	if in.copies >= maxCopies || in.copies > 0 && in.copied+len(body) > maxCopied {
		news := !in.missed
		in.missed = true
		s.mu.Unlock()
		if news {
			s.ns.server.reports.put(&HandlerError{Socket: s, Err: errMissed})
		}
		return
	}
	in.missed = false
	in.copies++
	in.copied += len(body)
	in.jobs = append(in.jobs, job{body: body})
	s.startAndUnlock()
}

// finish ends the socket: what it still owes the application happens on its worker. Only the first call has a say; but when
// the server ends the socket, the edge's answer may come before the call that caused it.
func (s *Socket) finish(d Disconnect, how manner) {
	s.mu.Lock()
	in := &s.inbox
	if how != drained {
		s.giveUp()
		defer s.ns.server.sockets.remove(s) // when its worker counts: until then the end of Run waits because of the socket
	}
	if in.end != nil && (how != atOnce || in.over) {
		s.mu.Unlock()
		return
	}
	in.end, in.cut = &d, how != inOrder
	s.startAndUnlock()
}

// abandon gives up the client and forgets the socket. The caller holds mu.
func (s *Socket) abandon() {
	s.giveUp()
	s.ns.server.sockets.remove(s)
}

// giveUp gives up the client: nothing can be sent, and it owes no acknowledgement any more. The caller holds mu.
func (s *Socket) giveUp() {
	s.gone.Store(true)
	why := s.lost()
	for id, c := range s.requests {
		delete(s.requests, id)
		c <- reply{err: why}
	}
}

// startAndUnlock starts the worker unless it runs, and unlocks mu.
func (s *Socket) startAndUnlock() {
	workers := s.ns.server.workers
	start := !s.inbox.busy
	s.inbox.busy = true
	if start && !workers.count() {
		start = false
		s.abandon() // the Server is closed: nobody works any more
	}
	s.mu.Unlock()
	if start {
		workers.run(s)
	}
}

// work does what waits, until nothing does.
func (s *Socket) work() {
	normal := false
	var j job
	defer func() {
		if !normal { // a handler ended the goroutine (runtime.Goexit); the socket goes on with another
			if j.connect && !s.accepted.Load() {
				s.refuse(&ConnectError{Message: internalError})
			}
			if j.seq > 0 {
				s.mark(j) // as handled as it will ever be
			}
			s.mu.Lock()
			s.inbox.busy = false
			s.startAndUnlock()
		}
	}()
	for {
		var end *Disconnect
		var ok bool
		j, end, ok = s.next()
		switch {
		case !ok:
			normal = true
			return
		case end != nil:
			s.ended(*end)
			continue
		case j.detach:
			s.handOver()
			continue
		case j.connect && !s.handed && s.ns.server.ends():
			s.handOver() // the client joins at another instance
			continue
		case j.connect:
			s.join(j.rooms)
		case j.seq == 0:
			s.tellOutgoing(s.outgoing(), j.body)
			continue
		default:
			s.dispatch(j)
		}
		s.mark(j)
	}
}

// next takes the next job, or the end.
func (s *Socket) next() (j job, end *Disconnect, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in := &s.inbox
	switch {
	case in.end != nil && !in.over && (in.cut || len(in.jobs) == 0):
		in.over, in.jobs, in.bytes, in.copies, in.copied = true, nil, 0, 0, 0
		return job{}, in.end, true
	case in.detach && in.end == nil && in.bytes <= maxReturned:
		return job{detach: true}, nil, true
	case len(in.jobs) == 0:
		in.busy, in.jobs = false, nil
		return job{}, nil, false
	}
	j = in.jobs[0]
	in.jobs[0] = job{}
	in.jobs = in.jobs[1:]
	if j.seq == 0 {
		in.copies--
		in.copied -= len(j.body)
	} else {
		in.bytes -= len(j.body)
	}
	return j, nil, true
}

// join decides by the middlewares whether the client may join, and runs the connection handlers.
func (s *Socket) join(rooms []string) {
	server := s.ns.server
	if s.handed {
		s.takeOver()
		return
	}
	ctx := server.handlerContext()
	if !s.made(ctx) {
		_ = s.decide(wire.KindUnknown, nil) // it has been reported
		s.drop()
		return
	}
	for _, m := range s.ns.middlewares {
		err := guard(func() error { return m(ctx, s) })
		if s.gone.Load() { // the client left meanwhile: connection never fires (MID-006)
			return
		}
		if err != nil {
			s.refuse(err)
			return
		}
	}
	s.mu.Lock()
	s.enter(rooms, 0) // before anybody else can take it out again
	s.mu.Unlock()
	if err := s.decide(wire.KindAccept, &siomeshv1.Accept{SocketId: s.id, User: s.user, Rooms: rooms}); err != nil {
		s.drop()
		return
	}
	s.connect()
}

// connect runs the connection handlers.
func (s *Socket) connect() {
	for _, f := range s.ns.connection {
		s.report("connection", guard(func() error { f(s); return nil }))
	}
}

// internalError is what clients hear of a panic, or of a middleware that ends its goroutine.
const internalError = "internal server error"

// refuse answers the client with connect_error.
func (s *Socket) refuse(cause error) {
	refusal := &siomeshv1.Refuse{Message: cause.Error()}
	var chosen *ConnectError
	var panicked *PanicError
	switch {
	case errors.As(cause, &panicked):
		refusal.Message = internalError
		s.report("connection", cause)
	case errors.As(cause, &chosen) && chosen != nil:
		refusal.Message = chosen.Message
		if chosen.Data != nil {
			s.report("connection", guard(func() (err error) { // it may have methods that encode it
				refusal.Data, err = appendJSON(nil, chosen.Data)
				return err
			}))
		}
	}
	refusal.Message = strings.ToValidUTF8(refusal.Message, "\ufffd")
	if size, most := proto.Size(refusal), s.ns.server.cfg.MaxPacket; size > most {
		s.report("connection", fmt.Errorf("%w: a refusal of %d bytes", ErrTooLarge, size))
		refusal = &siomeshv1.Refuse{Message: internalError}
	}
	_ = s.decide(wire.KindRefuse, refusal) // it has been reported
	s.drop()
}

// decide sends the accept, the refusal, the end, or that the namespace is unknown. It goes on trying as long as the socket is
// there, since without it the client would wait for ever: if the edge loses rooms too, it closes the connection, and the socket
// is gone. The first failure is reported.
func (s *Socket) decide(kind wire.Kind, decision proto.Message) error {
	var body []byte
	var err error
	if decision != nil {
		body, err = proto.Marshal(decision)
	}
	for first := true; ; first = false {
		if err == nil {
			err = s.pronounce(&wire.Record{Kind: kind, Body: body})
		}
		if err == nil || errors.Is(err, ErrDisconnected) {
			return err
		}
		if first {
			s.ns.server.reports.put(fmt.Errorf("decide over a socket in namespace %.80q: %w", s.ns.name, err))
		}
		if !retriable(err) || s.isCut() {
			return err
		}
		err = nil
	}
}

// pronounce sends a decision. With an accept the socket is connected before its client can know: who finds it among the
// connected ones meanwhile waits behind the accept with what it does to it.
func (s *Socket) pronounce(r *wire.Record) error {
	if r.Kind != wire.KindAccept {
		return s.change(r)
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	s.accepted.Store(true)
	_, err := s.put(context.Background(), r, false)
	if err != nil {
		s.accepted.Store(false)
	}
	return err
}

// drop ends a socket that never was connected: there is no disconnect.
func (s *Socket) drop() {
	s.mu.Lock()
	s.inbox.end, s.inbox.over, s.inbox.jobs, s.left = &Disconnect{}, true, nil, true
	s.abandon()
	s.mu.Unlock()
	s.ns.server.release(s.ns)
}

// dispatch runs the handlers of one event.
func (s *Socket) dispatch(j job) {
	if !s.accepted.Load() {
		return
	}
	e := &Event{socket: s, id: j.id, again: j.again}
	var err error
	if e.Name, e.Args, err = decodeEvent(e.few[:0], j.body); err != nil {
		s.report("", err)
		return
	}
	ctx := s.ns.server.handlerContext()
	if !s.passes(ctx, e) {
		return
	}
	var few [4]*listener
	name := e.Name
	for i, l := range s.listening(few[:0], name) {
		if i > 0 && s.isCut() { // no event after a disconnect (SOC-028)
			return
		}
		s.report(name, guard(func() error { return l.f(ctx, e) }))
	}
}

func (s *Socket) isCut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inbox.cut
}

// ended runs the disconnect handlers.
func (s *Socket) ended(d Disconnect) {
	s.mu.Lock()
	s.abandon()
	if len(d.Rooms) == 0 {
		d.Rooms = s.roomsNow()
	}
	disconnecting := s.disconnecting
	s.mu.Unlock()
	if s.accepted.Load() {
		s.tell("disconnecting", disconnecting, d)
	}
	s.mu.Lock()
	s.left, s.rooms, s.parted = true, nil, nil
	disconnect := s.disconnect
	s.mu.Unlock()
	if s.accepted.Load() {
		s.tell("disconnect", disconnect, d)
	}
	s.ns.server.release(s.ns)
}

func (s *Socket) tell(event string, handlers []func(Disconnect), d Disconnect) {
	for _, f := range handlers {
		s.report(event, guard(func() error { f(d); return nil }))
	}
}
