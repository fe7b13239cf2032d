package link

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Link is the outgoing stream of records to one instance. Safe for concurrent use.
type Link struct {
	endpoint *Endpoint
	peer     *peer

	mu      sync.Mutex
	s       sender          // guarded by mu
	writing bool            // guarded by mu: a goroutine is in Flush and will send what is appended
	broken  error           // guarded by mu
	ended   atomic.Bool     // broken is set
	told    bool            // guarded by mu: the break was logged
	waiters []chan struct{} // guarded by mu: who waits in AppendWait, in turn
	settled []chan struct{} // guarded by mu: closed when nothing is outstanding, or the link broke
	onMark  func(uint64)    // guarded by mu
	onBreak func(error)     // guarded by mu: nil once called
}

// To returns the address of the receiver.
func (l *Link) To() mesh.Address { return l.peer.address }

// Append encodes r behind what was appended before and returns its sequence number, counted from 1. It copies r, never
// blocks and sends nothing: Flush does. It returns ErrFull when the window has no room: records with FlagControl pass
// always, and one larger than the window passes when nothing counted is outstanding. An error that is ErrBroken is final.
func (l *Link) Append(r *wire.Record) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiters) > 0 && r.Flags&wire.FlagControl == 0 && l.broken == nil {
		l.endpoint.cfg.Metrics.Full.Add(1)
		return 0, ErrFull
	}
	return l.append(r)
}

// append is Append with the lock held.
func (l *Link) append(r *wire.Record) (uint64, error) {
	if l.broken != nil {
		return 0, l.broken
	}
	before := l.s.appended
	err := l.s.appendSplit(r, l.endpoint.fragment, l.endpoint.cfg.MaxRecord)
	switch {
	case err == nil:
		l.endpoint.cfg.Metrics.RecordsSent.Add(l.s.appended - before)
		return l.s.appended, nil
	case errors.Is(err, ErrOverflow):
		l.fail(ErrOverflow)
		return 0, l.broken
	case errors.Is(err, ErrFull):
		l.endpoint.cfg.Metrics.Full.Add(1)
	}
	return 0, err
}

// Flush writes what was appended. If another goroutine is writing, that one goes on and Flush returns at once.
func (l *Link) Flush() {
	l.mu.Lock()
	if l.writing {
		l.mu.Unlock()
		return
	}
	l.writing = true
	sent := l.write()
	l.writing = false
	l.mu.Unlock()
	if sent {
		l.endpoint.arm()
	}
}

// write sends frames until there are no more or the bus takes none. It is called with the lock held, which it gives up during
// each write.
func (l *Link) write() (sent bool) {
	metrics := l.endpoint.cfg.Metrics
	for l.broken == nil {
		f, again, ok := l.s.next()
		if !ok {
			return sent
		}
		sent = true
		seg, first := f.seg, f.first
		buf := seg.buf[f.start:f.end:f.end]
		header := f.header(&l.s)
		header.Sender = l.endpoint.self.Instance
		header.Mark = l.peer.marks.ride()
		header.PutHeader(buf)
		l.mu.Unlock()
		metrics.FramesSent.Add(1)
		if again {
			metrics.Resends.Add(1)
		}
		err := l.endpoint.bus.Send(l.peer.subject, l.peer.notice, buf)
		l.mu.Lock()
		l.s.release(seg)
		if err != nil { // the bus will say when it is connected again, else silence will
			l.s.unsend(first)
			l.peer.marks.repeat()
			return sent
		}
	}
	return sent
}

// Marked returns the highest sequence number up to which the receiver has taken everything.
func (l *Link) Marked() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s.marked
}

// OnMark sets what is called on the reader goroutine when Marked has advanced, before those who wait for room are woken. Set
// it right after opening.
func (l *Link) OnMark(f func(seq uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onMark = f
}

// OnBreak sets what is called once, on the reader goroutine, when the link breaks; soon if it has broken already. It is not
// called on a link that is never broken, but every link is when its endpoint stops.
func (l *Link) OnBreak(f func(err error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onBreak = f
	if l.broken != nil {
		l.endpoint.soon(l.tell)
	}
}

// Broken returns why the link broke, nil while it is whole.
func (l *Link) Broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// fail breaks the link: its records are given up, who waits is woken, and the callbacks follow on the reader goroutine. It is
// called with the lock held.
func (l *Link) fail(reason error) {
	if l.broken != nil {
		return
	}
	l.broken = fmt.Errorf("%w: %w", ErrBroken, reason)
	l.ended.Store(true)
	l.s.end()
	for _, w := range l.waiters {
		wake(w)
	}
	l.settle()
	l.endpoint.cfg.Metrics.broke(reason)
	l.endpoint.soon(l.tell)
}

// tell runs the callbacks that a break causes, on the reader goroutine.
func (l *Link) tell() {
	l.mu.Lock()
	err, told, onBreak := l.broken, l.told, l.onBreak
	l.told, l.onBreak = true, nil
	l.mu.Unlock()
	if !told {
		l.endpoint.logBreak(l.peer, err)
	}
	if onBreak != nil {
		onBreak(err)
	}
}

// mark applies a mark of the peer, on the reader goroutine.
func (l *Link) mark(m wire.Mark) {
	l.mu.Lock()
	if l.broken != nil || m.Link != l.s.number {
		l.mu.Unlock()
		return
	}
	news, err := l.s.mark(m)
	if l.s.marked == l.s.appended {
		l.settle()
	}
	onMark := l.onMark
	l.mu.Unlock()
	if err != nil {
		l.end(fmt.Errorf("%w: %w", ErrRefused, err))
		return
	}
	if news && onMark != nil {
		onMark(m.Seq)
	}
	if news {
		l.mu.Lock()
		l.wakeFirst()
		l.mu.Unlock()
	}
	if m.Gap {
		l.Flush()
	}
}
