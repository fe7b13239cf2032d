package bustest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Faults are what a Network does by itself when it steps. The zero value delivers everything, in random order between
// flows.
type Faults struct {
	Drop      float64       // probability that a held message, a request or an answer is lost
	Duplicate float64       // probability that a held message is delivered and held once more
	Pause     time.Duration // Run waits up to that long between two steps
}

// Network carries messages between the processes of a test, on a Memory, as a bad network would. It holds each message
// until it steps. A flow is what one process sends to one other, or publishes; within a flow the order never changes, any
// two flows overtake each other. Steps come from Run, or from the test: driven from one goroutine, with a seed, everything
// that happens is repeatable. Safe for concurrent use.
type Network struct {
	memory *bus.Memory
	wake   chan struct{} // something is held; for Run

	mu        sync.Mutex
	faults    Faults         // guarded by mu
	random    *rand.Rand     // guarded by mu
	flows     []*flow        // those with something held, oldest first; guarded by mu
	addresses []subscription // guarded by mu
}

// flow is one direction between two processes.
type flow struct {
	from    *Faulty
	to      *Faulty // nil for publishes, and for what has no addressee or several
	control bool
	held    []message
}

type message struct {
	subject, reply string
	data           []byte
	passed         func() // of a probe, which has no subject
}

type subscription struct {
	process  *Faulty
	pattern  string
	receiver *faultyReceiver
}

// Held is the message that a flow would deliver next.
type Held struct {
	From, To string // names of processes; To is empty for a publish, and where there is not one addressee
	Subject  string // empty for a probe
	Data     []byte // shared: do not change
}

// NewNetwork returns a network without processes. The seed decides everything that is random.
func NewNetwork(seed uint64, faults Faults) *Network {
	return &Network{
		memory: bus.NewMemory(),
		wake:   make(chan struct{}, 1),
		faults: faults,
		random: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // repeatable on purpose
	}
}

// Process returns the bus of a new process. A process that restarts is killed, and a new one made with the same name.
func (n *Network) Process(name string) *Faulty {
	return &Faulty{network: n, name: name, dead: make(chan struct{})}
}

// SetFaults changes what the next steps do.
func (n *Network) SetFaults(faults Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = faults
}

// Step lets the first message of a random flow go on, be lost or be repeated, and reports whether any was held. A message
// that goes on is in its receiver's queue when Step returns.
func (n *Network) Step() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.flows) == 0 {
		return false
	}
	i := n.random.IntN(len(n.flows))
	switch luck := n.random.Float64(); {
	case luck < n.faults.Drop:
		n.take(i)
	case luck < n.faults.Drop+n.faults.Duplicate:
		n.deliver(n.flows[i].from, n.flows[i].held[0])
	default:
		from := n.flows[i].from
		n.deliver(from, n.take(i))
	}
	return true
}

// Settle steps without faults until nothing is held.
func (n *Network) Settle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.flows) > 0 {
		i := n.random.IntN(len(n.flows))
		from := n.flows[i].from
		n.deliver(from, n.take(i))
	}
}

// Run steps until ctx ends, whenever something is held, and returns nil then.
func (n *Network) Run(ctx context.Context) error {
	for {
		var pause <-chan time.Time
		wake := n.wake
		if n.Step() {
			pause, wake = time.After(n.pause()), nil
		}
		select {
		case <-wake:
		case <-pause:
		case <-ctx.Done():
			return nil
		}
	}
}

// Held returns what may go next: one message of each flow. Its index is for Deliver, Drop and Repeat, and changes with
// every step and every send.
func (n *Network) Held() []Held {
	n.mu.Lock()
	defer n.mu.Unlock()
	var held []Held
	for _, f := range n.flows {
		h := Held{From: f.from.name, Subject: f.held[0].subject, Data: f.held[0].data}
		if f.to != nil {
			h.To = f.to.name
		}
		held = append(held, h)
	}
	return held
}

// Deliver lets the message at index i of Held go on.
func (n *Network) Deliver(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := n.flows[i].from
	n.deliver(from, n.take(i))
}

// Drop loses the message at index i of Held.
func (n *Network) Drop(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.take(i)
}

// Repeat delivers the message at index i of Held and goes on holding it.
func (n *Network) Repeat(i int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deliver(n.flows[i].from, n.flows[i].held[0])
}

// Close closes the bus below: every receiver's Run returns bus.ErrClosed.
func (n *Network) Close() { n.memory.Close() }

func (n *Network) pause() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.faults.Pause <= 0 {
		return 0
	}
	return time.Duration(n.random.Int64N(int64(n.faults.Pause)))
}

// hold is called with mu held.
func (n *Network) hold(from, to *Faulty, control bool, m message) {
	i := slices.IndexFunc(n.flows, func(f *flow) bool { return f.from == from && f.to == to && f.control == control })
	if i < 0 {
		i = len(n.flows)
		n.flows = append(n.flows, &flow{from: from, to: to, control: control})
	}
	n.flows[i].held = append(n.flows[i].held, m)
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take is called with mu held.
func (n *Network) take(i int) message {
	f := n.flows[i]
	m := f.held[0]
	if f.held = f.held[1:]; len(f.held) == 0 {
		n.flows = slices.Delete(n.flows, i, i+1)
	}
	return m
}

// deliver is called with mu held. The memory below neither waits nor calls back.
func (n *Network) deliver(from *Faulty, m message) {
	switch {
	case m.passed != nil:
		m.passed()
	case m.reply == "":
		n.memory.Publish(m.subject, m.data) //nolint:errcheck // too large was refused before, closed is the end of the test
	case n.reachable(m.subject):
		n.memory.Send(m.subject, m.reply, m.data) //nolint:errcheck // as above
	case !from.isDead():
		n.memory.Publish(m.reply, nil) //nolint:errcheck // as above
	}
}

// unlucky is called with mu held.
func (n *Network) unlucky() bool { return n.random.Float64() < n.faults.Drop }

// loseEnds is called with mu held.
func (n *Network) loseEnds(of *Faulty) {
	for _, f := range n.flows {
		if f.from == of {
			f.held = f.held[:n.random.IntN(len(f.held)+1)]
		}
	}
	n.flows = slices.DeleteFunc(n.flows, func(f *flow) bool { return len(f.held) == 0 })
}

func (n *Network) forget(r *faultyReceiver) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = slices.DeleteFunc(n.addresses, func(s subscription) bool { return s.receiver == r })
}

// reachable is called with mu held.
func (n *Network) reachable(subject string) bool {
	return slices.ContainsFunc(n.addresses, func(s subscription) bool {
		return !s.process.cut && !s.process.isDead() && bus.Matches(s.pattern, subject)
	})
}

// addressee is the one process that subscribes to subject, else nil; called with mu held.
func (n *Network) addressee(subject string) *Faulty {
	var found *Faulty
	for _, s := range n.addresses {
		switch {
		case !bus.Matches(s.pattern, subject), s.process == found:
		case found != nil:
			return nil
		default:
			found = s.process
		}
	}
	return found
}
