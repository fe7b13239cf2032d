package socketio

import (
	"bytes"
	"slices"

	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// That this instance wants the room events of a namespace is an operation that must not get lost, and that every rooms service
// has to hear: so each partition keeps its watches, and sends them first on every new link.

// watch is one namespace whose room events are wanted, or not any more.
type watch struct {
	namespace []byte
	on        bool
	owed      bool   // it is to be sent; one that is not on is forgotten once it is
	op        uint64 // number it was sent under
}

// watch begins or ends a watch. What this Server sends to the partition afterwards comes behind it.
func (o *outbox) watch(n *Namespace, on bool) {
	p := &o.parts[n.partition]
	p.mu.Lock()
	i := slices.IndexFunc(p.watches, func(w watch) bool { return bytes.Equal(w.namespace, n.nameBytes) })
	if i < 0 {
		p.watches = append(p.watches, watch{namespace: n.nameBytes})
		i = len(p.watches) - 1
	}
	w := &p.watches[i]
	if !w.owed {
		p.owed++
	}
	w.on, w.owed = on, true
	p.mu.Unlock()
	_ = o.open(p) // without an owner the next one gets it
}

// rewatch sends the watches that are to be sent, as far as the link has room. The caller holds mu.
func (p *partition) rewatch(number uint8) error {
	for i := 0; p.owed > 0 && i < len(p.watches); i++ {
		w := &p.watches[i]
		if !w.owed {
			continue
		}
		r := wire.Record{Kind: wire.KindWatchRooms, Namespace: w.namespace, Partition: number}
		if w.on {
			r.Body = []byte{1}
		}
		if err := p.put(&r); err != nil {
			return err
		}
		w.owed, w.op = false, r.Op
		p.owed--
		if !w.on {
			p.watches = slices.Delete(p.watches, i, i+1)
			i--
		}
	}
	return nil
}

// unwatched notes that all watches are to be sent again, and returns how many of them were sent and not confirmed. The caller
// holds mu, before it gives up what is unconfirmed.
func (p *partition) unwatched() (unconfirmed int) {
	for i := range p.watches {
		w := &p.watches[i]
		if w.owed {
			continue
		}
		if w.op > p.confirmed {
			unconfirmed++
		} else {
			p.missed = true
		}
		w.owed = true
		p.owed++
	}
	return unconfirmed
}
