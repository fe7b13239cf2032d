package edge

import (
	"iter"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// table gives every socket of this edge an address: a slot, reused with another generation. Safe for concurrent use.
type table struct {
	edge mesh.InstanceID
	mu   sync.RWMutex
	slot []slot   // guarded by mu
	free []uint32 // guarded by mu: slots without a socket
}

type slot struct {
	socket     *socket
	generation uint32
}

// add gives the socket its address.
func (t *table) add(sk *socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var n uint32
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
	} else {
		n = uint32(len(t.slot)) //nolint:gosec // bounded by the file descriptors of a process
		t.slot = append(t.slot, slot{})
	}
	t.slot[n].generation++
	t.slot[n].socket = sk
	sk.addr = wire.SocketAddr{Edge: t.edge, Slot: n, Generation: t.slot[n].generation}
}

// remove takes the address away from the socket; records for it are answered with gone from now on.
func (t *table) remove(sk *socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := &t.slot[sk.addr.Slot]; s.socket == sk {
		s.socket = nil
		t.free = append(t.free, sk.addr.Slot)
	}
}

// find returns the socket of an address, nil if it is gone.
func (t *table) find(a wire.SocketAddr) *socket {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if a.Edge != t.edge || int(a.Slot) >= len(t.slot) || t.slot[a.Slot].generation != a.Generation {
		return nil
	}
	return t.slot[a.Slot].socket
}

// slotOf returns the slot of a socket, and false if it is gone.
func (t *table) slotOf(sk *socket) (uint64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := sk.addr.Slot
	return uint64(n), int(n) < len(t.slot) && t.slot[n].socket == sk
}

// from walks the sockets from a slot on. The table is not locked while one is looked at.
func (t *table) from(slot uint64) iter.Seq2[uint64, *socket] {
	return func(yield func(uint64, *socket) bool) {
		for ; ; slot++ {
			t.mu.RLock()
			if slot >= uint64(len(t.slot)) {
				t.mu.RUnlock()
				return
			}
			sk := t.slot[slot].socket
			t.mu.RUnlock()
			if sk != nil && !yield(slot, sk) {
				return
			}
		}
	}
}

// all returns the sockets there are now.
func (t *table) all() []*socket {
	t.mu.RLock()
	defer t.mu.RUnlock()
	sockets := make([]*socket, 0, len(t.slot)-len(t.free))
	for _, s := range t.slot {
		if s.socket != nil {
			sockets = append(sockets, s.socket)
		}
	}
	return sockets
}
