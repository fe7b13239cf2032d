package edge

import (
	"context"
	"errors"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
)

// What becomes of clients when the other end of their sockets is lost. Nothing that may be lost is lost without a sign: a
// connection that may have missed something is closed, as by a failing network, so that the client comes back.

// appDied takes the sockets of a dead instance away from it. It runs on presence's goroutine.
func (s *Service) appDied(id mesh.InstanceID) {
	if app := s.apps.remove(id); app != nil {
		for _, sk := range s.table.all() {
			s.orphan(sk, app)
		}
	}
}

// appBroke takes its sockets away from an instance whose link broke: for this edge it is dead, and begins anew. It runs on
// the links' reader goroutine.
func (s *Service) appBroke(app *appInstance, err error) {
	if errors.Is(err, link.ErrPeerDead) || errors.Is(err, link.ErrStopped) {
		return // appDied sees to it; the edge stops
	}
	s.log.Warn("link to app broke", slog.String("app", app.addr.App), slog.String("instance", app.addr.Instance.String()), slog.Any("err", err))
	fresh := s.apps.replace(app)
	told := false
	for _, sk := range s.table.all() {
		addr, lost := s.orphan(sk, app)
		if !lost || told || fresh == nil {
			continue
		}
		// The instance takes a new stream as the end of the sockets it has of this edge, so that any record will do.
		r := wire.Record{Kind: wire.KindDisconnect, Flags: wire.FlagControl, Socket: addr, Namespace: sk.namespace, Seq: 1}
		_, err := fresh.link.Append(&r)
		told = err == nil
	}
	if told {
		fresh.link.Flush()
	}
}

// orphan takes a socket away from a dead instance, if it belongs to that, and returns the address it had there. A client that
// was still joining goes to another instance. One that had joined is disconnected: what it sent and the instance had not
// handled would otherwise be lost without a sign.
func (s *Service) orphan(sk *socket, app *appInstance) (addr wire.SocketAddr, lost bool) {
	c := sk.conn
	var b link.Batch
	defer b.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	if sk.app != app {
		if sk.acks.lose(app) {
			c.blockAgain(sk)
		}
		return wire.SocketAddr{}, false
	}
	addr = sk.addr
	sk.flow.moving = false // nobody gives it back
	switch sk.state {
	case asked:
		s.askAgain(&b, sk)
	case joined:
		c.session.Discard(engine.TransportClose)
	case ending:
		c.cut(&b, sk)
	case joining:
	}
	return addr, true
}

// declined goes on with the next app, since this one does not know the namespace; conn.mu is held.
func (s *Service) declined(sk *socket) {
	if sk.state != asked {
		return
	}
	sk.declined = append(sk.declined[:len(sk.declined):len(sk.declined)], sk.app.addr.App)
	sk.app.assigned.Add(-1)
	s.askAgain(&s.batch, sk)
}

// askAgain starts the join of a socket again, under another address, so that nothing of the dead instance concerns it;
// conn.mu is held.
func (s *Service) askAgain(b *link.Batch, sk *socket) {
	s.gone(b, sk)
	s.table.remove(sk)
	s.index.reset(sk)
	s.table.add(sk)
	sk.acks.drain(func(uint64) {})
	sk.watched.Store(false)
	sk.state, sk.app, sk.data, sk.moved = joining, nil, nil, 0
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AppWait)
	sk.cancel()
	sk.cancel = cancel
	if !s.tasks.start(func() { defer cancel(); s.join(ctx, sk) }) {
		cancel()
	}
}

// errRoomsLost is why connections are closed when rooms may have missed something of theirs, or they of rooms.
var errRoomsLost = errors.New("rooms lost")

// closeAll closes every connection that rooms has heard of, so that its state is built afresh. Others are just waiting for
// rooms to come back.
func (s *Service) closeAll() {
	closed := 0
	for _, sk := range s.table.all() {
		if s.give(sk) {
			closed++
		}
	}
	if closed > 0 {
		s.log.Warn("connections closed", slog.Any("err", errRoomsLost), slog.Int("sockets", closed))
	}
}

// give gives up a socket that an app instance has: its connection is closed, and since no handled mark may come through any
// more, the app hears of the end at once.
func (s *Service) give(sk *socket) bool {
	c := sk.conn
	var b link.Batch
	defer b.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch sk.state {
	case joining:
		return false
	case ending:
		if len(sk.flow.held) > 0 && !sk.unowned() {
			c.cut(&b, sk)
		}
		return false
	case asked, joined:
	}
	for _, other := range c.sockets {
		c.drop(other, len(other.flow.held))
	}
	c.endAll(&b, string(engine.TransportClose), "")
	c.session.Discard(engine.TransportClose)
	return true
}
