package bus

import (
	"context"
	"encoding/binary"
	"sync"
)

// probes are the messages of this bus to itself that have not come back yet.
type probes struct {
	mu      sync.Mutex
	last    uint64                   // guarded by mu
	waiting map[uint64]chan struct{} // guarded by mu
}

// Probe implements Bus: a message crosses from each of the two connections to the other, through the server or servers.
func (n *NATS) Probe(ctx context.Context) error {
	if err := checkRequest(ctx, nil, 0); err != nil {
		return err
	}
	if !n.isClosed() && !n.Connected() {
		return ErrDisconnected // the connection that is still up may not have noticed yet, and would wait
	}
	if err := n.cross(ctx, n.control, n.data); err != nil {
		return err
	}
	return n.cross(ctx, n.data, n.control)
}

// cross returns nil once a message published on one connection came in on the other.
func (n *NATS) cross(ctx context.Context, from, to *connection) error {
	if n.isClosed() {
		return ErrClosed
	}
	number, heard := n.probes.open()
	defer n.probes.close(number)
	if err := from.Publish(to.inbox, binary.BigEndian.AppendUint64(nil, number)); err != nil {
		return translate(err)
	}
	select {
	case <-heard:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.closed:
		return ErrClosed
	}
}

// crossWithin is one of several attempts: it takes a fraction of a second, also to find that there is no connection.
func (n *NATS) crossWithin(ctx context.Context, from, to *connection) error {
	ctx, cancel := context.WithTimeout(ctx, settleRetry)
	defer cancel()
	err := n.cross(ctx, from, to)
	if err != nil {
		select {
		case <-ctx.Done():
		case <-n.closed:
		}
	}
	return err
}

func (p *probes) open() (number uint64, heard chan struct{}) {
	heard = make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	p.waiting[p.last] = heard
	return p.last, heard
}

func (p *probes) close(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, number)
}

func (p *probes) heard(data []byte) {
	if len(data) != 8 {
		return
	}
	number := binary.BigEndian.Uint64(data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if heard := p.waiting[number]; heard != nil {
		delete(p.waiting, number)
		close(heard)
	}
}
