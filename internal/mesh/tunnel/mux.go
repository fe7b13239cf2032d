package tunnel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Accept is given each stream that a peer opens, with the bytes it begins with, which are valid during the call only. It is
// called on the links' reader goroutine and must not block.
type Accept func(from mesh.Address, head []byte, s *Stream)

// Mux is one instance's end of all its streams. Record, EndFrame and Opened are called by the handler of its links, on their
// reader goroutine; everything else is safe for concurrent use. It owns Link.OnBreak of the links it uses. Mux.mu and
// Stream.mu are never held together; either is taken before the locks of the links.
type Mux struct {
	links  *link.Endpoint
	accept Accept
	cfg    Config
	bodies sync.Pool // of *[]byte: bodies of records that are being written

	batch    link.Batch // owned by the reader goroutine
	answered key        // owned by the reader goroutine: stream unknown here, which its peer was told last

	mu      sync.Mutex
	streams map[key]*Stream         // guarded by mu
	counts  map[direction]int       // guarded by mu: of streams
	known   map[mesh.Address]*known // guarded by mu
	dead    []mesh.Address          // guarded by mu: known and dead, oldest first
	last    uint64                  // guarded by mu: number of the stream opened last
	closed  bool                    // guarded by mu
}

// direction is a peer and who opens.
type direction struct {
	peer     mesh.InstanceID
	accepted bool
}

// New returns a mux on links.
func New(links *link.Endpoint, accept Accept, cfg Config) *Mux {
	return &Mux{
		links: links, accept: accept, cfg: cfg.withDefaults(),
		streams: map[key]*Stream{}, counts: map[direction]int{}, known: map[mesh.Address]*known{},
	}
}

// Open begins a stream to an instance with the bytes of head; last says that nothing follows them. It waits for room in the
// link's window until ctx ends. It must not be called on the reader goroutine.
func (m *Mux) Open(ctx context.Context, to mesh.Address, head []byte, last bool) (*Stream, error) {
	m.mu.Lock()
	m.last++
	s, err := m.addLocked(key{peer: to.Instance, number: m.last}, to, last)
	m.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if _, err := s.link.AppendWait(ctx, openRecord(s.key, head, last)); err != nil {
		m.remove(s)
		s.end(ErrClosed)
		if errors.Is(err, link.ErrBroken) {
			err = fmt.Errorf("%w: %w", ErrPeerLost, err)
		}
		return nil, fmt.Errorf("open stream: %w", err)
	}
	if err := s.Err(); err != nil { // it ended before the peer knew of it
		s.sendControl(resetRecord(s.key, reasonLost))
		return nil, fmt.Errorf("open stream: %w", err)
	}
	s.link.Flush()
	m.cfg.Metrics.Opened.Add(1)
	return s, nil
}

// addLocked makes a stream; mu is held. sentEnd says that this end sends nothing more.
func (m *Mux) addLocked(k key, peer mesh.Address, sentEnd bool) (*Stream, error) {
	d := direction{k.peer, k.accepted}
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.counts[d] >= m.cfg.MaxStreams:
		m.cfg.Metrics.Refused.Add(1)
		return nil, ErrTooMany
	}
	s := newStream(m, k, peer, m.linkLocked(peer))
	s.sentEnd = sentEnd // nobody else has it yet
	m.known[peer].refusals = 0
	m.streams[k] = s
	m.counts[d]++
	m.cfg.Metrics.Open.Add(1)
	return s, nil
}

// remove forgets a stream of which no more records are to come.
func (m *Mux) remove(s *Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.removeLocked(s)
}

func (m *Mux) removeLocked(s *Stream) {
	if m.streams[s.key] != s {
		return
	}
	delete(m.streams, s.key)
	d := direction{s.key.peer, s.key.accepted}
	if m.counts[d]--; m.counts[d] == 0 {
		delete(m.counts, d)
	}
	m.cfg.Metrics.Open.Add(-1)
}

// Record takes a stream record that has arrived. An error means that no tunnel sends such a record. It never waits.
func (m *Mux) Record(from mesh.Address, r *wire.Record) error {
	k, rest, err := parseKey(from.Instance, r.Body)
	if err != nil {
		return err
	}
	if k.number == 0 {
		if r.Kind != wire.KindStreamReset {
			return errMalformed
		}
		m.lose(func(s *Stream) bool { return s.key.peer == from.Instance })
		return nil
	}
	m.mu.Lock()
	s := m.streams[k]
	m.mu.Unlock()
	last := r.Flags&wire.FlagClose != 0
	switch r.Kind {
	case wire.KindStreamOpen:
		if s != nil || !k.accepted {
			return errMalformed
		}
		m.opened(from, k, rest, last)
	case wire.KindStreamData:
		m.data(from, k, s, rest, last)
	case wire.KindStreamReset:
		if s != nil {
			m.cfg.Metrics.Resets.Add(1)
			m.remove(s)
			s.reset(string(rest), last)
		}
	case wire.KindStreamCredit:
		n, err := parseCredit(rest, m.cfg.Window)
		if err != nil {
			return err
		}
		if s != nil && !s.grant(n) {
			m.violated(from, s, reasonWindow)
		}
	default:
		return errMalformed
	}
	return nil
}

// opened accepts a stream.
func (m *Mux) opened(from mesh.Address, k key, head []byte, last bool) {
	m.mu.Lock()
	s, err := m.addLocked(k, from, false)
	m.mu.Unlock()
	switch {
	case errors.Is(err, ErrClosed):
		m.refuse(from, k, reasonShutDown)
		return
	case err != nil:
		m.refuse(from, k, reasonTooMany)
		return
	}
	m.cfg.Metrics.Accepted.Add(1)
	if last {
		s.receive(nil, true)
	}
	m.accept(s.peer, head, s)
}

// data hands bytes to their stream.
func (m *Mux) data(from mesh.Address, k key, s *Stream, b []byte, last bool) {
	if s == nil { // it ended here before the peer knew
		if len(b) > 0 && m.answered != k {
			m.answered = k
			m.refuse(from, k, reasonUnknown)
		}
		return
	}
	if reason := s.receive(b, last); reason != "" {
		m.violated(from, s, reason)
	}
}

// violated ends a stream whose peer does what no tunnel does.
func (m *Mux) violated(from mesh.Address, s *Stream, reason string) {
	m.cfg.Metrics.Refused.Add(1)
	m.remove(s)
	s.reset(reason, false)
	m.refuse(from, s.key, reason)
}

// refuse tells a peer that there is no such stream here.
func (m *Mux) refuse(to mesh.Address, k key, reason string) {
	m.mu.Lock()
	l := m.linkLocked(to)
	m.mu.Unlock()
	_ = m.batch.Append(l, resetRecord(k, reason)) // an error is a link that broke, and all streams with it
}

// EndFrame sends what Record caused to be sent.
func (m *Mux) EndFrame() { m.batch.Flush() }

// Close ends all streams with ErrClosed, at the peers with ErrReset, and Open fails from now on.
func (m *Mux) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.endAll(ErrClosed, reasonShutDown, func(*Stream) bool { return true })
}

// body returns an empty buffer to make a record's body in; free takes it back.
func (m *Mux) body() *[]byte {
	if b, ok := m.bodies.Get().(*[]byte); ok {
		return b
	}
	return new([]byte)
}

func (m *Mux) free(b *[]byte) {
	*b = (*b)[:0]
	m.bodies.Put(b)
}
