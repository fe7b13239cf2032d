package socketio

import (
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// sockets are the sockets that edges have assigned to this instance.
type sockets struct {
	mu     sync.RWMutex
	byAddr map[wire.SocketAddr]*Socket // guarded by mu
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
	}
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
