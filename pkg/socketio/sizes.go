package socketio

import "github.com/siomesh/siomesh/internal/mesh/wire"

// loss is what it means that an operation is lost.
type loss uint8

const (
	missedLoss   loss = iota // a client may miss something
	noticedLoss              // only the application does, which is told
	repeatedLoss             // nothing: it is said again
	kindsOfLoss
)

func lossOf(r *wire.Record) loss {
	switch {
	case r.Kind == wire.KindHandled:
		return repeatedLoss
	case r.Kind == wire.KindServerEmit, r.Kind == wire.KindServerReply, r.Kind == wire.KindWatchRooms,
		r.Flags&wire.FlagVolatile != 0 && r.Ack == 0: // who waits for an answer waits for the end of the socket too
		return noticedLoss
	default:
		return missedLoss
	}
}

// sizes is a queue of byte counts, and of what the loss of each would mean.
type sizes struct {
	list []uint32 // a size and, in the lowest bits, a loss
	head int
	of   [kindsOfLoss]int // how many have which
}

const lossBits = 2

func (q *sizes) len() int { return len(q.list) - q.head }

func (q *sizes) push(size int, l loss) {
	q.of[l]++
	q.list = append(q.list, uint32(size)<<lossBits|uint32(l)) //nolint:gosec // a record is far below 1 GiB
}

// pop removes the first n and returns the sum of their sizes.
func (q *sizes) pop(n int) (sum int) {
	const kept = 1024 // capacity that an empty queue keeps
	for _, entry := range q.list[q.head : q.head+n] {
		q.of[entry&(1<<lossBits-1)]--
		sum += int(entry >> lossBits)
	}
	q.head += n
	switch {
	case q.len() == 0 && cap(q.list) > kept:
		*q = sizes{}
	case q.head > len(q.list)/2:
		rest := copy(q.list, q.list[q.head:])
		q.list, q.head = q.list[:rest], 0
	}
	return sum
}
