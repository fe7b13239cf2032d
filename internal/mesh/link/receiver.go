package link

import "github.com/siomesh/siomesh/internal/mesh/wire"

// receiver is the incoming half of the links of one peer, of which one is open at a time. It has no IO, clock or lock.
type receiver struct {
	number uint32 // of the link; 0 before the first
	next   uint64 // sequence expected
	ended  bool   // refused, or ended by the peer: nothing of this link is taken any more
	turned uint64 // first record of the last frame that was turned away; 0 if one was taken since
	parts  assembly
}

// arrival says what to do with a frame that came in.
type arrival int

const (
	take   arrival = iota // deliver its records, without the first skip
	open                  // the same, and it begins a new link
	repeat                // taken before: mark again, the mark may be lost
	gap                   // records before it are missing: ask for them
	refuse                // its link has ended here: say so
	ignore                // nothing
)

// arrive judges a data frame. skip is the number of its records that were delivered before.
func (r *receiver) arrive(f *wire.Frame) (what arrival, skip int) {
	switch {
	case f.Link < r.number:
		return ignore, 0 // late, from an earlier link
	case f.Link > r.number:
		*r = receiver{number: f.Link, next: 1, parts: assembly{limit: r.parts.limit}}
	case r.ended:
		return r.turnAway(f.First, refuse), 0
	}
	switch {
	case f.First > r.next:
		return r.turnAway(f.First, gap), 0
	case f.First+uint64(f.Count) <= r.next:
		return repeat, 0
	}
	r.turned = 0
	if r.next == 1 {
		return open, 0
	}
	return take, int(r.next - f.First)
}

// turnAway answers the first frame that is turned away, and then the first of each time the sender goes back: the others are
// on their way from before it heard.
func (r *receiver) turnAway(first uint64, answer arrival) arrival {
	before := r.turned
	r.turned = first
	if before != 0 && first > before {
		return ignore
	}
	return answer
}

// took counts one record as delivered.
func (r *receiver) took() { r.next++ }

// mark returns what to tell the sender.
func (r *receiver) mark() wire.Mark { return wire.Mark{Link: r.number, Seq: max(r.next, 1) - 1} }

// end refuses the rest of the link.
func (r *receiver) end() {
	r.ended = true
	r.turned = 0
	r.parts = assembly{limit: r.parts.limit}
}
