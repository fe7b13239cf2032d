package socketio

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
)

// Which sockets there are, and what they are like, is asked in three steps:
//
//	wait until the edges have applied what this Server did → rooms: which edges hold such sockets? → each of these, page by page
//
// So the answer holds everything this Server did before, and what others did or what clients do meanwhile may be in it.

// Fields says what is wanted of sockets beside their id and user.
type Fields uint8

// The fields.
const (
	WithHandshake Fields = 1 << iota
	WithRooms
	WithData
)

// EdgeError says that one edge did not answer: its sockets are missing.
type EdgeError struct {
	Edge string // instance id
	Err  error
}

// Error names the edge.
func (e *EdgeError) Error() string { return "edge " + e.Edge + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *EdgeError) Unwrap() error { return e.Err }

// FetchSockets returns the selected sockets of the whole mesh with all they have (BRO-022, BRO-023), in no order. Their number
// times some kilobytes is held in memory: EachSocket needs less. If an edge does not answer in time it returns the others' sockets and an *EdgeError; those of
// an edge that is dead are gone (CLU-021). Timeout, or the deadline of ctx, or else Config.EmitTimeout bounds the wait
// (CLU-027). For a parent it returns ErrParentNamespace (NSP-029).
func (b BroadcastOperator) FetchSockets(ctx context.Context) ([]*RemoteSocket, error) {
	return b.fetch(ctx, WithHandshake|WithRooms|WithData)
}

// SocketIDs returns the ids of the selected sockets, sorted (NSP-016). Errors are those of FetchSockets.
func (b BroadcastOperator) SocketIDs(ctx context.Context) ([]string, error) {
	sockets, err := b.fetch(ctx, 0)
	ids := make([]string, len(sockets))
	for i, s := range sockets {
		ids[i] = s.id
	}
	slices.Sort(ids)
	return ids, err
}

// EachSocket is FetchSockets one page after the other, edge by edge, with the fields that are wanted. An error stands for the
// sockets of one edge, or for all. Timeout or the deadline of ctx bounds the whole walk; without them Config.EmitTimeout bounds
// the wait for each page, and the walk takes as long as its caller does.
func (b BroadcastOperator) EachSocket(ctx context.Context, fields Fields) iter.Seq2[*RemoteSocket, error] {
	return func(yield func(*RemoteSocket, error) bool) {
		if b.timed {
			var cancel context.CancelFunc
			ctx, cancel = b.bounded(ctx)
			defer cancel()
		}
		if b.local {
			if err := b.server().usable(); err != nil {
				yield(nil, fmt.Errorf("fetch sockets: %w", err))
				return
			}
			for _, s := range b.ours() {
				if !yield(s.remote(fields), nil) {
					return
				}
			}
			return
		}
		asking, cancel := b.server().patient(ctx)
		edges, err := b.edges(asking)
		cancel()
		if err != nil {
			yield(nil, err)
			return
		}
		for _, edge := range edges {
			if !b.pages(ctx, edge, fields, yield) {
				return
			}
		}
	}
}

// maxAsked is how many edges are asked at a time.
const maxAsked = 16

// fetch asks the edges at the same time.
func (b BroadcastOperator) fetch(ctx context.Context, fields Fields) (found []*RemoteSocket, err error) {
	ctx, cancel := b.bounded(ctx)
	defer cancel()
	if b.local {
		for s, err := range b.EachSocket(ctx, fields) {
			if err != nil {
				return nil, err
			}
			found = append(found, s)
		}
		return found, nil
	}
	edges, err := b.edges(ctx)
	if err != nil {
		return nil, err
	}
	var (
		mu       sync.Mutex
		failures []error // guarded by mu, as found is
		asked    sync.WaitGroup
		turns    = make(chan struct{}, maxAsked)
	)
	for _, edge := range edges {
		turns <- struct{}{}
		asked.Go(func() { // waited for below
			defer func() { <-turns }()
			var some []*RemoteSocket
			var failure error
			b.pages(ctx, edge, fields, func(s *RemoteSocket, err error) bool {
				if err != nil {
					failure = err
					return false
				}
				some = append(some, s)
				return true
			})
			mu.Lock()
			defer mu.Unlock()
			found = append(found, some...)
			if failure != nil {
				failures = append(failures, failure)
			}
		})
	}
	asked.Wait()
	return found, errors.Join(failures...)
}

// edges returns the edges that hold selected sockets, once all of them have applied what was done before.
func (b BroadcastOperator) edges(ctx context.Context) ([]mesh.InstanceID, error) {
	if b.parent != nil {
		return nil, fmt.Errorf("fetch sockets: %w", ErrParentNamespace)
	}
	n := b.namespace
	fail := func(err error) ([]mesh.InstanceID, error) {
		return nil, fmt.Errorf("fetch sockets of namespace %.80q: %w", n.name, err)
	}
	if err := n.server.usable(); err != nil {
		return fail(err)
	}
	if err := n.server.out.settled(ctx, n.partition); err != nil {
		return fail(err)
	}
	q := &siomeshv1.EdgesQuery{Rooms: bytesOf(b.rooms)}
	reply, err := n.server.query(ctx, n, &siomeshv1.RoomsRequest{Query: &siomeshv1.RoomsRequest_Edges{Edges: q}})
	if err != nil {
		return fail(err)
	}
	var edges []mesh.InstanceID
	for _, text := range reply.GetEdges() {
		id, err := mesh.ParseInstanceID(text)
		if err != nil {
			return fail(err)
		}
		edges = append(edges, id)
	}
	return edges, nil
}

// pages yields the selected sockets of one edge, or an error, and reports whether to go on.
func (b BroadcastOperator) pages(ctx context.Context, edge mesh.InstanceID, fields Fields, yield func(*RemoteSocket, error) bool) bool {
	n := b.namespace
	q := &siomeshv1.SocketsQuery{
		Rooms: bytesOf(b.rooms), Except: bytesOf(b.except),
		Handshake: fields&WithHandshake != 0, Joined: fields&WithRooms != 0, Data: fields&WithData != 0,
	}
	for {
		asking, cancel := n.server.patient(ctx)
		reply, err := n.server.askEdge(asking, edge, &siomeshv1.EdgeRequest{
			Namespace: n.name, Query: &siomeshv1.EdgeRequest_Sockets{Sockets: q},
		})
		cancel()
		if errors.Is(err, errEdgeGone) {
			return true
		}
		if err != nil {
			return yield(nil, &EdgeError{Edge: edge.String(), Err: err})
		}
		for _, info := range reply.GetSockets() {
			s, err := newRemoteSocket(n, info)
			if err != nil {
				err = &EdgeError{Edge: edge.String(), Err: err}
			}
			if !yield(s, err) {
				return false
			}
		}
		if q.After = reply.GetNext(); q.After == 0 {
			return true
		}
	}
}

// bounded returns ctx with the deadline of a query.
func (b BroadcastOperator) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if b.timed {
		return context.WithTimeoutCause(ctx, b.timeout, ErrTimeout)
	}
	return b.server().patient(ctx)
}

func bytesOf(list []string) [][]byte {
	b := make([][]byte, len(list))
	for i, text := range list {
		b[i] = []byte(text)
	}
	return b
}
