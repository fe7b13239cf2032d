package bustest

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/siomesh/siomesh/internal/mesh/bus"
)

// Faulty is the bus of one process on a Network. Besides being a bus it can be cut off, and killed. Its receivers hear
// nothing while it is cut off.
type Faulty struct {
	network *Network
	name    string
	dead    chan struct{} // closed under the network's mu

	cut      bool          // guarded by the network's mu
	watchers []*func(bool) // guarded by the network's mu
	telling  sync.Mutex    // one change at a time
	killing  sync.Once
}

var _ bus.Bus = (*Faulty)(nil)

// Cut disconnects the process. Of each flow from it, the network keeps a beginning of random length; what it sends now is
// refused, what is sent to it is lost.
func (f *Faulty) Cut() {
	f.telling.Lock()
	defer f.telling.Unlock()
	f.network.mu.Lock()
	changed := !f.cut
	f.cut = true
	if changed {
		f.network.loseEnds(f)
	}
	f.network.mu.Unlock()
	if changed {
		f.tell(false)
	}
}

// Heal ends a Cut.
func (f *Faulty) Heal() {
	f.telling.Lock()
	defer f.telling.Unlock()
	f.network.mu.Lock()
	changed := f.cut
	f.cut = false
	f.network.mu.Unlock()
	if changed {
		f.tell(true)
	}
}

// Kill ends the process: its receivers' Run and everything else returns bus.ErrClosed. What it sent may still arrive.
func (f *Faulty) Kill() {
	f.killing.Do(func() {
		f.network.mu.Lock()
		defer f.network.mu.Unlock()
		close(f.dead)
	})
}

// Publish implements bus.Bus.
func (f *Faulty) Publish(subject string, data []byte) error {
	return f.hold(true, message{subject: subject, data: data})
}

// Send implements bus.Bus.
func (f *Faulty) Send(subject, reply string, data []byte) error {
	return f.hold(false, message{subject: subject, reply: reply, data: data})
}

// Request implements bus.Bus. Requests are not held, but may be lost, and so may their answers.
func (f *Faulty) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		return nil, bus.ErrNoDeadline
	}
	f.network.mu.Lock()
	err := f.sendable(data)
	reachable := f.network.reachable(subject)
	lost, lostBack := f.network.unlucky(), f.network.unlucky()
	f.network.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case lost:
	case !reachable:
		return nil, bus.ErrNoResponders
	default:
		answer, err := f.request(ctx, subject, data)
		if err != nil || !lostBack {
			return answer, err
		}
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-f.dead:
		return nil, bus.ErrClosed
	}
}

// Respond implements bus.Bus. Answers to requests are not held.
func (f *Faulty) Respond(m bus.Msg, data []byte) error {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	if err := f.sendable(data); err != nil {
		return err
	}
	return f.network.memory.Respond(m, data)
}

// NewReceiver implements bus.Bus.
func (f *Faulty) NewReceiver(lane bus.Lane, capacity int) bus.Receiver {
	return &faultyReceiver{Receiver: f.network.memory.NewReceiver(lane, capacity), process: f}
}

// MaxPayload implements bus.Bus.
func (f *Faulty) MaxPayload() int { return f.network.memory.MaxPayload() }

// Connected implements bus.Bus.
func (f *Faulty) Connected() bool {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	return !f.cut && !f.isDead()
}

// Watch implements bus.Bus: on the goroutine that cuts and heals.
func (f *Faulty) Watch(watch func(connected bool)) (stop func()) {
	f.network.mu.Lock()
	defer f.network.mu.Unlock()
	added := &watch
	f.watchers = append(f.watchers, added)
	return func() {
		f.network.mu.Lock()
		defer f.network.mu.Unlock()
		f.watchers = slices.DeleteFunc(slices.Clone(f.watchers), func(w *func(bool)) bool { return w == added })
	}
}

// Probe implements bus.Bus: it travels behind everything this process has sent, in each flow.
func (f *Faulty) Probe(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		return bus.ErrNoDeadline
	}
	passed := make(chan struct{})
	if err := f.probe(passed); err != nil {
		return err
	}
	select {
	case <-passed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-f.dead:
		return bus.ErrClosed
	}
}

// ForceReconnect implements bus.Bus: a cut that heals at once.
func (f *Faulty) ForceReconnect() {
	if f.Connected() {
		f.Cut()
		f.Heal()
	}
}

func (f *Faulty) hold(control bool, m message) error {
	n := f.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := f.sendable(m.data); err != nil {
		return err
	}
	m.data = bytes.Clone(m.data)
	var to *Faulty
	if !control {
		to = n.addressee(m.subject)
	}
	n.hold(f, to, control, m)
	return nil
}

// request ends when the process is killed, too.
func (f *Faulty) request(ctx context.Context, subject string, data []byte) (answer []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		answer, err = f.network.memory.Request(ctx, subject, data)
	}()
	select {
	case <-done:
		return answer, err
	case <-f.dead:
		cancel()
		<-done
		return nil, bus.ErrClosed
	}
}

// probe puts a mark behind each of the process's flows, and into its publishes in any case.
func (f *Faulty) probe(passed chan struct{}) error {
	n := f.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := f.sendable(nil); err != nil {
		return err
	}
	var left atomic.Int32
	mark := func() message {
		left.Add(1)
		return message{passed: sync.OnceFunc(func() {
			if left.Add(-1) == 0 {
				close(passed)
			}
		})}
	}
	for _, flow := range n.flows {
		if flow.from == f && !flow.control {
			flow.held = append(flow.held, mark())
		}
	}
	n.hold(f, nil, true, mark())
	return nil
}

// tell is called with telling held.
func (f *Faulty) tell(connected bool) {
	f.network.mu.Lock()
	watchers := slices.Clone(f.watchers)
	f.network.mu.Unlock()
	for _, watch := range watchers {
		(*watch)(connected)
	}
}

// sendable is called with the network's mu held.
func (f *Faulty) sendable(data []byte) error {
	switch {
	case f.isDead():
		return bus.ErrClosed
	case len(data) > f.network.memory.MaxPayload():
		return bus.ErrTooLarge
	case f.cut:
		return bus.ErrDisconnected
	}
	return nil
}

func (f *Faulty) isDead() bool {
	select {
	case <-f.dead:
		return true
	default:
		return false
	}
}
