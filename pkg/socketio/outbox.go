package socketio

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// outbox sends operations to the rooms instances that own their partitions, numbers them, and bounds by partition what is
// not confirmed yet. Safe for concurrent use. Lock order: a partition's mu is never held while another lock of the outbox
// is taken.
type outbox struct {
	links   func(mesh.Address) *link.Link // Endpoint.Link
	window  int                           // bytes per partition
	timeout time.Duration                 // of a wait for room or an owner
	report  func(error)                   // must not block
	lost    func(partition uint8)         // told that operations of a partition were lost; must not block
	missed  func(stay []wire.SocketAddr)  // told that clients may have missed something, those too that are not handed over now; must not block
	flusher *flusher                      // writes what was appended
	closed  chan struct{}                 // closed by close
	waiting atomic.Int32                  // senders in all queues, so that a mark costs nothing while there are none
	owing   atomic.Bool                   // there may be verdicts to send again, likewise

	parts [mesh.Partitions]partition

	mu     sync.Mutex
	known  map[mesh.InstanceID]*link.Link // guarded by mu; the links that have our callbacks
	failed error                          // guarded by mu; the first failure no Flush has returned yet
}

// errNoLink says inside the outbox that the link to the owner must be opened first.
var errNoLink = errors.New("no link")

func newOutbox(
	links func(mesh.Address) *link.Link, cfg Config, report func(error), lost func(uint8), missed func([]wire.SocketAddr),
) *outbox {
	return &outbox{
		links:   links,
		window:  cfg.OperationWindow,
		timeout: cfg.EmitTimeout,
		report:  report,
		lost:    lost,
		missed:  missed,
		flusher: newFlusher(),
		closed:  make(chan struct{}),
		known:   map[mesh.InstanceID]*link.Link{},
	}
}

// send appends r, whose Partition is set, to the link of the partition's owner, and has it written. It waits for an owner and for room in the
// windows until ctx ends or the timeout has passed; those who wait are served in turn.
func (o *outbox) send(ctx context.Context, r *wire.Record) error {
	p := &o.parts[r.Partition]
	p.mu.Lock()
	l, err := p.first(o, r)
	p.mu.Unlock()
	o.flusher.soon(l)
	switch {
	case err == nil:
		return nil
	case !retriable(err):
		return err
	}
	w := newWaiter()
	p.mu.Lock()
	p.queue = append(p.queue, w)
	p.mu.Unlock()
	o.waiting.Add(1)
	defer o.waiting.Add(-1)
	err = o.wait(ctx, p, w, r)
	p.leave(w)
	return err
}

// trySend is send that never waits: for what may be dropped, or tried again later.
func (o *outbox) trySend(r *wire.Record) error {
	p := &o.parts[r.Partition]
	for range 2 {
		p.mu.Lock()
		l, err := p.first(o, r)
		p.mu.Unlock()
		o.flusher.soon(l)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errNoLink) {
			return err
		}
		if err := o.open(p); err != nil {
			return err
		}
	}
	return ErrNoRooms
}

func retriable(err error) bool {
	return errors.Is(err, ErrNoRooms) || errors.Is(err, ErrWindowFull) || errors.Is(err, errNoLink)
}

// wait tries whenever w is woken as the first of its queue.
func (o *outbox) wait(ctx context.Context, p *partition, w *waiter, r *wire.Record) error {
	timer := time.NewTimer(o.timeout)
	defer timer.Stop()
	var reason error
	for {
		l, err := p.turn(o, w, r)
		o.flusher.soon(l)
		switch {
		case errors.Is(err, errNoLink):
			if err := o.open(p); err != nil {
				return err
			}
			continue
		case err == nil || !retriable(err) && !errors.Is(err, errNotFirst):
			return err
		case !errors.Is(err, errNotFirst):
			reason = err
		default:
			reason = ErrWindowFull
		}
		select {
		case <-w.wake:
		case <-timer.C:
			return reason
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", reason, context.Cause(ctx))
		case <-o.closed:
			return ErrClosed
		}
	}
}

// open gives p the link to its owner, if it has an owner.
func (o *outbox) open(p *partition) error {
	owner := p.ownerNow()
	if owner.Instance.IsZero() {
		return nil
	}
	l := o.links(owner)
	if l == nil || errors.Is(l.Broken(), link.ErrStopped) {
		return ErrClosed
	}
	o.mu.Lock()
	fresh := o.known[owner.Instance] != l
	o.known[owner.Instance] = l
	o.mu.Unlock()
	if fresh {
		l.OnMark(func(uint64) { o.wakeAll() })
		l.OnBreak(func(err error) { o.broken(l, err) })
	}
	if p.adopt(owner, l) {
		o.repeat()
	}
	return nil
}

// broken fails what was not confirmed on a link that has ended. It runs on the reader goroutine.
func (o *outbox) broken(l *link.Link, err error) {
	o.mu.Lock()
	if id := l.To().Instance; o.known[id] == l {
		delete(o.known, id)
	}
	o.mu.Unlock()
	o.loseAll(err, func(p *partition) bool { return p.link == l })
}

// loseAll gives up the links of the partitions for which when says so.
func (o *outbox) loseAll(cause error, when func(p *partition) bool) {
	missed, stay := false, []wire.SocketAddr(nil)
	for i := range o.parts {
		a := o.lose(i, cause, when)
		missed, stay = missed || a.missed, append(stay, a.stay...)
	}
	if missed {
		o.missed(stay)
	}
}

// lose gives up the link of a partition if when says so, which is asked with the partition locked and may change its owner.
// What was not confirmed fails, or is sent again. The caller sees to what clients may have missed.
func (o *outbox) lose(number int, cause error, when func(p *partition) bool) (a abandoned) {
	p := &o.parts[number]
	p.mu.Lock()
	before := p.losses.Load()
	if when(p) {
		a = p.abandon()
	}
	lost, repeat := p.losses.Load() != before, p.owes() && p.link == nil
	roomEvents := p.missed
	p.missed = false
	p.wakeFirst()
	p.mu.Unlock()
	if lost {
		o.lost(uint8(number)) //nolint:gosec // an index of parts
	}
	if roomEvents {
		o.report(fmt.Errorf("%w: %w", ErrRoomEvents, cause))
	}
	if repeat {
		_ = o.open(p) // if there is no owner, the next one's heartbeat comes here again
	}
	if a.lost > 0 {
		err := fmt.Errorf("%w: %d not confirmed: %w", ErrLost, a.lost, cause)
		o.fail(err, len(a.flushes) == 0)
		for _, f := range a.flushes {
			f.done <- err
		}
	}
	return a
}

// fail reports err, and keeps it for the next Flush if none is waiting for it.
func (o *outbox) fail(err error, keep bool) {
	if keep {
		o.keep(err)
	}
	o.report(err)
}

// keep has the next Flush return err, if it is the first.
func (o *outbox) keep(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
	}
}

// forgetFailure drops the failure that the next Flush would return: OnError has heard of it, and it says nothing about what
// is done from now on.
func (o *outbox) forgetFailure() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failed = nil
}

// wakeAll wakes the first of every queue, because there may be room in a link. It runs on the reader goroutine.
func (o *outbox) wakeAll() {
	if o.owing.Load() {
		o.repeat()
	}
	if o.waiting.Load() == 0 {
		return
	}
	for i := range o.parts {
		p := &o.parts[i]
		p.mu.Lock()
		p.wakeFirst()
		p.mu.Unlock()
	}
}

// own notes that a rooms instance owns a partition. An owner keeps it until it is dead or another one has a higher epoch.
func (o *outbox) own(number uint32, owner mesh.Address, epoch uint32) {
	if number >= mesh.Partitions {
		return
	}
	a := o.lose(int(number), errors.New("another rooms service took over"), func(p *partition) bool {
		change := p.owner.Instance.IsZero() || p.owner.Instance != owner.Instance && epoch > p.epoch
		if change {
			p.owner, p.epoch = owner, epoch
		}
		return change
	})
	if a.missed {
		o.missed(a.stay)
	}
	p := &o.parts[number]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner.Instance == owner.Instance {
		p.epoch = epoch
	}
	for _, w := range p.queue { // all: some wait for an owner only
		w.token()
	}
}

// disown notes that a rooms instance is dead.
func (o *outbox) disown(id mesh.InstanceID) {
	o.loseAll(errors.New("the rooms service is dead"), func(p *partition) bool {
		was := p.owner.Instance == id
		if was {
			p.owner, p.epoch = mesh.Address{}, 0
		}
		return was
	})
}

// flush waits until every operation sent before is confirmed, and returns the first failure since the last flush.
func (o *outbox) flush(ctx context.Context) error {
	var waits []*flush
	for i := range o.parts {
		if f := o.parts[i].flush(); f != nil {
			waits = append(waits, f)
		}
	}
	var first error
	for _, f := range waits {
		select {
		case err := <-f.done:
			if first == nil {
				first = err
			}
		case <-ctx.Done():
			return fmt.Errorf("flush: %w", context.Cause(ctx))
		case <-o.closed:
			return ErrClosed
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if first == nil {
		first = o.failed
	}
	o.failed = nil
	return first
}

// close ends every wait with ErrClosed. It is called once.
func (o *outbox) close() { close(o.closed) }
