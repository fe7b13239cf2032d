package edge

import (
	"fmt"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/internal/mesh/wire"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// A broadcast with acknowledgement is encoded once, so all its recipients here get one acknowledgement id. The instance that
// asks hears first which sockets those are, then their answers as they come, and at the end, when nobody is left to answer or
// the time is over, who was silent.

// firstAskID is above the ids of the requests to single sockets, and with the lowest 30 bits counting stays below 2³¹: there are
// clients that hold an id in 32 bits.
const firstAskID = 1 << 30

// ask is one such broadcast.
type ask struct {
	id      uint64
	to      mesh.InstanceID // the app instance that asks
	request uint64          // its number there
	timer   *time.Timer

	// Guarded by asks.mu.
	waiting map[*socket]struct{} // have not answered
	silent  []string             // will not answer: they left, or could not be asked
}

// asks are the broadcasts that wait for acknowledgements. Safe for concurrent use; conn.mu may be held.
type asks struct {
	mu   sync.Mutex
	next uint64          // guarded by mu
	open map[uint64]*ask // guarded by mu
}

// add makes a new one.
func (a *asks) add(r *wire.Record) *ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open = map[uint64]*ask{}
	}
	for taken := true; taken; { // after 2³⁰ of them an id comes again
		a.next = (a.next + 1) % firstAskID
		_, taken = a.open[firstAskID+a.next]
	}
	k := &ask{id: firstAskID + a.next, to: r.Origin, request: r.Ack, waiting: map[*socket]struct{}{}}
	a.open[k.id] = k
	return k
}

// done takes a socket off the ask of an id, as silent or not. It returns the ask, nil if it does not wait for that socket, and
// whether nobody is left.
func (a *asks) done(id uint64, sk *socket, silent bool) (k *ask, last bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k = a.open[id]; k == nil {
		return nil, false
	}
	if _, waits := k.waiting[sk]; !waits {
		return nil, false
	}
	delete(k.waiting, sk)
	if silent {
		k.silent = append(k.silent, sk.id)
	}
	if last = len(k.waiting) == 0; last {
		delete(a.open, id)
	}
	return k, last
}

// end takes an ask away whose time is over, and returns the sockets that have not answered; false if it has ended before.
func (a *asks) end(k *ask) (late []*socket, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[k.id] != k {
		return nil, false
	}
	delete(a.open, k.id)
	for sk := range k.waiting {
		late = append(late, sk)
		k.silent = append(k.silent, sk.id)
	}
	k.waiting = nil
	return late, true
}

// ask sends a broadcast with acknowledgement to the sockets it selects. It runs on the reader goroutine of the links.
func (s *Service) ask(r *wire.Record) error {
	rooms, except, within, body, err := wire.ReadAsk(r.Body)
	if err != nil {
		return fmt.Errorf("ask: %w", err) // rooms has read it too
	}
	p, err := s.packet(body)
	if err != nil {
		s.ignored(r, err)
		s.toAsker(&s.batch, r.Origin, &wire.Record{Kind: wire.KindAskEnd, Flags: wire.FlagControl, Ack: r.Ack, Body: wire.AppendStrings(nil, nil)})
		return nil
	}
	k := s.asks.add(r)
	s.recipients = s.index.selection(s.recipients[:0], r.Namespace, rooms, except)
	ids := s.expect(k, r)
	s.toAsker(&s.batch, k.to, &wire.Record{Kind: wire.KindAskIDs, Flags: wire.FlagControl, Ack: k.request, Body: wire.AppendStrings(nil, ids)})
	out, err := s.outgoing(protocol.Event, r.Flags, r.Namespace, fmt.Append(nil, k.id), p)
	if err != nil { // then all are silent
		s.ignored(r, err)
		clear(s.recipients)
		s.recipients = s.recipients[:0]
	}
	for _, sk := range s.recipients {
		s.deliver(sk.conn, r.Flags, out)
		if sk.watched.Load() {
			sk.copy(&s.batch, body)
		}
	}
	clear(s.recipients)
	s.startAsk(k, within)
	return nil
}

// expect has the recipients answer an ask, and returns their ids. Those that cannot be asked are silent, but get the event as
// the others do.
func (s *Service) expect(k *ask, r *wire.Record) (ids []string) {
	kept := s.recipients[:0]
	for _, sk := range s.recipients {
		sk.conn.mu.Lock()
		if sk.state != joined || r.Flags&wire.FlagLocal != 0 && sk.app.addr.Instance != r.Origin {
			sk.conn.mu.Unlock()
			continue
		}
		kept, ids = append(kept, sk), append(ids, sk.id)
		s.asks.mu.Lock()
		if sk.flow.waiting < s.cfg.MaxHeld && sk.acks.ask(k.id, s.cfg.MaxAcks) {
			k.waiting[sk] = struct{}{}
			sk.conn.unblock(sk) // the answer must get through, whatever is held
		} else {
			k.silent = append(k.silent, sk.id)
		}
		s.asks.mu.Unlock()
		sk.conn.mu.Unlock()
	}
	s.recipients = kept
	return ids
}

// startAsk lets the time of an ask run, or ends it if there is nobody to answer.
func (s *Service) startAsk(k *ask, within time.Duration) {
	s.asks.mu.Lock()
	_, open := s.asks.open[k.id]
	empty := open && len(k.waiting) == 0
	if open && !empty {
		k.timer = time.AfterFunc(within, func() { s.askOver(k) })
	}
	s.asks.mu.Unlock()
	if empty {
		if _, ok := s.asks.end(k); ok {
			s.tellEnd(&s.batch, k)
		}
	}
}

// askOver ends an ask whose time is over.
func (s *Service) askOver(k *ask) {
	late, ok := s.asks.end(k)
	if !ok {
		return
	}
	var b link.Batch
	defer b.Flush()
	s.tellEnd(&b, k)
	for _, sk := range late {
		c := sk.conn
		c.mu.Lock()
		sk.acks.unask(k.id)
		if sk.state == joined {
			c.blockAgain(sk)
		}
		c.mu.Unlock()
	}
}

// answer passes a client's answer to an ask on; conn.mu is held. If there is no room on the way, the client counts as silent.
func (s *Service) answer(b *link.Batch, sk *socket, id uint64, packet wire.Packet) {
	s.asks.mu.Lock()
	k := s.asks.open[id]
	s.asks.mu.Unlock()
	if k == nil {
		return
	}
	body := wire.AppendPacket(wire.AppendReply(nil, sk.id), packet)
	sent := s.toAsker(b, k.to, &wire.Record{Kind: wire.KindAskReply, Ack: k.request, Body: body})
	s.left(b, sk, id, !sent)
}

// left takes a socket off an ask; conn.mu is held.
func (s *Service) left(b *link.Batch, sk *socket, id uint64, silent bool) {
	if k, last := s.asks.done(id, sk, silent); last {
		s.tellEnd(b, k)
	}
}

// tellEnd says that no more answers come.
func (s *Service) tellEnd(b *link.Batch, k *ask) {
	s.asks.mu.Lock()
	silent, timer := k.silent, k.timer
	s.asks.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	s.toAsker(b, k.to, &wire.Record{Kind: wire.KindAskEnd, Flags: wire.FlagControl, Ack: k.request, Body: wire.AppendStrings(nil, silent)})
}
