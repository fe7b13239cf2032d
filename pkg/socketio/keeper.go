package socketio

import (
	"context"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// keeper does on a goroutine of its own what must happen a little later: it reports handled packets that no operation of
// their socket has reported within a tick, and ends sockets that rooms says are gone when their edge does not say so.
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
	socket *Socket
	at     time.Time
}

const (
	keeperTick   = 5 * time.Millisecond
	goneGrace    = time.Second // for the edge's own disconnect record to arrive
	reportCount  = creditPackets / 2
	reportVolume = creditBytes / 2
)

func newKeeper(out *outbox) *keeper { return &keeper{out: out, wake: make(chan struct{}, 1)} }

func (k *keeper) owes(s *Socket) {
	k.mu.Lock()
	k.dirty = append(k.dirty, owing{socket: s, reported: s.reported.Load()})
	k.mu.Unlock()
	k.token()
}

func (k *keeper) says(s *Socket, at time.Time) {
	k.mu.Lock()
	k.gone = append(k.gone, farewell{socket: s, at: at})
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

// tick sends the marks that are due and reports whether some are left. A socket whose operations go on reporting needs
// no record of its own.
func (k *keeper) tick() bool {
	k.mu.Lock()
	due := k.dirty
	k.dirty = nil
	k.mu.Unlock()
	kept := due[:0]
	for _, o := range due {
		reported := o.socket.reported.Load()
		switch {
		case o.socket.gone.Load():
		case reported != o.reported:
			o.reported = reported
		default:
			o.socket.tellHandled()
		}
		if o.socket.settled() {
			continue
		}
		kept = append(kept, o)
	}
	clear(due[len(kept):])
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
			due = append(due, f.socket)
		}
	}
	clear(k.gone[len(kept):])
	k.gone = kept
	left := len(kept) > 0
	k.mu.Unlock()
	for _, s := range due {
		s.finish(Disconnect{Reason: transportClose}, inOrder)
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
		s.tellHandled()
	}
	if s.reported.Load() < s.handled.Load() && s.dirty.CompareAndSwap(false, true) {
		s.ns.server.keeper.owes(s)
	}
}

// tellHandled sends the handled mark as an operation of its own, if that is possible now; else the keeper tries again.
func (s *Socket) tellHandled() {
	r := wire.Record{Kind: wire.KindHandled, Flags: wire.FlagControl}
	s.address(&r)
	if s.ns.server.out.trySend(&r) == nil {
		raise(&s.reported, r.Handled)
	}
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
