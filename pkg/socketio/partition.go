package socketio

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// partition is the stream of operations to one partition of rooms. Operation numbers grow by one for each accepted
// operation, also across owners, so that a repeat can be told from a new one.
type partition struct {
	mu    sync.Mutex
	owner mesh.Address // guarded by mu, like all below; zero while nobody is known
	epoch uint32
	link  *link.Link // to the owner; nil until opened

	last      uint64 // number of the newest operation
	confirmed uint64 // operations up to here are done, or given up
	begun     uint64 // operations up to here went to an earlier link
	sizes     sizes  // of the operations above confirmed
	bytes     int    // sum of sizes
	queue     []*waiter
	flushes   []*flush
	verdicts  []wire.Record // unconfirmed ones, in order; see isVerdict
	unsent    int           // of the newest verdicts: those to be sent again, before anything else
	watches   []watch       // see watches.go
	owed      int           // of watches: those to be sent, before anything else
	missed    bool          // what watches tell may have been missed since somebody was told so

	losses atomic.Uint64 // how often operations were lost; grows under mu, before anybody is told
	misses atomic.Uint64 // how often clients may have missed something by that, likewise
}

// waiter is a sender in a partition's queue.
type waiter struct{ wake chan struct{} } // one token

func newWaiter() *waiter { return &waiter{wake: make(chan struct{}, 1)} }

func (w *waiter) token() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// flush waits for the confirmation of an operation.
type flush struct {
	op   uint64
	done chan error // one, buffered
}

// errNotFirst says that a waiter is not the first of its queue.
var errNotFirst = errors.New("others wait before")

// overhead is what an operation counts beyond its body: its header and what is kept for it.
const overhead = 64

// first tries unless others wait before. Handled marks pass them.
func (p *partition) first(o *outbox, r *wire.Record) (*link.Link, error) {
	select {
	case <-o.closed:
		return nil, ErrClosed
	default:
	}
	if len(p.queue) > 0 && r.Kind != wire.KindHandled {
		return nil, ErrWindowFull
	}
	return p.append(o, r)
}

// turn tries if w is the first of the queue.
func (p *partition) turn(o *outbox, w *waiter, r *wire.Record) (*link.Link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue[0] != w {
		if p.owner.Instance.IsZero() {
			return nil, ErrNoRooms
		}
		return nil, errNotFirst
	}
	return p.append(o, r)
}

// append appends r to the owner's link. If that is full, it is returned with the error: it is to be flushed all the same, since
// what is sent again goes before. The caller holds mu.
func (p *partition) append(o *outbox, r *wire.Record) (*link.Link, error) {
	switch {
	case r.Kind == wire.KindDetached && r.Seq != p.misses.Load():
		return nil, ErrLost // as keep does to those that were sent
	case p.owner.Instance.IsZero():
		return nil, ErrNoRooms
	case p.link == nil:
		return nil, errNoLink
	case p.bytes > 0 && p.bytes+len(r.Body)+overhead > o.window && r.Kind != wire.KindHandled:
		return nil, ErrWindowFull
	}
	err := p.repeat(r.Partition)
	if err == nil {
		err = p.put(r)
	}
	switch {
	case err == nil:
		if isVerdict(r.Kind) {
			p.verdicts = append(p.verdicts, *r)
		}
		return p.link, nil
	case errors.Is(err, link.ErrFull):
		return p.link, ErrWindowFull // perhaps of what was to go before
	case errors.Is(err, link.ErrStopped):
		return nil, ErrClosed
	case errors.Is(err, link.ErrBroken) && p.sizes.len() > 0:
		return nil, ErrNoRooms // broken comes, fails what is unconfirmed and wakes
	case errors.Is(err, link.ErrBroken):
		p.unwatched() // broken comes, and tells if something was missed
		p.link, p.begun = nil, p.last
		p.postpone()
		return nil, errNoLink
	case errors.Is(err, link.ErrTooLarge):
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(r.Body))
	default:
		return nil, err
	}
}

// put gives r its number and appends it to the link. The caller holds mu.
func (p *partition) put(r *wire.Record) error {
	misses := r.Seq // of DETACHED
	r.Op, r.PartitionEpoch, r.Seq = p.last+1, p.epoch, 0
	if _, err := p.link.Append(r); err != nil {
		r.Seq = misses
		return err
	}
	size := len(r.Body) + overhead
	p.last++
	p.sizes.push(size, lossOf(r))
	p.bytes += size
	return nil
}

// leave takes w out of the queue and lets the next one try.
func (p *partition) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, other := range p.queue {
		if other == w {
			p.queue = append(p.queue[:i], p.queue[i+1:]...)
			break
		}
	}
	if len(p.queue) == 0 {
		p.queue = nil
	}
	p.wakeFirst()
}

// wakeFirst lets the first of the queue try. The caller holds mu.
func (p *partition) wakeFirst() {
	if len(p.queue) > 0 {
		p.queue[0].token()
	}
}

func (p *partition) ownerNow() mesh.Address {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owner
}

// adopt uses l from now on, if its receiver still is the owner, and reports whether something is to be sent again.
func (p *partition) adopt(owner mesh.Address, l *link.Link) (repeat bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.owner == owner && p.link == nil {
		p.link, p.begun = l, p.last
	}
	return p.owes()
}

// confirm notes that operations up to op are done.
func (p *partition) confirm(from mesh.InstanceID, op uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if from != p.owner.Instance || op <= p.confirmed || op > p.last {
		return
	}
	p.bytes -= p.sizes.pop(int(op - p.confirmed))
	p.confirmed = op
	p.decided(op)
	kept := p.flushes[:0]
	for _, f := range p.flushes {
		if f.op > op {
			kept = append(kept, f)
			continue
		}
		f.done <- nil
	}
	clear(p.flushes[len(kept):])
	p.flushes = kept
	p.wakeFirst()
}

// abandoned is what abandon gives up.
type abandoned struct {
	lost    int               // operations that count as lost
	flushes []*flush          // those that fail by that
	missed  bool              // clients may have missed something
	stay    []wire.SocketAddr // sockets that were handed over, and are not because of that
}

// abandon gives up the link and what is unconfirmed. Verdicts are kept, and what else is said again is not lost; but without an
// owner verdicts count as lost too, since nobody knows when, and if, they are sent again. Flushes that do not fail wait for the
// verdicts. The caller holds mu.
func (p *partition) abandon() (a abandoned) {
	if p.sizes.len() > 0 {
		p.losses.Add(1)
	}
	sent := len(p.verdicts) - p.unsent
	if a.missed = p.sizes.of[missedLoss] > sent; a.missed {
		p.misses.Add(1)
		sent -= p.keep(&a)
	}
	a.lost = p.sizes.len() - p.sizes.of[repeatedLoss] - p.unwatched()
	if !p.owner.Instance.IsZero() {
		a.lost -= sent
	}
	p.link, p.sizes, p.bytes, p.unsent = nil, sizes{}, 0, len(p.verdicts)
	p.confirmed, p.begun = p.last, p.last
	if a.lost > 0 {
		a.flushes, p.flushes = p.flushes, nil
	}
	if p.unsent == 0 { // only watches are to be sent again: nobody waits for those
		for _, f := range p.flushes {
			f.done <- nil
		}
		p.flushes = nil
	}
	p.postpone()
	return a
}

// postpone has the flushes wait for what is to be sent again too. The caller holds mu.
func (p *partition) postpone() {
	for _, f := range p.flushes {
		f.op = p.newest()
	}
}

// newest returns the number of the newest operation, or that it will have once it is sent again. The caller holds mu.
func (p *partition) newest() uint64 { return p.last + uint64(p.unsent+p.owed) } //nolint:gosec // never negative

// flush returns what waits for the newest operation, nil if nothing is unconfirmed.
func (p *partition) flush() *flush {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sizes.len() == 0 && (p.unsent == 0 || p.owner.Instance.IsZero()) {
		return nil
	}
	f := &flush{op: p.newest(), done: make(chan error, 1)}
	p.flushes = append(p.flushes, f)
	return f
}

// done returns up to which operation everything is confirmed, or given up.
func (p *partition) done() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.confirmed
}

// sent returns the owner and the newest operation that went to it, 0 if none did.
func (p *partition) sent() (owner mesh.Address, op uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last > p.begun {
		op = p.last
	}
	return p.owner, op
}
