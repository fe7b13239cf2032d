package link

import (
	"errors"
	"fmt"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// A record that is too large for one message is encoded, and the bytes are cut into the bodies of records of the same kind
// and flags, which carry nothing else but their place. They are ordinary records of the link, each with its own sequence.

// maxFragment is the largest body of a fragment; smaller when the bus takes less.
const maxFragment = 512 << 10

// fragmentSlack is what a message needs beside the body of a fragment: frame header, record header.
const fragmentSlack = 256

// fragmentSize returns the largest body of a fragment on a bus with that limit.
func fragmentSize(maxPayload int) int { return max(1, min(maxPayload-fragmentSlack, maxFragment)) }

// appendSplit is append for records that may not fit a message. All of a record is admitted, or nothing.
func (s *sender) appendSplit(r *wire.Record, size, maxRecord int) error {
	if r.MaxSize() <= size {
		return s.append(r)
	}
	control := r.Flags&wire.FlagControl != 0
	if err := s.admit(load{len(r.Body), 1}, control); err != nil {
		return err
	}
	whole := r.Append(make([]byte, 0, r.MaxSize()))
	if len(whole) > maxRecord {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(whole), maxRecord)
	}
	if len(whole) <= size {
		return s.append(r)
	}
	count := (len(whole) + size - 1) / size
	if err := s.admit(load{len(whole) + count*fragmentSlack, count}, control); err != nil {
		return err
	}
	part := wire.Record{Kind: r.Kind, Flags: r.Flags, Fragment: wire.Fragment{Count: uint32(count)}}
	for index := range count {
		part.Fragment.Index = uint32(index)
		part.Body, whole = whole[:min(size, len(whole))], whole[min(size, len(whole)):]
		s.put(&part, control)
	}
	return nil
}

// assembly puts fragments together again.
type assembly struct {
	limit int
	kind  wire.Kind
	flags wire.Flags
	next  wire.Fragment // the one expected; Count 0: none has begun
	bytes []byte
}

var errFragment = errors.New("fragment out of place")

// add takes a record off the link. It returns true when r is complete: as it came, or put together, with views that are valid
// until the next call.
func (a *assembly) add(r *wire.Record) (bool, error) {
	place := r.Fragment
	if place.Count == 0 {
		if a.next.Count != 0 {
			return false, errFragment
		}
		return true, nil
	}
	if place.Index == 0 && a.next.Count == 0 {
		a.kind, a.flags, a.next = r.Kind, r.Flags, place
		total := uint64(place.Count) * uint64(len(r.Body))
		a.bytes = make([]byte, 0, min(total, uint64(a.limit)))
	}
	if place != a.next || r.Kind != a.kind || r.Flags != a.flags {
		return false, errFragment
	}
	if len(a.bytes)+len(r.Body) > a.limit {
		return false, fmt.Errorf("reassemble: %w", ErrTooLarge)
	}
	a.bytes = append(a.bytes, r.Body...)
	a.next.Index++
	if a.next.Index < a.next.Count {
		return false, nil
	}
	whole := a.bytes
	*a = assembly{limit: a.limit}
	rest, err := r.Parse(whole)
	if err != nil {
		return false, fmt.Errorf("reassemble: %w", err)
	}
	if len(rest) > 0 || r.Fragment.Count != 0 {
		return false, errFragment
	}
	return true, nil
}
