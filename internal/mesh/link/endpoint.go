package link

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
	"github.com/siomesh/siomesh/internal/mesh/wire"
)

// Endpoint is one instance's end of all its links, in both directions. Safe for concurrent use.
//
// What happens to it happens in turns: a received frame, a tick, a function given to Do. One turn is taken at a time, under
// the lock turn; "on the reader goroutine" means in a turn. Locks are taken in the order turn, Link.mu, mu, the others.
type Endpoint struct {
	bus      bus.Bus
	subjects mesh.Subjects
	self     mesh.Address
	handler  Handler
	log      *slog.Logger
	cfg      Config
	fragment int // largest body of a fragment
	segments segments
	ready    chan struct{}
	done     chan struct{} // closed when Run returns
	jobs     chan func()   // given to Do; received in a turn only
	alarm    chan struct{} // wakes the ticker
	tick     ticker

	turn    sync.Mutex
	record  wire.Record // guarded by turn: scratch
	unended int         // guarded by turn: frames taken since the handler's EndFrame
	more    bool        // guarded by turn: another message was waiting when the last one came
	due     []*peer     // guarded by turn: those that a mark is due to
	refused []*refusal  // guarded by turn: to be repeated
	dropped []*peer     // guarded by turn: the dead whose link numbers are remembered, oldest first

	mu      sync.RWMutex
	peers   map[mesh.Address]*peer // guarded by mu
	number  uint32                 // guarded by mu: of the link opened last
	stopped bool                   // guarded by mu

	choresMu sync.Mutex
	chores   []func()     // guarded by choresMu: to be run in a turn
	waiting  atomic.Int32 // how many chores
}

// peer is an instance this one has heard of or talks to.
type peer struct {
	address mesh.Address
	subject string // where its endpoint listens to us
	notice  string // where we listen for its absence
	marks   reverse

	in       receiver // guarded by Endpoint.turn
	unmarked load     // guarded by Endpoint.turn: taken since the last mark was given
	listed   bool     // guarded by Endpoint.turn: in Endpoint.due
	dead     bool     // guarded by Endpoint.turn: in Endpoint.dropped

	out *Link // guarded by Endpoint.mu: opened last
}

// NewEndpoint returns the endpoint of the instance self. It does nothing before Run, but records may be appended.
func NewEndpoint(b bus.Bus, s mesh.Subjects, self mesh.Address, h Handler, log *slog.Logger, cfg Config) *Endpoint {
	e := &Endpoint{
		bus:      b,
		subjects: s,
		self:     self,
		handler:  h,
		log:      log,
		cfg:      cfg.withDefaults(),
		fragment: fragmentSize(b.MaxPayload()),
		ready:    make(chan struct{}),
		done:     make(chan struct{}),
		jobs:     make(chan func(), maxJobs),
		alarm:    make(chan struct{}, 1),
		peers:    map[mesh.Address]*peer{},
	}
	e.tick.setUp(e.cfg)
	return e
}

// Self returns the address of this instance.
func (e *Endpoint) Self() mesh.Address { return e.self }

// Ready is closed once Run has subscribed.
func (e *Endpoint) Ready() <-chan struct{} { return e.ready }

// Link returns the open link to an instance; it opens one if there is none, or if the last one broke. After Run it is a
// broken one.
func (e *Endpoint) Link(to mesh.Address) *Link {
	e.mu.RLock()
	if p := e.peers[to]; p != nil && p.out != nil && !p.out.ended.Load() {
		defer e.mu.RUnlock()
		return p.out
	}
	e.mu.RUnlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.peer(to)
	if p.out == nil || p.out.ended.Load() {
		e.number++
		p.out = &Link{endpoint: e, peer: p, s: sender{
			number:   e.number,
			window:   load{e.cfg.WindowBytes, e.cfg.WindowRecords},
			frame:    min(maxFrameBytes, e.bus.MaxPayload()),
			segments: &e.segments,
		}}
		if e.stopped {
			p.out.stillborn()
		}
	}
	return p.out
}

// Drop forgets an instance that is dead, in both directions; its link breaks with ErrPeerDead at once. Should it send on an
// old link all the same, it is told that this has ended.
func (e *Endpoint) Drop(id mesh.InstanceID) {
	for _, p := range e.known() {
		if p.address.Instance == id {
			if l := e.out(p); l != nil {
				l.end(ErrPeerDead)
			}
			e.soon(func() { e.bury(p) })
		}
	}
}

// Refuse takes nothing more of the link of an instance: that breaks there, and what comes is on a new one. Then runs in the same
// turn, behind all that was taken. Once the endpoint stops, nothing happens. It may be called under any lock.
func (e *Endpoint) Refuse(id mesh.InstanceID, reason string, then func()) {
	e.soon(func() {
		if e.halted() {
			return
		}
		for _, p := range e.known() {
			if p.address.Instance == id && p.in.number != 0 && !p.in.ended {
				e.refuseRest(p, reason)
				e.refuseAgain(p, reason)
			}
		}
		then()
	})
}

// Do runs f on the reader goroutine soon, after what was given to Do before. It waits while many functions wait already, so
// it must not be called on that goroutine: there is no need to. Once Run has returned, f is dropped.
func (e *Endpoint) Do(f func()) {
	select {
	case e.jobs <- f:
		wake(e.alarm)
	case <-e.done:
	}
}

// maxJobs is how many functions given to Do may wait.
const maxJobs = 1024

// peer returns the peer at an address. It is called with mu held for writing.
func (e *Endpoint) peer(a mesh.Address) *peer {
	p := e.peers[a]
	if p == nil {
		a.Kind, a.App = mesh.Kind(strings.Clone(string(a.Kind))), strings.Clone(a.App) // may be views of a subject
		p = &peer{
			address: a,
			subject: e.subjects.In(a, mesh.From(e.self)),
			notice:  e.subjects.In(e.self, nobody+a.Instance.String()),
			in:      receiver{parts: assembly{limit: e.cfg.MaxRecord}},
		}
		e.peers[a] = p
	}
	return p
}

// known returns all peers.
func (e *Endpoint) known() []*peer {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]*peer, 0, len(e.peers))
	for _, p := range e.peers {
		all = append(all, p)
	}
	return all
}

// linksTo returns the links to an instance.
func (e *Endpoint) linksTo(id mesh.InstanceID) (links []*Link) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for to, p := range e.peers {
		if to.Instance == id && p.out != nil {
			links = append(links, p.out)
		}
	}
	return links
}

func (e *Endpoint) halted() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.stopped
}

func (e *Endpoint) out(p *peer) *Link {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return p.out
}

// maxDropped is how many of the dead are remembered.
const maxDropped = 1024

// bury ends the incoming link of a dead peer. Its number is remembered for a while, lest a late frame of it begin a link.
func (e *Endpoint) bury(p *peer) {
	p.in.end()
	p.marks.clear()
	if p.dead {
		return
	}
	p.dead = true
	e.dropped = append(e.dropped, p)
	for len(e.dropped) > maxDropped {
		oldest := e.dropped[0]
		e.dropped[0] = nil
		e.dropped = e.dropped[1:]
		e.mu.Lock()
		if oldest.dead && (oldest.out == nil || oldest.out.ended.Load()) {
			delete(e.peers, oldest.address)
		}
		oldest.dead = false
		e.mu.Unlock()
	}
}

// Run subscribes, reads, resends and gives verdicts until ctx ends; then every link breaks with ErrStopped.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer e.stop()
	receiver := e.bus.NewReceiver(bus.Data, e.cfg.Queue)
	if err := receiver.Subscribe(e.subjects.InAll(e.self), "", e.receive); err != nil {
		return fmt.Errorf("listen to links: %w", err)
	}
	unwatch := e.bus.Watch(func(connected bool) {
		if connected {
			e.tick.reconnected.Store(true)
			wake(e.alarm)
		}
	})
	defer unwatch()
	var group sync.WaitGroup
	group.Go(func() { e.runTicker(ctx) })
	close(e.ready)
	err := receiver.Run(ctx)
	cancel()
	group.Wait()
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	return nil
}
