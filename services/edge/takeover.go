package edge

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/pkg/engine"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// With several edges the WebSocket of a client that began with polling may reach another edge than its session. While no
// CONNECT has been processed the mesh knows nothing of the client, so that the session can move to the edge that has the
// WebSocket, instead of sending everything through two edges for good. That is why a CONNECT that comes on polling waits a
// moment for the upgrade.

// lobby is what waits for an upgrade; its fields are guarded by conn.mu.
type lobby struct {
	open bool              // a CONNECT is to wait
	held []protocol.Packet // CONNECTs that wait
	end  *alarm            // of the wait; nil while nothing waits
}

// holds reports whether a CONNECT of a new connection is to wait.
func (c *conn) holds() bool {
	cfg := &c.s.cfg
	return c.s.others.Load() > 0 && !c.isV2() && cfg.UpgradeWait > 0 && cfg.upgradable() && c.session.Transport() == engine.Polling
}

// keepWaiting keeps a CONNECT that is to wait, and reports whether it does; mu is held.
func (c *conn) keepWaiting(p protocol.Packet) bool {
	if !c.lobby.open || c.closed || len(c.lobby.held) >= c.s.cfg.MaxNamespaces {
		return false
	}
	c.lobby.held = append(c.lobby.held, protocol.Packet{
		Type: p.Type, Namespace: bytes.Clone(p.Namespace), Data: bytes.Clone(p.Data),
	})
	if c.lobby.end == nil {
		c.lobby.end = &alarm{ring: c.waited}
		c.s.alarms.set(c.lobby.end, time.Now().Add(c.s.cfg.UpgradeWait))
	}
	return true
}

// waited ends the wait: no upgrade has come, and if the client has closed, nobody wants to join any more.
func (c *conn) waited() {
	var b link.Batch
	closing := c.session.Closing()
	c.mu.Lock()
	if closing {
		c.closeLobby()
	} else {
		c.letIn(&b)
	}
	c.mu.Unlock()
	b.Flush()
}

// letIn ends the wait for the upgrade; mu is held.
func (c *conn) letIn(b *link.Batch) {
	for _, p := range c.closeLobby() {
		c.connect(b, p)
	}
}

// closeLobby lets no CONNECT wait any more, and returns those that have waited; mu is held.
func (c *conn) closeLobby() []protocol.Packet {
	if c.lobby.end != nil {
		c.s.alarms.drop(c.lobby.end)
	}
	held := c.lobby.held
	c.lobby = lobby{}
	return held
}

// Upgraded implements engine.Upgrader: the session stays here.
func (c *conn) Upgraded() {
	c.mu.Lock()
	c.letIn(&c.batch)
	c.mu.Unlock()
	c.batch.Flush()
}

// Move implements engine.Mover: the connection goes with its session if nobody else knows of it yet.
func (c *conn) Move() ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.entered || len(c.sockets) > 0 || !c.lobby.open || c.s.stopping.Load() {
		return nil, false
	}
	state := &siomeshv1.MovedConnection{Handshake: c.handshake}
	for _, p := range c.lobby.held {
		state.Connects = append(state.Connects, &siomeshv1.HeldConnect{Namespace: p.Namespace, Auth: p.Data})
	}
	b, err := proto.Marshal(state)
	if err != nil {
		return nil, false
	}
	c.closeLobby()
	c.closed, c.moved = true, true
	c.s.guests.remove(c)
	c.s.cfg.Metrics.connClosed()
	c.s.cfg.Metrics.movedAway()
	return b, true
}

// adopt makes the connection of a session that moves here; engine.Config.Adopt.
func (s *Service) adopt(session *engine.Session, state []byte) (engine.Handler, error) {
	var moved siomeshv1.MovedConnection
	if err := proto.Unmarshal(state, &moved); err != nil {
		return nil, fmt.Errorf("decode connection: %w", err)
	}
	c := s.newConn(session, moved.GetHandshake())
	s.guests.admit(c, time.Now().Add(s.cfg.ConnectTimeout), 0, 0) // a second time, but never a third
	s.cfg.Metrics.connOpened()
	s.cfg.Metrics.movedHere()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range moved.GetConnects() {
		c.connect(&c.batch, protocol.Packet{Type: protocol.Connect, Namespace: p.GetNamespace(), Data: p.GetAuth()})
	}
	return c, nil
}
