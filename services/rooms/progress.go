package rooms

import (
	"errors"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
)

// errNumber says that an operation's number does not follow its predecessor's: the link lost one, which it never does.
var errNumber = errors.New("operation number out of order")

// origin is one app instance that sends operations.
type origin struct {
	addr   mesh.Address
	link   *link.Link // for confirmations; nil until the first, and after a break
	retell bool       // a break may have lost confirmations
	parts  [mesh.Partitions]*progress
}

// progress follows the operations of one origin in one partition over one link: they are taken in order and confirmed in
// order, each when every edge it concerned has applied it.
type progress struct {
	origin    *origin
	partition uint8
	open      bool     // an operation was taken
	dirty     bool     // in Service.unconfirmed
	taken     uint64   // highest operation taken, on this link or before
	done      uint64   // operations up to here are applied everywhere
	told      uint64   // last value of done that was confirmed to the origin
	waiting   []uint32 // from head on, for operation done+1+i: how many edges have not applied it
	head      int
	parked    []parked // queries that wait for an operation
}

// parked is a query whose sender's last operation has not been taken yet.
type parked struct {
	operation uint64
	deadline  time.Time
	answer    func(ok bool)
}

// reopened returns the progress that takes the place of p because the origin's link was opened anew. What the earlier link
// left unconfirmed was reported as failed by its sender: edges may still apply it, and only p hears of that.
func (p *progress) reopened() *progress {
	fresh := &progress{origin: p.origin, partition: p.partition, taken: p.taken, parked: p.parked}
	p.parked = nil
	return fresh
}

// take accepts the next operation. The first one sets the count; one that was taken before is a repeat.
func (p *progress) take(op uint64) (repeat bool, err error) {
	switch {
	case op == 0:
		return false, errNumber
	case !p.open:
		p.open = true
		p.taken, p.done, p.told = op, op-1, op-1
	case op <= p.taken:
		return true, nil
	case op != p.taken+1:
		return false, errNumber
	default:
		p.taken = op
	}
	p.waiting = append(p.waiting, 0)
	return false, nil
}

// concern notes that one more edge must apply the operation just taken.
func (p *progress) concern() { p.waiting[len(p.waiting)-1]++ }

// applied notes that an edge has applied op, or never will.
func (p *progress) applied(op uint64) { p.waiting[p.head+int(op-p.done)-1]-- } //nolint:gosec // op is waited for

// advance moves done over the operations that no edge is waited for and reports whether there is something to confirm.
func (p *progress) advance() bool {
	for p.head < len(p.waiting) && p.waiting[p.head] == 0 {
		p.head++
		p.done++
	}
	switch {
	case p.head == len(p.waiting):
		p.waiting, p.head = shrunk(p.waiting), 0
	case p.head > len(p.waiting)/2:
		p.waiting, p.head = p.waiting[:copy(p.waiting, p.waiting[p.head:])], 0
	}
	return p.done > p.told
}

// outbox is what was sent to one edge and is not applied there yet, in the order of the link.
type outbox struct {
	entries []outEntry
	head    int
}

type outEntry struct {
	seq uint64 // on the link to the edge
	op  uint64
	of  *progress
}

func (o *outbox) push(seq, op uint64, of *progress) {
	o.entries = append(o.entries, outEntry{seq: seq, op: op, of: of})
}

// pop calls f for every entry up to seq of the link and forgets it.
func (o *outbox) pop(seq uint64, f func(of *progress, op uint64)) {
	for o.head < len(o.entries) && o.entries[o.head].seq <= seq {
		e := o.entries[o.head]
		o.entries[o.head] = outEntry{}
		o.head++
		f(e.of, e.op)
	}
	switch {
	case o.head == len(o.entries):
		o.entries, o.head = shrunk(o.entries), 0
	case o.head > len(o.entries)/2:
		n := copy(o.entries, o.entries[o.head:])
		clear(o.entries[n:])
		o.entries, o.head = o.entries[:n], 0
	}
}

// shrunk empties a queue, and gives its memory back if a peak has made it large.
func shrunk[T any](queue []T) []T {
	const kept = 4096
	if cap(queue) > kept {
		return nil
	}
	return queue[:0]
}
