package tunnel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Errors of streams.
var (
	// ErrPeerLost says that the other instance is dead, or that a link with it broke.
	ErrPeerLost = errors.New("tunnel: peer lost")
	// ErrReset says that the other end has no use for the stream any more; the reason is added.
	ErrReset = errors.New("tunnel: stream reset")
	// ErrClosed says that the stream, or the mux, was closed at this end.
	ErrClosed = errors.New("tunnel: closed")
	// ErrTooMany says that there are Config.MaxStreams with that peer.
	ErrTooMany = errors.New("tunnel: too many streams")
)

// Config tunes a mux; the zero value works.
type Config struct {
	Window     int // bytes of a stream, each way, that its reader has not read, default 256 KiB
	Chunk      int // largest piece of a stream in one record, default 64 KiB
	MaxStreams int // with one peer, in each direction, default 16 384
	Metrics    *Metrics
}

// Metrics counts what a mux does. The zero value is ready; safe for concurrent use.
type Metrics struct {
	Open     atomic.Int64  // streams now
	Opened   atomic.Uint64 // by this end
	Accepted atomic.Uint64
	Resets   atomic.Uint64 // streams ended by the other end, before their time
	Lost     atomic.Uint64 // streams ended by the loss of the peer
	Refused  atomic.Uint64 // streams too many, and streams whose sender did not keep to the window
}

func (c Config) withDefaults() Config {
	if c.Window <= 0 {
		c.Window = 256 << 10
	}
	if c.Chunk <= 0 {
		c.Chunk = 64 << 10
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 16 << 10
	}
	if c.Metrics == nil {
		c.Metrics = &Metrics{}
	}
	return c
}

// Accept is given each stream that a peer opens, with the bytes it begins with, which are valid during the call only. It is
// called on the links' reader goroutine and must not block.
type Accept func(from mesh.Address, head []byte, s *Stream)

// Mux is one instance's end of all its streams. Record, EndFrame and Opened are called by the handler of its links, on their
// reader goroutine; everything else is safe for concurrent use.
type Mux struct {
	links  *link.Endpoint
	accept Accept
	cfg    Config

	batch link.Batch // owned by the reader goroutine

	mu      sync.Mutex
	streams map[key]*Stream         // guarded by mu
	counts  map[direction]int       // guarded by mu: of streams
	known   map[mesh.Address]*known // guarded by mu
	last    uint64                  // guarded by mu: number of the stream opened last
	closed  bool                    // guarded by mu
}

// known is what a mux knows of a peer.
type known struct {
	out    *link.Link // whose break is watched
	opened bool       // its link to us has begun
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
	l := m.link(to)
	m.mu.Lock()
	m.last++
	s, err := m.addLocked(key{peer: to.Instance, number: m.last}, to, l)
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.sentEnd = last // nobody else has it yet
	r := wire.Record{Kind: wire.KindStreamOpen, Body: append(s.key.name(), head...)}
	if last {
		r.Flags = wire.FlagClose
	}
	if _, err := l.AppendWait(ctx, &r); err != nil {
		m.remove(s)
		s.end(ErrClosed)
		if errors.Is(err, link.ErrBroken) {
			err = fmt.Errorf("%w: %w", ErrPeerLost, err)
		}
		return nil, fmt.Errorf("open stream: %w", err)
	}
	l.Flush()
	m.cfg.Metrics.Opened.Add(1)
	return s, nil
}

// link returns the link to a peer, whose break is the end of the streams with it.
func (m *Mux) link(to mesh.Address) *link.Link {
	l := m.links.Link(to)
	m.mu.Lock()
	k := m.peerLocked(to)
	fresh := k.out != l
	k.out = l
	m.mu.Unlock()
	if fresh {
		l.OnBreak(func(error) { m.lose(func(s *Stream) bool { return s.link == l }) })
	}
	return l
}

func (m *Mux) peerLocked(a mesh.Address) *known {
	k := m.known[a]
	if k == nil {
		k = &known{}
		m.known[a] = k
	}
	return k
}

// addLocked makes a stream; mu is held.
func (m *Mux) addLocked(k key, peer mesh.Address, l *link.Link) (*Stream, error) {
	d := direction{k.peer, k.accepted}
	switch {
	case m.closed:
		return nil, ErrClosed
	case m.counts[d] >= m.cfg.MaxStreams:
		m.cfg.Metrics.Refused.Add(1)
		return nil, ErrTooMany
	}
	s := newStream(m, k, peer, l)
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

// Record takes a stream record that has arrived. An error means that no tunnel sends such a record.
func (m *Mux) Record(from mesh.Address, r *wire.Record) error {
	k, rest, err := parseKey(from.Instance, r.Body)
	if err != nil {
		return err
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
			s.reset(string(rest))
		}
	case wire.KindStreamCredit:
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(m.cfg.Window) {
			return errMalformed
		}
		if s != nil {
			s.grant(int(n)) //nolint:gosec // bounded above
		}
	default:
		return errMalformed
	}
	return nil
}

// opened accepts a stream.
func (m *Mux) opened(from mesh.Address, k key, head []byte, last bool) {
	l := m.link(from)
	m.mu.Lock()
	s, err := m.addLocked(k, from, l)
	m.mu.Unlock()
	if err != nil {
		m.refuse(from, k, "too many streams")
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
		if len(b) > 0 {
			m.refuse(from, k, reasonClosed)
		}
		return
	}
	if !s.receive(b, last) {
		m.cfg.Metrics.Refused.Add(1)
		m.remove(s)
		s.reset("window exceeded")
		m.refuse(from, k, "window exceeded")
	}
}

// refuse tells a peer that there is no such stream here.
func (m *Mux) refuse(to mesh.Address, k key, reason string) {
	_ = m.batch.Append(m.link(to), resetRecord(k, reason)) // an error is a link that broke, and all streams with it
}

// EndFrame sends what Record caused to be sent.
func (m *Mux) EndFrame() { m.batch.Flush() }

// Opened tells that a link from a peer begins. Of an earlier one something may be missing.
func (m *Mux) Opened(from mesh.Address) {
	m.mu.Lock()
	k := m.peerLocked(from)
	again := k.opened
	k.opened = true
	m.mu.Unlock()
	if again {
		m.lose(func(s *Stream) bool { return s.key.peer == from.Instance })
	}
}

// Drop tells that an instance is dead.
func (m *Mux) Drop(id mesh.InstanceID) {
	m.lose(func(s *Stream) bool { return s.key.peer == id })
	m.mu.Lock()
	defer m.mu.Unlock()
	for a := range m.known {
		if a.Instance == id {
			delete(m.known, a)
		}
	}
}

// Close ends all streams with ErrClosed, and Open fails from now on. The peers learn it from the end of the links.
func (m *Mux) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.endAll(ErrClosed, func(*Stream) bool { return true })
}

// lose ends the streams of a lost peer.
func (m *Mux) lose(of func(*Stream) bool) { m.cfg.Metrics.Lost.Add(m.endAll(ErrPeerLost, of)) }

func (m *Mux) endAll(err error, of func(*Stream) bool) (n uint64) {
	var ended []*Stream
	m.mu.Lock()
	for _, s := range m.streams {
		if of(s) {
			ended = append(ended, s)
		}
	}
	for _, s := range ended {
		m.removeLocked(s)
	}
	m.mu.Unlock()
	for _, s := range ended {
		s.end(err)
	}
	return uint64(len(ended))
}

// reasonClosed is the reason of a reset by which nothing is lost but what its receiver was about to send.
const reasonClosed = "closed"

const maxReason = 64

func resetRecord(k key, reason string) *wire.Record {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return &wire.Record{Kind: wire.KindStreamReset, Flags: wire.FlagControl, Body: append(k.name(), reason...)}
}
