package link

import (
	"errors"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// A frame is closed when the next record would make it larger than this.
const (
	maxFrameBytes   = 60 << 10
	maxFrameRecords = 256
)

// controlFactor is how many windows of control records may wait, since the window does not count them.
const controlFactor = 4

// errImpossible says that a peer marked what it was never sent.
var errImpossible = errors.New("mark of records that were not sent")

// errForgotten says that a peer wants a link from its first record, which is no longer there.
var errForgotten = errors.New("peer has forgotten the link")

// sender is the outgoing half of a link: records go in, frames come out, marks release them. It has no IO, clock or lock.
type sender struct {
	number   uint32
	window   load // limits of what is counted
	frame    int  // largest frame in bytes, unless it is one record
	segments *segments

	frames  []frame // not marked yet; the live ones begin at head
	head    int
	cursor  int // frames[head+cursor] is the next to send
	filling *segment
	probe   bool // send the last sent frame once more

	appended uint64 // sequence of the last record, counted from 1
	sent     uint64 // of the last record that was ever handed out
	marked   uint64 // of the last record that the receiver has taken

	counted load // outstanding, without control records
	control load // outstanding control records

	quiet silence
}

// load is an amount of records.
type load struct{ bytes, records int }

func (l *load) add(o load) { l.bytes += o.bytes; l.records += o.records }
func (l *load) sub(o load) { l.bytes -= o.bytes; l.records -= o.records }

// exceeds reports whether l and more together are above limit.
func (l load) exceeds(more, limit load) bool {
	return l.bytes+more.bytes > limit.bytes || l.records+more.records > limit.records
}

// frame is an encoded frame at seg.buf[start:end]. Once it is closed no record is added.
type frame struct {
	seg        *segment
	start, end int
	first      uint64
	count      int
	counted    load
	control    load
	closed     bool
}

func (f *frame) last() uint64 { return f.first + uint64(f.count) - 1 }

// header returns what the frame says of itself; the mark is added when it is sent.
func (f *frame) header(s *sender) wire.Frame {
	return wire.Frame{Kind: wire.FrameData, Link: s.number, First: f.first, Count: f.count}
}

// admit reports whether load more may be appended now: nil, ErrFull or ErrOverflow. One record larger than the window is
// admitted when nothing that is counted is outstanding.
func (s *sender) admit(more load, control bool) error {
	if control {
		if s.control.exceeds(more, load{s.window.bytes * controlFactor, s.window.records * controlFactor}) && s.control.records > 0 {
			return ErrOverflow
		}
		return nil
	}
	if s.counted.records > 0 && s.counted.exceeds(more, s.window) {
		return ErrFull
	}
	return nil
}

// append encodes r behind everything else, if it is admitted.
func (s *sender) append(r *wire.Record) error {
	control := r.Flags&wire.FlagControl != 0
	if err := s.admit(load{len(r.Body), 1}, control); err != nil {
		return err // before encoding: a sender that hits the wall must not pay for it
	}
	size := r.MaxSize()
	if s.admit(load{size, 1}, control) != nil { // close to the wall: be exact
		if err := s.admit(load{r.Size(), 1}, control); err != nil {
			return err
		}
	}
	s.put(r, control)
	return nil
}

// put encodes r behind everything else.
func (s *sender) put(r *wire.Record, control bool) {
	f := s.open(r.MaxSize())
	f.seg.buf = r.Append(f.seg.buf)
	more := load{len(f.seg.buf) - f.end, 1}
	f.end = len(f.seg.buf)
	f.count++
	s.appended++
	if control {
		f.control.add(more)
		s.control.add(more)
	} else {
		f.counted.add(more)
		s.counted.add(more)
	}
}

// open returns the last frame if a record of at most size bytes may be added to it, or a new one.
func (s *sender) open(size int) *frame {
	if n := len(s.frames); n > s.head {
		f := &s.frames[n-1]
		fits := f.end-f.start+size <= s.frame && f.count < maxFrameRecords && f.end+size <= cap(f.seg.buf)
		if !f.closed && fits {
			return f
		}
		f.closed = true
	}
	size += wire.HeaderLen
	if s.filling == nil || len(s.filling.buf)+size > cap(s.filling.buf) {
		s.fill(s.segments.take(size))
	}
	seg := s.filling
	start := len(seg.buf)
	seg.buf = seg.buf[:start+wire.HeaderLen]
	seg.refs++
	s.frames = append(s.frames, frame{seg: seg, start: start, end: start + wire.HeaderLen, first: s.appended + 1})
	return &s.frames[len(s.frames)-1]
}

func (s *sender) fill(seg *segment) {
	old := s.filling
	s.filling = seg
	if old != nil && old.refs == 0 {
		s.segments.put(old)
	}
}

// next returns the next frame to send; the caller holds a reference to its segment and calls release after the write.
func (s *sender) next() (f *frame, again, ok bool) {
	live := s.frames[s.head:]
	switch {
	case s.cursor < len(live):
		f = &live[s.cursor]
		s.cursor++
	case s.probe && len(live) > 0:
		f = &live[len(live)-1]
	default:
		s.probe = false
		return nil, false, false
	}
	s.probe = false // any frame at the end of the stream is a probe
	again = f.last() <= s.sent
	s.sent = max(s.sent, f.last())
	f.closed = true
	f.seg.refs++
	return f, again, true
}

// unsend takes back what next returned, because the write failed: first is the frame's first record.
func (s *sender) unsend(first uint64) {
	for s.cursor > 0 && s.frames[s.head+s.cursor-1].first >= first {
		s.cursor--
	}
}

// rewind makes everything that is not marked the next to be sent.
func (s *sender) rewind() { s.cursor = 0 }

// mark applies what the receiver says it has taken, and reports whether that was news.
func (s *sender) mark(m wire.Mark) (bool, error) {
	if m.Seq > s.sent {
		return false, errImpossible
	}
	if m.Seq < s.marked {
		if m.Gap && m.Seq == 0 {
			return false, errForgotten
		}
		return false, nil // overtaken
	}
	news := m.Seq > s.marked
	s.marked = m.Seq
	for s.head < len(s.frames) && s.frames[s.head].last() <= m.Seq {
		s.pop()
	}
	if m.Gap {
		s.rewind()
	}
	return news, nil
}

func (s *sender) pop() {
	f := &s.frames[s.head]
	s.counted.sub(f.counted)
	s.control.sub(f.control)
	seg := f.seg
	*f = frame{}
	s.head++
	s.cursor = max(s.cursor-1, 0)
	s.release(seg)
	switch {
	case s.head == len(s.frames):
		s.frames, s.head = s.frames[:0], 0
	case s.head >= 64 && s.head*2 >= len(s.frames):
		n := copy(s.frames, s.frames[s.head:])
		clear(s.frames[n:])
		s.frames, s.head = s.frames[:n], 0
	}
}

// release gives up one reference to a segment.
func (s *sender) release(seg *segment) {
	seg.refs--
	switch {
	case seg.refs > 0:
	case seg != s.filling:
		s.segments.put(seg)
	case seg.pooled:
		seg.buf = seg.buf[:0] // nothing in it is needed: fill it from the start
	default:
		s.filling = nil
	}
}

// outstanding reports whether anything was sent, or tried to be, that is not marked.
func (s *sender) outstanding() bool { return s.head < len(s.frames) && s.frames[s.head].closed }

// idle gives back the memory of a link without records. Writes in progress keep theirs.
func (s *sender) idle() {
	if len(s.frames) > 0 {
		return
	}
	if cap(s.frames) > 16 {
		s.frames = nil
	}
	if s.filling != nil && s.filling.refs == 0 {
		s.segments.put(s.filling)
		s.filling = nil
	}
}

// end gives back everything: the link has broken.
func (s *sender) end() {
	for s.head < len(s.frames) {
		s.pop()
	}
	s.fill(nil)
	s.frames = nil
}
