package link

import "sync"

// Encoded frames lie one behind the other in segments until they are marked, so that a link with many small frames
// outstanding holds their bytes and little more, and an idle one holds nothing.

const segmentSize = 64 << 10

// segment is memory for frames. All fields are guarded by the lock of the link that uses it.
type segment struct {
	buf    []byte // len is what is used
	refs   int    // frames in it that are not marked, and writes in progress
	pooled bool
}

// segments is where links get segments from and return them to. The zero value is ready. Safe for concurrent use.
type segments struct{ free sync.Pool }

// take returns an empty segment with room for size bytes; larger ones than usual are not kept after use.
func (s *segments) take(size int) *segment {
	if size > segmentSize {
		return &segment{buf: make([]byte, 0, size)}
	}
	if seg, ok := s.free.Get().(*segment); ok {
		return seg
	}
	return &segment{buf: make([]byte, 0, segmentSize), pooled: true}
}

func (s *segments) put(seg *segment) {
	if seg.pooled {
		seg.buf = seg.buf[:0]
		s.free.Put(seg)
	}
}
