package edge

import (
	"fmt"
	"log/slog"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// applyToAll carries out a join, leave or close of every socket that a selector names. Nobody owns such an operation, so the app
// instances that own the sockets are told what it changed.
func (s *Service) applyToAll(r *wire.Record) error {
	selected, except, rest, err := wire.ReadSelector(r.Body)
	if err != nil {
		return fmt.Errorf("selector: %w", err) // rooms has read it too
	}
	var rooms []string
	if r.Kind != wire.KindCloseAll {
		if rooms, err = wire.ParseStrings(rest); err != nil {
			return fmt.Errorf("rooms of sockets: %w", err)
		}
	}
	s.recipients = s.index.selection(s.recipients[:0], r.Namespace, selected, except)
	for _, sk := range s.recipients {
		s.applyToOne(sk, r, rooms)
	}
	clear(s.recipients)
	return nil
}

func (s *Service) applyToOne(sk *socket, r *wire.Record, rooms []string) {
	sk.conn.mu.Lock()
	defer sk.conn.mu.Unlock()
	if sk.state != joined {
		return
	}
	var changed []string
	switch r.Kind {
	case wire.KindCloseAll:
		s.disconnect(sk, r.Flags&wire.FlagClose != 0)
		return
	case wire.KindJoinAll:
		for _, room := range rooms {
			if s.index.join(sk, room) {
				changed = append(changed, room)
			}
		}
		sk.tellMoved(&s.batch, wire.KindJoined, changed)
	default:
		for _, room := range rooms {
			if s.index.leave(sk, room) {
				changed = append(changed, room)
			}
		}
		sk.tellMoved(&s.batch, wire.KindLeft, changed)
	}
}

// tellMoved tells the owning app instance of rooms that somebody else put the socket into, or took it out of; conn.mu is held.
func (sk *socket) tellMoved(b *link.Batch, kind wire.Kind, rooms []string) {
	if len(rooms) == 0 || sk.app.dead.Load() {
		return
	}
	r := wire.Record{
		Kind: kind, Flags: wire.FlagControl, Socket: sk.addr, Namespace: sk.namespace, Epoch: sk.epoch,
		Partition: mesh.Partition(string(sk.namespace)), Op: sk.moved, Body: wire.AppendStrings(nil, rooms),
	}
	if err := b.Append(sk.app.link, &r); err != nil {
		sk.conn.s.log.Warn("change of rooms not told", slog.String("instance", sk.app.addr.Instance.String()), slog.Any("err", err))
	}
}

// ownedBy reports whether a socket belongs to the app instance that made an operation.
func (sk *socket) ownedBy(r *wire.Record) bool {
	sk.conn.mu.Lock()
	defer sk.conn.mu.Unlock()
	return sk.state == joined && sk.app.addr.Instance == r.Origin
}
