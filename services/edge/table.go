package edge

import (
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
