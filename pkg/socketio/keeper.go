package socketio

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// keeper does on a goroutine of its own what must happen a little later: it reports handled packets that no operation of
// their socket has reported within a tick, and ends sockets that are gone when nobody who should has said so.
type keeper struct {
	out *outbox

	mu    sync.Mutex
	dirty []owing    // guarded by mu
	gone  []farewell // guarded by mu
	wake  chan struct{}
}

// owing is a socket with unreported packets, and what it had reported when it was looked at last.
type owing struct {
	socket   *Socket
	reported uint64
}

type farewell struct {
	sockets []*Socket
	at      time.Time
}

const (
	keeperTick   = 5 * time.Millisecond
	goneGrace    = time.Second // for what the edge says of its socket, or rooms of a dead edge, to arrive
	reportCount  = creditPackets / 2
	reportVolume = creditBytes / 2
	mayFail      = 16 // marks that cannot be sent before a tick leaves the others for the next
)

func newKeeper(out *outbox) *keeper { return &keeper{out: out, wake: make(chan struct{}, 1)} }

func (k *keeper) owes(s *Socket) {
	k.mu.Lock()
	k.dirty = append(k.dirty, owing{socket: s, reported: s.reported.Load()})
	k.mu.Unlock()
	k.token()
}

// misses ends the sockets after goneGrace, unless they have ended.
func (k *keeper) misses(sockets ...*Socket) {
	k.mu.Lock()
	k.gone = append(k.gone, farewell{sockets: sockets, at: time.Now().Add(goneGrace)})
	k.mu.Unlock()
	k.token()
}

func (k *keeper) token() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run works until ctx ends. Its timer stands still while there is nothing to do.
func (k *keeper) run(ctx context.Context) {
	timer := time.NewTimer(keeperTick)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		}
		for busy := true; busy; {
			timer.Reset(keeperTick)
			select {
			case <-ctx.Done():
				return
			case now := <-timer.C:
				owe, wait := k.tick(), k.farewells(now)
				busy = owe || wait
			}
		}
	}
}

// tick sends the marks that are due, in turn, and reports whether some are left. A socket whose operations go on reporting
// needs no record of its own.
func (k *keeper) tick() bool {
	k.mu.Lock()
	due := k.dirty
	k.dirty = nil
	k.mu.Unlock()
	var (
		kept = due[:0]
		rest []owing // have their turn first in the next tick
		fail int
	)
	for i, o := range due {
		if fail == mayFail {
			rest = slices.Clone(due[i:])
			break
		}
		reported := o.socket.reported.Load()
		switch {
		case o.socket.gone.Load():
		case reported != o.reported:
			o.reported = reported
		default:
			if !o.socket.tellHandled(0) { // within the window: there may be any number of sockets
				fail++
			}
		}
		if o.socket.settled() {
			continue
		}
		kept = append(kept, o)
	}
	if rest == nil {
		clear(due[len(kept):])
	} else {
		kept = append(rest, kept...)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty = append(kept, k.dirty...)
	return len(k.dirty) > 0
}

func (k *keeper) farewells(now time.Time) bool {
	k.mu.Lock()
	var due []*Socket
	kept := k.gone[:0]
	for _, f := range k.gone {
		if f.at.After(now) {
			kept = append(kept, f)
		} else {
			due = append(due, f.sockets...)
		}
	}
	clear(k.gone[len(kept):])
	k.gone = kept
	left := len(kept) > 0
	k.mu.Unlock()
	for _, s := range due {
		s.finish(Disconnect{Reason: ReasonTransportClose}, inOrder)
	}
	return left
}

// mark notes that a job is done, and reports it if much is unreported. It runs on the worker.
func (s *Socket) mark(j job) {
	before := s.handled.Load()
	raise(&s.handled, j.seq)
	if s.reported.Load() >= before {
		s.owedCount, s.owedBytes = 0, 0
	}
	s.owedCount++
	s.owedBytes += len(j.body)
	if s.owedCount >= reportCount || s.owedBytes >= reportVolume {
		s.tellHandled(wire.FlagControl)
	}
	if s.reported.Load() < s.handled.Load() && s.dirty.CompareAndSwap(false, true) {
		s.ns.server.keeper.owes(s)
	}
}

// losses returns how often operations on the socket's partition were lost.
func (s *Socket) losses() uint64 { return s.ns.server.out.parts[s.ns.partition].losses.Load() }

// reports notes that an operation with this handled mark was sent, when there had been so many losses.
func (s *Socket) reports(handled, losses uint64) {
	raise(&s.reported, handled)
	if s.losses() != losses { // it may be lost already, and reportAgain have come before
		s.reportAgain()
	}
}

// reportAgain has the handled mark reported once more, lest the edge wait for one that was lost and keep the client blocked.
func (s *Socket) reportAgain() {
	s.reported.Store(0)
	if s.handled.Load() > 0 && s.dirty.CompareAndSwap(false, true) {
		s.ns.server.keeper.owes(s)
	}
}

// reportAgain has the sockets of a partition report again, whose operations were lost.
func (s *Server) reportAgain(partition uint8) {
	for _, socket := range s.sockets.all(mesh.InstanceID{}) {
		if socket.ns.partition == partition {
			socket.reportAgain()
		}
	}
}

// tellHandled sends the handled mark as an operation of its own, if that is possible now; else the keeper tries again.
func (s *Socket) tellHandled(flags wire.Flags) (sent bool) {
	r := wire.Record{Kind: wire.KindHandled, Flags: flags}
	s.address(&r)
	before := s.losses()
	if s.ns.server.out.trySend(&r) != nil {
		return false
	}
	s.reports(r.Handled, before)
	return true
}

// settled takes the socket off the keeper's list if nothing is unreported, and reports whether it did.
func (s *Socket) settled() bool {
	owes := func() bool { return !s.gone.Load() && s.reported.Load() < s.handled.Load() }
	if owes() {
		return false
	}
	s.dirty.Store(false)
	return !owes() || !s.dirty.CompareAndSwap(false, true) // it may have been too late for the worker to see
}
