// Package presence tells who is in the mesh: every instance publishes a heartbeat, hears everybody else's, and judges from
// them who is up, suspect or dead. It never gives a verdict that its own broken connection could explain. The judgement is
// plain code without IO or clock in verdict.go; run.go drives it, publish.go and probe.go are what it does. It knows nothing of links, sockets or rooms: whoever
// needs to react watches.
package presence

import (
	"bytes"
	"log/slog"
	"slices"
	"sync"
	"time"

	siomeshv1 "github.com/siomesh/siomesh/internal/gen/siomesh/v1"
	"github.com/siomesh/siomesh/internal/mesh"
	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Peer is what is known of one other instance. It is a value: a later heartbeat makes a new one.
type Peer struct {
	mesh.Address
	Info    *siomeshv1.Presence // the newest heartbeat; must not be changed. The last one of who left by itself has Goodbye
	Suspect bool                // somebody got no answer from it: hold what is meant for it until Recovered or Died
}

// Change says what happened to a peer.
type Change int

// The changes. An instance that was declared dead for its silence and then turns out to be alive comes Up again, as if it
// were new, under the same instance id; one that said goodbye never comes back.
const (
	Up        Change = iota // heard for the first time
	Updated                 // its newest heartbeat differs from the one before in more than the sequence number
	Suspected               // see Peers.Suspect
	Recovered               // a suspect's heartbeat arrived
	Died                    // it said goodbye or fell silent
)

// String returns the change in lower case, for logs.
func (c Change) String() string {
	names := [...]string{"up", "updated", "suspected", "recovered", "died"}
	if c < 0 || int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// Config holds the times of presence. The zero value of a field means its default.
type Config struct {
	Interval     time.Duration // between two heartbeats, and between two probes of the own connection; 500 ms
	SuspectFor   time.Duration // silence after which a suspect is dead; 700 ms
	DeadAfter    time.Duration // silence after which anybody is dead; 1.5 s
	ProbeTimeout time.Duration // without the own probe for so long, the connection is deaf; 1.5 s
	Settle       time.Duration // for the answers to arrive after everybody was asked; 200 ms
	Metrics      *Metrics      // nil counts nothing
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value    *time.Duration
		standard time.Duration
	}{
		{&c.Interval, 500 * time.Millisecond},
		{&c.SuspectFor, 700 * time.Millisecond},
		{&c.DeadAfter, 1500 * time.Millisecond},
		{&c.ProbeTimeout, 1500 * time.Millisecond},
		{&c.Settle, 200 * time.Millisecond},
	} {
		if *d.value <= 0 {
			*d.value = d.standard
		}
	}
	return c
}

// inboxLen is how many heartbeats may wait for Run; beyond it they wait in the receiver, which is bounded too.
const inboxLen = 64

// receiverLen is the capacity of the receiver of heartbeats.
const receiverLen = 1024

// Peers is one instance's view of all the others. Make it with New, give it watchers, then Run it; every other method is
// safe for concurrent use at any time, also inside a watcher.
type Peers struct {
	bus      bus.Bus
	subjects mesh.Subjects
	self     mesh.Address
	describe func(*siomeshv1.Presence)
	log      *slog.Logger
	cfg      Config
	watchers []func(Change, Peer) // fixed once Run has begun

	inbox chan *heartbeat // from the receiver to Run
	asked chan struct{}   // somebody published who; one token
	wake  chan struct{}   // state below changed, Run should look; one token
	heard chan struct{}   // closed by Run

	mu         sync.Mutex
	roster     *roster                      // guarded by mu; heartbeats and verdicts are applied by Run only
	suspects   map[mesh.InstanceID]struct{} // guarded by mu; reported by Suspect, not yet seen by Run
	announce   bool                         // guarded by mu; Announce was called
	reconnects int                          // guarded by mu; how often the bus changed its connection
}

// New returns the view of self, which must be a valid address. Describe is called on Run's goroutine for every heartbeat
// and fills in what others should know: load, namespaces, partitions, events, draining. It must not block; the identity,
// the sequence number and the goodbye are filled in by Peers.
func New(b bus.Bus, s mesh.Subjects, self mesh.Address, describe func(*siomeshv1.Presence), log *slog.Logger, cfg Config) *Peers {
	cfg = cfg.withDefaults()
	return &Peers{
		bus:      b,
		subjects: s,
		self:     self,
		describe: describe,
		log:      log.With(slog.String("instance", self.Instance.String())),
		cfg:      cfg,
		inbox:    make(chan *heartbeat, inboxLen),
		asked:    make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		heard:    make(chan struct{}),
		roster:   newRoster(cfg),
		suspects: map[mesh.InstanceID]struct{}{},
	}
}

// Watch has f called for every change, one at a time, on Run's goroutine. F must not block. Call it before Run only.
func (p *Peers) Watch(f func(Change, Peer)) { p.watchers = append(p.watchers, f) }

// Announce publishes a heartbeat at once, because what describe says has changed. Calls close together make one heartbeat.
// Before Run, or while the bus is disconnected, there is nothing to do: both begin with a heartbeat.
func (p *Peers) Announce() {
	p.mu.Lock()
	p.announce = true
	p.mu.Unlock()
	token(p.wake)
}

// Heard is closed once this instance has asked who is there, has heard its own probe, and the time for the answers has
// passed: from then on Live is complete.
func (p *Peers) Heard() <-chan struct{} { return p.heard }

// Live returns the peers of a kind that are not dead, suspects included, sorted by instance; never this instance itself.
func (p *Peers) Live(kind mesh.Kind) []Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []Peer
	for _, e := range p.roster.peers {
		if e.peer.Kind == kind {
			live = append(live, e.peer)
		}
	}
	slices.SortFunc(live, func(a, b Peer) int { return bytes.Compare(a.Instance[:], b.Instance[:]) })
	return live
}

// Peer returns what is known of a peer, and whether it is there (alive or suspect).
func (p *Peers) Peer(id mesh.InstanceID) (Peer, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.roster.peers[id]; e != nil {
		return e.peer, true
	}
	return Peer{}, false
}

// Dead reports whether id died and has not come back; the last few hundred that died are remembered. It says so before the
// watchers hear of the death.
func (p *Peers) Dead(id mesh.InstanceID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roster.gone.holds(id)
}

// Suspect tells that somebody got no responders for id. A live peer that is just reconnecting gives the same sign, so
// this only shortens the silence that id is allowed. Unknown and already suspect instances are ignored. It returns what Dead does.
func (p *Peers) Suspect(id mesh.InstanceID) (dead bool) {
	p.mu.Lock()
	e := p.roster.peers[id]
	dead = p.roster.gone.holds(id)
	report := e != nil && !e.peer.Suspect
	if report {
		p.suspects[id] = struct{}{}
	}
	p.mu.Unlock()
	if report {
		token(p.wake)
	}
	return dead
}

// Fresh reports whether id is certainly there: its heartbeats arrive, nobody suspects it, and this instance hears its own
// probe too, so that the lack of anything else from id is no fault of the connection.
func (p *Peers) Fresh(id mesh.InstanceID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roster.fresh(time.Now(), id)
}

// Healthy reports whether this instance heard its own probe within Config.ProbeTimeout. It is false before the first one.
func (p *Peers) Healthy() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.roster.healthy(time.Now())
}

// token puts one token into a channel of capacity one, if there is none.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
