package tunnel

import (
	"errors"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
)

// Both ends of a stream must hear of its end, whichever link breaks. Whoever ends a stream tells the peer on its own link. If
// that is the one that broke, what it has told may be lost: then it opens a new one, which begins with the reset of number 0,
// and the peer ends everything it has with it - and tells that in turn, since something it has opened meanwhile may be new to
// this end.

// known is what a mux knows of a peer.
type known struct {
	out      *link.Link // the newest to it
	refusals int        // links in a row that it has refused, with no stream begun meanwhile
	opened   bool       // a link from it has begun
	dead     bool       // in Mux.dead
}

// linkLocked returns the link to a peer, whose break is the end of the streams on it; mu is held.
func (m *Mux) linkLocked(to mesh.Address) *link.Link {
	k, l := m.peerLocked(to), m.links.Link(to)
	if k.out == l {
		return l
	}
	if k.out != nil {
		_, _ = l.Append(resetRecord(key{}, reasonLost)) // an error is a link that broke, too
	}
	k.out = l
	l.OnBreak(func(err error) { m.broken(l, err) })
	return l
}

func (m *Mux) peerLocked(a mesh.Address) *known {
	k := m.known[a]
	if k == nil {
		k = &known{}
		m.known[a] = k
	}
	k.dead = false
	return k
}

// maxRefusals is when a peer is not tried again for the sake of streams that are no more: perhaps it knows no streams.
const maxRefusals = 3

// broken ends the streams on a link and lets the peer know: what was on its way there is lost.
func (m *Mux) broken(l *link.Link, err error) {
	m.lose(func(s *Stream) bool { return s.link == l })
	if errors.Is(err, link.ErrStopped) {
		return
	}
	m.mu.Lock()
	k := m.known[l.To()]
	if errors.Is(err, link.ErrPeerDead) {
		if k != nil && k.out == l {
			m.buryLocked(l.To(), k)
		}
		m.mu.Unlock()
		return
	}
	if k != nil && errors.Is(err, link.ErrRefused) {
		k.refusals++
	}
	if k == nil || k.refusals > maxRefusals {
		m.mu.Unlock()
		return
	}
	l = m.linkLocked(l.To())
	m.mu.Unlock()
	l.Flush()
}

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

// maxDead is how many of the dead are remembered: if one is not dead after all, it is told that its streams are lost.
const maxDead = 1024

// Drop tells that an instance is dead.
func (m *Mux) Drop(id mesh.InstanceID) {
	m.lose(func(s *Stream) bool { return s.key.peer == id })
	m.mu.Lock()
	defer m.mu.Unlock()
	for a, k := range m.known {
		if a.Instance == id {
			m.buryLocked(a, k)
		}
	}
}

// buryLocked remembers that a peer is dead; mu is held.
func (m *Mux) buryLocked(a mesh.Address, k *known) {
	if !k.dead {
		k.dead = true
		m.dead = append(m.dead, a)
	}
	for len(m.dead) > maxDead {
		if k := m.known[m.dead[0]]; k != nil && k.dead {
			delete(m.known, m.dead[0])
		}
		m.dead = m.dead[1:]
	}
}

// Up tells that an instance is there. If it was given up for dead, it learns now that its streams are lost; without that it
// would wait for ever on those on which it only reads.
func (m *Mux) Up(a mesh.Address) {
	m.mu.Lock()
	k := m.known[a]
	if k == nil || !k.dead {
		m.mu.Unlock()
		return
	}
	l := m.linkLocked(a)
	m.mu.Unlock()
	l.Flush()
}

// lose ends the streams of a lost peer.
func (m *Mux) lose(of func(*Stream) bool) {
	m.cfg.Metrics.Lost.Add(m.endAll(ErrPeerLost, reasonLost, of))
}

// endAll ends streams at both ends, and returns how many.
func (m *Mux) endAll(err error, reason string, of func(*Stream) bool) (n uint64) {
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
	var dirty link.Batch
	for _, s := range ended {
		s.end(err)
		_ = dirty.Append(s.link, resetRecord(s.key, reason)) // an error is a link that broke: its peer hears it by other ways
	}
	dirty.Flush()
	return uint64(len(ended))
}
