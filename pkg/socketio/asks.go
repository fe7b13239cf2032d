package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// asks are the broadcasts of this instance that wait for acknowledgements. Of each,
//
//	rooms says which edges it went to → each edge says which sockets it went to, passes on their replies, and says the end
//
// in no order between the senders. It is complete when every edge that rooms named has ended, by its word or by its death.
type asks struct {
	mu   sync.Mutex
	open map[uint64]*ask              // guarded by mu
	seen map[mesh.InstanceID]struct{} // guarded by mu; edges that have opened a link
}

// ask is one of them.
type ask struct {
	partition uint8
	wake      chan struct{} // one token: something has happened

	mu      sync.Mutex
	named   bool                         // guarded by mu; rooms has said which edges
	edges   map[mesh.InstanceID]*askEdge // guarded by mu
	replies []Reply                      // guarded by mu; not taken yet
	silent  []string                     // guarded by mu; will not reply
	failure error                        // guarded by mu; why nothing more will come
}

// askEdge is what is known of an edge's part.
type askEdge struct {
	named, ended bool
	waiting      map[string]struct{} // ids that have not replied
}

func (a *asks) add(id uint64, partition uint8) *ask {
	k := &ask{partition: partition, wake: make(chan struct{}, 1), edges: map[mesh.InstanceID]*askEdge{}}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = map[uint64]*ask{}
	}
	a.open[id] = k
	return k
}

func (a *asks) remove(id uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, id)
}

func (a *asks) get(id uint64) *ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.open[id]
}

func (a *asks) each(f func(*ask)) {
	a.mu.Lock()
	open := make([]*ask, 0, len(a.open))
	for _, k := range a.open {
		open = append(open, k)
	}
	a.mu.Unlock()
	for _, k := range open {
		f(k)
	}
}

// opened notes that a link of an edge begins. After an earlier one some of what the edge said is lost: the part of an edge of
// which nobody knows whom it asked cannot come to an end.
func (a *asks) opened(id mesh.InstanceID) {
	a.mu.Lock()
	_, again := a.seen[id]
	if a.seen == nil {
		a.seen = map[mesh.InstanceID]struct{}{}
	}
	a.seen[id] = struct{}{}
	a.mu.Unlock()
	if again {
		a.cut(id)
	}
}

// cut notes that some of what an edge said is lost.
func (a *asks) cut(id mesh.InstanceID) {
	a.each(func(k *ask) {
		k.update(func() {
			switch e := k.edges[id]; {
			case e == nil || e.ended:
			case e.waiting == nil:
				k.failure = ErrLost
			default:
				k.end(e, nil)
			}
		})
	})
}

// edgeDied is edgeGone of an instance that nothing more comes from: rooms may name it yet.
func (a *asks) edgeDied(id mesh.InstanceID) {
	a.forget(id)
	a.each(func(k *ask) { k.update(func() { k.end(k.edge(id), nil) }) })
}

func (a *asks) forget(id mesh.InstanceID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, id)
}

// edgeGone ends the part of an edge whose registration has ended; it may register again and be asked then.
func (a *asks) edgeGone(id mesh.InstanceID) {
	a.forget(id)
	a.each(func(k *ask) {
		k.update(func() {
			if e := k.edges[id]; e != nil {
				k.end(e, nil)
			}
		})
	})
}

// lost fails those that rooms may never have taken.
func (a *asks) lost(partition uint8) {
	a.each(func(k *ask) {
		k.update(func() {
			if !k.named && k.partition == partition {
				k.failure = ErrLost
			}
		})
	})
}

// operationsLost hears that operations of a partition were lost.
func (s *Server) operationsLost(partition uint8) {
	s.asks.lost(partition)
	s.polls.lost(partition)
	s.reportAgain(partition)
}

// edge returns an edge's part. The caller holds mu.
func (k *ask) edge(id mesh.InstanceID) *askEdge {
	e := k.edges[id]
	if e == nil {
		e = &askEdge{}
		k.edges[id] = e
	}
	return e
}

// end ends an edge's part: its sockets that have not replied are silent, and those it names too. The caller holds mu.
func (k *ask) end(e *askEdge, silent []string) {
	if e.ended {
		return
	}
	e.ended = true
	for _, id := range silent {
		delete(e.waiting, id)
	}
	k.silent = append(k.silent, silent...)
	for id := range e.waiting {
		k.silent = append(k.silent, id)
	}
	e.waiting = nil
}

// update changes something and wakes who waits.
func (k *ask) update(change func()) {
	k.mu.Lock()
	change()
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// take returns the replies that have come since the last time, and whether that is the end: all have come that will, or over
// says why nobody waits any longer. At the end each of the asked is among the replies or the missing.
func (k *ask) take(over error) (replies []Reply, end bool, missing *MissingError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	replies, k.replies = k.replies, nil
	complete := k.named
	for _, e := range k.edges {
		complete = complete && (e.ended || !e.named)
	}
	switch {
	case k.failure != nil:
		return replies, true, &MissingError{SocketIDs: k.missing(), Err: k.failure}
	case complete:
		ids, reason := k.missing(), ErrDisconnected
		if len(ids) == 0 {
			return replies, true, nil
		}
		if errors.Is(over, ErrTimeout) { // they may have been asked no longer than that, and be there
			reason = over
		}
		return replies, true, &MissingError{SocketIDs: ids, Err: reason}
	case over != nil:
		return replies, true, &MissingError{SocketIDs: k.missing(), Err: over}
	default:
		return replies, false, nil
	}
}

// missing returns the ids of those that have not replied, sorted. The caller holds mu.
func (k *ask) missing() []string {
	missing := slices.Clone(k.silent)
	for _, e := range k.edges {
		for id := range e.waiting {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return missing
}

// asked takes what rooms says: the edges. One that is dead by now has ended.
func (s *Server) asked(r *wire.Record) error {
	list, err := wire.ParseStrings(r.Body)
	if err != nil {
		return fmt.Errorf("edges asked: %w", err)
	}
	k := s.asks.get(r.Ack)
	if k == nil {
		return nil
	}
	var failure error
	k.update(func() {
		k.named = true
		for _, text := range list {
			id, err := mesh.ParseInstanceID(text)
			if err != nil {
				failure = fmt.Errorf("edges asked: %w", err)
				return
			}
			k.edge(id).named = true
		}
	})
	return failure
}

// askedOf takes what an edge says of a broadcast with acknowledgement.
func (s *Server) askedOf(edge mesh.InstanceID, r *wire.Record) error {
	if r.Kind == wire.KindAskReply {
		return s.replied(edge, r)
	}
	ids, err := wire.ParseStrings(r.Body)
	if err != nil {
		return fmt.Errorf("sockets asked: %w", err)
	}
	k := s.asks.get(r.Ack)
	if k == nil {
		return nil // nobody waits any more
	}
	k.update(func() {
		e := k.edge(edge)
		switch {
		case r.Kind == wire.KindAskEnd:
			k.end(e, ids)
		case !e.ended:
			e.waiting = make(map[string]struct{}, len(ids))
			for _, id := range ids {
				e.waiting[id] = struct{}{}
			}
		}
	})
	return nil
}

func (s *Server) replied(edge mesh.InstanceID, r *wire.Record) error {
	id, packet, err := wire.ReadReply(r.Body)
	if err == nil {
		_, err = wire.ParsePacket(packet, nil)
	}
	if err != nil {
		return fmt.Errorf("reply to a broadcast: %w", err)
	}
	k := s.asks.get(r.Ack)
	if k == nil {
		return nil
	}
	args, err := decodeAck(bytes.Clone(packet))
	if err != nil {
		return err
	}
	k.update(func() {
		e := k.edge(edge)
		if _, waits := e.waiting[id]; waits {
			delete(e.waiting, id)
			k.replies = append(k.replies, Reply{SocketID: id, args: args.first()})
		}
	})
	return nil
}
