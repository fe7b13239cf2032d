package rooms

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// maxParked bounds the queries that wait for operations of one origin in one partition.
const maxParked = 1024

// maxOrigins bounds the instances that queries may introduce.
const maxOrigins = 1 << 16

// request answers a RoomsRequest. It decodes on the receiver's goroutine and asks the index on the links' one, where the
// index lives.
func (s *Service) request(m bus.Msg) {
	var q siomeshv1.RoomsRequest
	if err := proto.Unmarshal(m.Data, &q); err != nil {
		s.reply(m, failure("bad_request", "unreadable request"))
		return
	}
	s.links.Do(func() { s.query(m, &q) })
}

// query answers at once if the asker's last operation has been taken, and otherwise as soon as it is.
func (s *Service) query(m bus.Msg, q *siomeshv1.RoomsRequest) {
	s.cfg.Metrics.query()
	if !s.owning {
		s.reply(m, failure("not_owner", "this instance does not own the partition"))
		return
	}
	if q.GetOperation() == 0 {
		s.reply(m, s.answer(q))
		return
	}
	asker, err := mesh.ParseInstanceID(q.GetInstance())
	if err != nil {
		s.reply(m, failure("bad_request", err.Error()))
		return
	}
	if len(s.origins) >= maxOrigins && s.origins[asker] == nil {
		s.reply(m, failure("timeout", "too many instances"))
		return
	}
	p := s.progressOf(mesh.Address{Kind: mesh.KindApp, Instance: asker}, mesh.Partition(q.GetNamespace()))
	switch {
	case p.taken >= q.GetOperation():
		s.reply(m, s.answer(q))
	case len(p.parked) >= maxParked:
		s.reply(m, failure("timeout", "too many queries wait for this instance's operations"))
	default:
		p.parked = append(p.parked, parked{
			operation: q.GetOperation(),
			deadline:  time.Now().Add(s.cfg.QueryTimeout),
			answer: func(ok bool) {
				if ok {
					s.reply(m, s.answer(q))
				} else {
					s.reply(m, failure("timeout", "the asker's last operation did not arrive"))
				}
			},
		})
	}
}

func (s *Service) answer(q *siomeshv1.RoomsRequest) *siomeshv1.RoomsReply {
	switch query := q.GetQuery().(type) {
	case *siomeshv1.RoomsRequest_Count:
		n := s.index.count(q.GetNamespace(), stringsOf(query.Count.GetRooms()), stringsOf(query.Count.GetExcept()))
		return &siomeshv1.RoomsReply{Count: uint64(n)} //nolint:gosec // a count is not negative
	case *siomeshv1.RoomsRequest_Counts:
		reply := &siomeshv1.RoomsReply{Counts: make([]uint64, len(query.Counts.GetRooms()))}
		for i, room := range query.Counts.GetRooms() {
			n := s.index.count(q.GetNamespace(), []string{string(room)}, nil)
			reply.Counts[i] = uint64(n) //nolint:gosec // a count is not negative
		}
		return reply
	case *siomeshv1.RoomsRequest_Edges:
		reply := &siomeshv1.RoomsReply{}
		list, err := wire.ReadStrings(wire.AppendStrings(nil, stringsOf(query.Edges.GetRooms())))
		if err != nil {
			return failure("bad_request", err.Error())
		}
		s.index.eachEdge([]byte(q.GetNamespace()), list, func(e *edge) { reply.Edges = append(reply.Edges, e.id.String()) })
		return reply
	default:
		return failure("bad_request", "unknown query")
	}
}

// stringsOf returns names of rooms, which may be any bytes.
func stringsOf(list [][]byte) []string {
	texts := make([]string, len(list))
	for i, b := range list {
		texts[i] = string(b)
	}
	return texts
}

// unpark answers the queries whose operation has been taken now.
func (s *Service) unpark(p *progress) {
	if len(p.parked) == 0 {
		return
	}
	p.parked = settle(p.parked, func(q parked) bool {
		if q.operation > p.taken {
			return false
		}
		q.answer(true)
		return true
	})
}

// sweep looks after what waits for nothing but time, until ctx ends.
func (s *Service) sweep(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.QueryTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.links.Do(func() { s.sweepAt(now); s.EndFrame() })
		}
	}
}

// sweepAt fails the queries that waited too long, repeats confirmations that may have been lost, and forgets instances that
// asked for something but never sent anything: of their death nobody would hear.
func (s *Service) sweepAt(now time.Time) {
	for id, o := range s.origins {
		used := false
		for _, p := range o.parts {
			if p == nil {
				continue
			}
			p.parked = settle(p.parked, func(q parked) bool {
				if now.Before(q.deadline) {
					return false
				}
				q.answer(false)
				return true
			})
			used = used || p.taken > 0 || len(p.parked) > 0
			if o.retell {
				p.told = 0
				s.dirty(p)
			}
		}
		o.retell = false
		if !used {
			delete(s.origins, id)
		}
	}
}

// settle removes the queries that done settles.
func settle(queries []parked, done func(parked) bool) []parked {
	kept := queries[:0]
	for _, q := range queries {
		if !done(q) {
			kept = append(kept, q)
		}
	}
	clear(queries[len(kept):])
	return kept
}

func (s *Service) reply(m bus.Msg, reply *siomeshv1.RoomsReply) {
	b, err := proto.Marshal(reply)
	if err == nil {
		err = s.bus.Respond(m, b)
	}
	if err != nil {
		s.log.Debug("query not answered", slog.Any("err", err))
	}
}

func failure(code, message string) *siomeshv1.RoomsReply {
	return &siomeshv1.RoomsReply{Error: &siomeshv1.Error{Code: code, Message: message}}
}
