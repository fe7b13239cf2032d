package rooms

import (
	"errors"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
)

// errGap says that an operation's number does not follow its predecessor's: the link lost one, which it never does.
var errGap = errors.New("operation number out of order")

// origin is one app instance that sends operations.
type origin struct {
	addr  mesh.Address
	parts map[uint8]*progress
	dirty bool // in service.unconfirmed
}

// progress follows the operations of one origin in one partition: they are taken in order and confirmed in order, each when
// every edge it concerned has applied it.
type progress struct {
	origin    *origin
	partition uint8
	open      bool     // an operation was taken since the origin's link was opened
	taken     uint64   // highest operation taken
	done      uint64   // operations up to here are applied everywhere
	told      uint64   // last value of done that was confirmed to the origin
	waiting   []uint32 // for operation done+1+i: how many edges have not applied it
	parked    []parked // queries that wait for an operation
}

// parked is a query whose sender's last operation has not been taken yet.
type parked struct {
	operation uint64
	deadline  time.Time
	answer    func(ok bool)
}

// take accepts the next operation, which edges edges must apply. The first one after the origin's link opened sets the count;
// what the earlier link left unconfirmed was reported as failed by its sender and is forgotten. An operation taken before is
// a repeat.
func (p *progress) take(op uint64) (repeat bool, err error) {
	switch {
	case !p.open:
		p.open = true
		p.taken, p.done, p.told, p.waiting = op, op-1, op-1, p.waiting[:0]
	case op <= p.taken:
		return true, nil
	case op != p.taken+1:
		return false, errGap
	default:
		p.taken = op
	}
	p.waiting = append(p.waiting, 0)
	return false, nil
}

// concern notes that one more edge must apply the operation just taken.
func (p *progress) concern() { p.waiting[len(p.waiting)-1]++ }

// applied notes that an edge has applied op, or never will.
func (p *progress) applied(op uint64) {
	if op > p.done && op <= p.taken {
		p.waiting[op-p.done-1]--
	}
}

// advance moves done over the operations that no edge is waited for and reports whether there is something to confirm.
func (p *progress) advance() bool {
	n := 0
	for n < len(p.waiting) && p.waiting[n] == 0 {
		n++
	}
	if n > 0 {
		p.done += uint64(n)
		p.waiting = append(p.waiting[:0], p.waiting[n:]...)
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
		o.entries, o.head = o.entries[:0], 0
	case o.head > len(o.entries)/2 && o.head > 1024:
		n := copy(o.entries, o.entries[o.head:])
		clear(o.entries[n:])
		o.entries, o.head = o.entries[:n], 0
	}
}
