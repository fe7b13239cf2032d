package socketio

import (
	"slices"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/presence"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// sockets are the sockets that edges have assigned to this instance.
type sockets struct {
	mu     sync.RWMutex
	byAddr map[wire.SocketAddr]*Socket // guarded by mu
	done   map[mesh.InstanceID]bool    // guarded by mu; edges that assign no more
	change chan struct{}               // guarded by mu; closed when the last is removed, or an edge assigns no more; nil if nobody waits
}

func (t *sockets) add(s *Socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byAddr[s.addr] = s
}

func (t *sockets) remove(s *Socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAddr[s.addr] == s {
		delete(t.byAddr, s.addr)
		if len(t.byAddr) == 0 {
			t.wake()
		}
	}
}

// last notes that an edge assigns no more sockets to this instance.
func (t *sockets) last(edge mesh.InstanceID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done == nil {
		t.done = map[mesh.InstanceID]bool{}
	}
	t.done[edge] = true
	t.wake()
}

// wake tells who waits that there is news. The caller holds mu.
func (t *sockets) wake() {
	if t.change != nil {
		close(t.change)
		t.change = nil
	}
}

// ended reports whether there are no sockets and none will come from these edges; else changed is closed when that may be.
func (t *sockets) ended(edges []presence.Peer) (changed <-chan struct{}, yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	waits := slices.ContainsFunc(edges, func(p presence.Peer) bool { return !t.done[p.Instance] })
	if len(t.byAddr) == 0 && !waits {
		return nil, true
	}
	if t.change == nil {
		t.change = make(chan struct{})
	}
	return t.change, false
}

func (t *sockets) get(addr wire.SocketAddr) *Socket {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byAddr[addr]
}

func (t *sockets) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.byAddr)
}

// all returns those on one edge, or with the zero id all.
func (t *sockets) all(edge mesh.InstanceID) []*Socket {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var list []*Socket
	for addr, s := range t.byAddr {
		if edge.IsZero() || addr.Edge == edge {
			list = append(list, s)
		}
	}
	return list
}
