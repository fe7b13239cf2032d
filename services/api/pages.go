package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/siomesh/siomesh/pkg/socketio"
)

// A page is made in two steps: which ids come next, of all that are selected, and what these sockets are like. So its order is
// that of the ids, whichever edges the sockets are at, and who asks for page after page sees every socket once that is there from
// the first to the last.

// lookup is how many sockets are described at a time: as much as that is in memory beside the answer.
const lookup = 32

// pager makes one page.
type pager struct {
	namespace *socketio.Namespace
	fields    socketio.Fields
	room      room
	passed    string // last id that is done with
	result    fetched
}

// page returns as many sockets behind an id as are wanted and an answer holds.
func (s *Service) page(ctx context.Context, n *socketio.Namespace, q *fetchRequest, fields socketio.Fields, limit int) (any, error) {
	p := pager{
		namespace: n, fields: fields, room: room{left: s.micro.Limit()},
		result: fetched{Sockets: []json.RawMessage{}, Unreachable: []string{}},
	}
	next := lowest{most: limit + 1}
	err := p.each(q.of(n).EachSocket(ctx, 0), func(s *socketio.RemoteSocket) error {
		if s.ID() > q.After {
			next.add(s.ID())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	ids := next.sorted()
	if len(ids) > limit {
		ids = ids[:limit]
		p.result.Next, p.result.Truncated = ids[limit-1], true
	}
	for some := range slices.Chunk(ids, lookup) {
		fits, err := p.describe(ctx, some)
		if err != nil {
			return nil, err
		}
		if !fits {
			break
		}
	}
	return p.result, nil
}

// each calls f for every socket, and notes the edges that do not answer.
func (p *pager) each(all func(func(*socketio.RemoteSocket, error) bool), f func(*socketio.RemoteSocket) error) error {
	for s, err := range all {
		var edge *socketio.EdgeError
		switch {
		case errors.As(err, &edge):
			if !slices.Contains(p.result.Unreachable, edge.Edge) {
				p.result.Unreachable = append(p.result.Unreachable, edge.Edge)
			}
			continue
		case err != nil:
			return err
		}
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}

// describe adds the sockets with these ids, but those that have left meanwhile, and reports whether all fit.
func (p *pager) describe(ctx context.Context, ids []string) (fit bool, err error) {
	found := make(map[string]json.RawMessage, len(ids))
	err = p.each(p.namespace.To(ids...).EachSocket(ctx, p.fields), func(s *socketio.RemoteSocket) (err error) {
		if _, wanted := slices.BinarySearch(ids, s.ID()); !wanted {
			return nil // it has joined a room of that name, as any number may have
		}
		if found[s.ID()], err = json.Marshal(describeSocket(s, p.fields)); err != nil {
			return fmt.Errorf("describe socket: %w", err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		one, there := found[id]
		switch {
		case !there:
		case p.room.take(len(one)):
			p.result.Sockets = append(p.result.Sockets, one)
		case len(p.result.Sockets) == 0:
			return false, &failure{Code: tooLarge, Message: fmt.Sprintf("socket %q does not fit an answer: ask for fewer fields", id)}
		default:
			p.result.Next, p.result.Truncated = p.passed, true
			return false, nil
		}
		p.passed = id
	}
	return true, nil
}

// lowest keeps the lowest of many ids.
type lowest struct {
	most int
	ids  []string
}

func (l *lowest) add(id string) {
	l.ids = append(l.ids, id)
	if len(l.ids) >= 2*l.most+lookup {
		l.sorted()
	}
}

// sorted returns them in order.
func (l *lowest) sorted() []string {
	slices.Sort(l.ids)
	l.ids = slices.Compact(l.ids)
	l.ids = l.ids[:min(len(l.ids), l.most)]
	return l.ids
}
