package edge

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/engine"
)

// A socket goes from an app instance that drains to another one of that app, and its client does not notice:
//
//	edge → app         DETACH, behind the last packet for it; what the client sends from now on is held
//	app → rooms → edge DETACHED, behind all it did to the socket, with the events that it has not begun to handle
//	edge → another     ATTACH, with handshake, rooms and data as they are now; then those events, then what was held
//
// From DETACH to ATTACH the socket is moving; from DETACHED on nobody owns it. Its address stays, its epoch grows by one.

// nobody stands for the owner of a socket that has none, of that app: what is meant for it is sent to nobody.
func nobody(app string) *appInstance {
	n := &appInstance{addr: mesh.Address{Kind: mesh.KindApp, App: app}}
	n.dead.Store(true)
	return n
}

// unowned reports whether a socket is between two instances; conn.mu is held. Whoever waits for its next owner sees to its end.
func (sk *socket) unowned() bool { return sk.flow.moving && sk.app.dead.Load() }

// detachAll asks an instance that drains for its sockets, and tells it that it gets no more. It runs on presence's goroutine.
func (s *Service) detachAll(app *appInstance) {
	var b link.Batch
	defer b.Flush()
	asked := 0
	for _, sk := range s.table.all() {
		if s.detach(&b, sk, app) {
			asked++
		}
	}
	last := wire.Record{Kind: wire.KindDetach, Flags: wire.FlagControl | wire.FlagSkippable}
	if err := b.Append(app.link, &last); err != nil {
		s.log.Warn("end of sockets not told", slog.String("instance", app.addr.Instance.String()), slog.Any("err", err))
	}
	if asked > 0 {
		s.log.Info("app drains", slog.String("app", app.addr.App), slog.String("instance", app.addr.Instance.String()), slog.Int("sockets", asked))
	}
}

// detach asks an instance for a socket, if it has it.
func (s *Service) detach(b *link.Batch, sk *socket, app *appInstance) bool {
	sk.conn.mu.Lock()
	defer sk.conn.mu.Unlock()
	if sk.app != app || sk.flow.moving || sk.state == ending && len(sk.flow.held) == 0 {
		return false
	}
	r := wire.Record{
		Kind: wire.KindDetach, Flags: wire.FlagControl | wire.FlagSkippable,
		Socket: sk.addr, Namespace: sk.namespace, Epoch: sk.epoch,
	}
	if err := b.Append(app.link, &r); err != nil {
		s.log.Warn("detach not sent", slog.String("instance", app.addr.Instance.String()), slog.Any("err", err))
		return false // the instance ends with the socket, whose connection is closed then
	}
	sk.flow.moving = true
	return true
}

// detached takes a socket back from its owner; conn.mu is held. It runs on the reader goroutine of the links.
func (s *Service) detached(sk *socket, r *wire.Record) {
	if sk.state == asked { // the owner had not begun
		sk.app.assigned.Add(-1)
		s.askAgain(&s.batch, sk)
		return
	}
	events, err := wire.ParseDetached(r.Body)
	if err == nil && len(events) != len(sk.flow.sizes) {
		err = fmt.Errorf("%d events come back of %d that were not handled", len(events), len(sk.flow.sizes))
	}
	if err != nil {
		s.ignored(r, err)
		s.disown(sk)
		s.giveUpMoving(&s.batch, sk)
		return
	}
	s.disown(sk)
	sk.flow.giveBack(events)
	s.seekOwner(sk)
}

// disown takes a socket away from its owner, which goes on waiting for the client's acknowledgements; conn.mu is held.
func (s *Service) disown(sk *socket) {
	if sk.state == joined { // else it has been done
		sk.app.assigned.Add(-1)
	}
	replies := 0
	for replies < len(sk.flow.held) && sk.flow.held[replies].kind == wire.KindReply { // its link is full
		sk.failAck(&s.batch, sk.flow.held[replies].ack, tooManyHeld)
		replies++
	}
	sk.flow.sent(replies)
	sk.acks.depart(sk.app, sk.epoch)
	sk.app, sk.moved, sk.flow.moving = nobody(sk.app.addr.App), 0, true
	sk.watched.Store(false)
}

// giveBack puts events that an instance did not handle before the others.
func (f *flow) giveBack(events []wire.Event) {
	held := make([]parcel, 0, len(events)+len(f.held))
	for _, e := range events {
		p := parcel{kind: wire.KindEvent, size: int64(len(e.Packet))}
		kept := append(append(make([]byte, 0, len(e.Packet)+len(e.ID)), e.Packet...), e.ID...)
		p.body, p.id = kept[:len(e.Packet):len(e.Packet)], kept[len(e.Packet):]
		held = append(held, p)
		f.waiting += p.size
	}
	f.held = append(held, f.held...)
	f.sizes, f.bytes = nil, 0
}

// seekOwner gives a socket that nobody owns to another instance, at once or as soon as there is one; conn.mu is held.
func (s *Service) seekOwner(sk *socket) {
	retry, ok := s.attach(&s.batch, sk)
	if ok {
		return
	}
	if sk.state == joined {
		sk.conn.blockAgain(sk)
	}
	ctx, cancel := context.WithTimeout(s.ending, s.cfg.HandOverWait)
	if !s.tasks.start(func() { defer cancel(); s.awaitOwner(ctx, sk, retry) }) {
		cancel()
		s.giveUpMoving(&s.batch, sk)
	}
}

// awaitOwner tries again until there is an instance that takes the socket, or ctx ends.
func (s *Service) awaitOwner(ctx context.Context, sk *socket, retry <-chan struct{}) {
	for ok := false; !ok; {
		over := !s.pause(ctx, retry)
		var b link.Batch
		sk.conn.mu.Lock()
		if over {
			s.giveUpMoving(&b, sk)
			ok = true
		} else {
			retry, ok = s.attach(&b, sk)
		}
		sk.conn.mu.Unlock()
		b.Flush()
	}
}

// giveUpMoving closes the connection of a socket that nobody takes: what it owes an app would otherwise be lost without a sign;
// conn.mu is held.
func (s *Service) giveUpMoving(b *link.Batch, sk *socket) {
	s.cfg.Metrics.handOverFailed()
	sk.flow.moving = false
	switch sk.state {
	case joined:
		sk.conn.session.Discard(engine.TransportClose)
	case ending:
		sk.conn.cut(b, sk)
	case joining, asked:
	}
}

// attach gives a socket that nobody owns to another instance of its app, and reports whether one has it now; retry is closed
// when there may be one. conn.mu is held.
func (s *Service) attach(b *link.Batch, sk *socket) (retry <-chan struct{}, ok bool) {
	app, changed := s.apps.another(sk.app.addr.App, string(sk.namespace))
	if app == nil || app.draining.Load() {
		return changed, false
	}
	body, err := s.attachBody(sk)
	if err != nil {
		s.log.Error("attach failed", slog.Any("err", err))
		return changed, false
	}
	before, held := sk.app, sk.flow
	sk.app, sk.epoch = app, sk.epoch+1
	sk.flow = flow{held: held.held, waiting: held.waiting, blocked: held.blocked}
	if err := sk.send(b, &parcel{kind: wire.KindAttach, body: body}); err != nil {
		sk.app, sk.epoch, sk.flow = before, sk.epoch-1, held
		return nil, false
	}
	if sk.state == joined {
		app.assigned.Add(1)
	}
	s.cfg.Metrics.handedOver()
	if len(sk.flow.held) == 0 {
		sk.conn.unblock(sk) // what was held failed
	}
	sk.conn.advance(b, sk)
	return nil, true
}

// attachBody is what another instance needs to go on with a socket; conn.mu is held.
func (s *Service) attachBody(sk *socket) ([]byte, error) {
	c, err := connectOf(sk)
	if err != nil {
		return nil, err
	}
	c.User, c.Data = sk.verdict.User, object(sk.data)
	body, err := proto.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode attach: %w", err)
	}
	var rooms []string
	if all := s.index.roomsOf(sk); len(all) > 1 { // none of one that has ended
		rooms = all[1:]
	}
	return append(wire.AppendAttach(nil, rooms), body...), nil
}

// connectOf is what a connect or attach record says of a socket's client.
func connectOf(sk *socket) (*siomeshv1.Connect, error) {
	c := sk.conn
	var handshake siomeshv1.Handshake
	if err := proto.Unmarshal(c.handshake, &handshake); err != nil {
		return nil, fmt.Errorf("decode handshake: %w", err)
	}
	handshake.Auth = sk.auth
	return &siomeshv1.Connect{
		SocketId: sk.id, Handshake: &handshake, Sole: true,
		Transport: c.session.Transport(), Upgraded: c.session.Upgraded(),
		Protocol: uint32(c.session.Protocol()), //nolint:gosec // 3 or 4
	}, nil
}

// former are the requests for acknowledgements that an earlier owner of a socket made, by the ids the client knows.
type former struct {
	app   *appInstance
	epoch uint32
	open  map[uint64]uint64
}

// depart keeps the open requests of an owner that gives the socket away.
func (a *acks) depart(app *appInstance, epoch uint32) {
	if len(a.open) > 0 {
		a.former = append(a.former, former{app: app, epoch: epoch, open: a.open})
	}
	a.open, a.oldest = nil, a.next
}

// takeFormer ends a request of an earlier owner and returns it, 0 if there is none.
func (a *acks) takeFormer(id uint64) (request uint64, of former) {
	for i, f := range a.former {
		if request = f.open[id]; request == 0 {
			continue
		}
		if delete(f.open, id); len(f.open) == 0 {
			a.former = append(a.former[:i:i], a.former[i+1:]...)
		}
		return request, f
	}
	return 0, former{}
}

// lose ends the requests of an earlier owner that is dead, and reports whether there were any.
func (a *acks) lose(app *appInstance) (any bool) {
	kept := a.former[:0]
	for _, f := range a.former {
		if f.app != app {
			kept = append(kept, f)
		}
	}
	any = len(kept) < len(a.former)
	clear(a.former[len(kept):])
	if a.former = kept; len(kept) == 0 {
		a.former = nil
	}
	return any
}

// failFormer ends the requests of earlier owners; conn.mu is held.
func (sk *socket) failFormer(b *link.Batch, reason string) {
	for _, f := range sk.acks.former {
		for _, request := range f.open {
			sk.toFormer(b, f, &wire.Record{Kind: wire.KindAckFailed, Flags: wire.FlagControl, Ack: request, Body: []byte(reason)})
		}
	}
	sk.acks.former = nil
}

// replyFormer passes an acknowledgement to the earlier owner that asked for it; conn.mu is held. It is not held: when there is
// no room on the way, the request fails.
func (sk *socket) replyFormer(b *link.Batch, f former, request uint64, body []byte) {
	if !sk.toFormer(b, f, &wire.Record{Kind: wire.KindReply, Ack: request, Body: body}) {
		sk.conn.s.cfg.Metrics.ackFailed()
		sk.toFormer(b, f, &wire.Record{Kind: wire.KindAckFailed, Flags: wire.FlagControl, Ack: request, Body: []byte(tooManyHeld)})
	}
}

func (sk *socket) toFormer(b *link.Batch, f former, r *wire.Record) bool {
	if f.app.dead.Load() {
		return true // nobody waits
	}
	r.Socket, r.Namespace, r.Epoch = sk.addr, sk.namespace, f.epoch
	return b.Append(f.app.link, r) == nil
}

// handOverWait is the default of Config.HandOverWait: an instance that is restarted is back by then.
const handOverWait = 30 * time.Second
