package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
)

// NATS is the bus over a NATS server or cluster. It holds two connections, so that control traffic never waits behind data;
// each reconnects for ever. While one is down, what would travel on it is refused with ErrDisconnected; what was on its way
// at the cut is lost without an error.
type NATS struct {
	data, control *connection
	watchers      watchers
	probes        probes
	log           *slog.Logger
	slow          atomic.Bool // a full receiver was logged
	closing       sync.Once
	closed        chan struct{}
}

var _ Bus = (*NATS)(nil)

// connection is one of the two.
type connection struct {
	*nats.Conn
	lane  string // "data" or "control", for logs
	inbox string // where this bus's own probes come in on this connection
	up    atomic.Bool
}

// Publish implements Bus.
func (n *NATS) Publish(subject string, data []byte) error {
	return translate(n.control.Publish(subject, data))
}

// Send implements Bus.
func (n *NATS) Send(subject, reply string, data []byte) error {
	return translate(n.data.PublishRequest(subject, reply, data))
}

// Request implements Bus.
func (n *NATS) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := checkRequest(ctx, data, n.MaxPayload()); err != nil {
		return nil, err
	}
	m, err := n.control.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, translate(err)
	}
	return m.Data, nil
}

// Respond implements Bus.
func (n *NATS) Respond(m Msg, data []byte) error {
	return n.Publish(m.Reply, data)
}

// NewReceiver implements Bus.
func (n *NATS) NewReceiver(lane Lane, capacity int) Receiver {
	return n.newReceiver(lane, capacity, "")
}

// MaxPayload implements Bus: what the server says.
func (n *NATS) MaxPayload() int { return int(n.data.MaxPayload()) }

// Connected implements Bus: both connections are up.
func (n *NATS) Connected() bool {
	return !n.isClosed() && n.data.up.Load() && n.control.up.Load()
}

// Watch implements Bus.
func (n *NATS) Watch(f func(connected bool)) (stop func()) { return n.watchers.add(f) }

// ForceReconnect implements Bus. A connection whose socket takes no more bytes may hold the call for the write timeout,
// 5 seconds.
func (n *NATS) ForceReconnect() {
	for _, c := range []*connection{n.data, n.control} {
		if err := c.ForceReconnect(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			n.log.Warn("NATS connection cannot be renewed", slog.String("lane", c.lane), slog.Any("err", err))
		}
	}
}

// Close writes what was published, closes both connections and ends the Run of all receivers with ErrClosed, which every
// later call returns too.
func (n *NATS) Close() {
	n.closing.Do(func() { close(n.closed) })
	for _, c := range []*connection{n.data, n.control} {
		if c.Conn != nil { // Dial may have failed in between
			c.Close()
		}
		c.up.Store(false)
	}
	n.watchers.update(n.Connected)
}

// Conn returns the connection of a lane, for protocols that need more of NATS than a Bus has, such as headers. It reconnects for
// ever and is closed by Close.
func (n *NATS) Conn(l Lane) *nats.Conn {
	own, _ := n.lane(l)
	return own.Conn
}

// lane returns the connection of a lane and the other one.
func (n *NATS) lane(l Lane) (own, other *connection) {
	if l == Data {
		return n.data, n.control
	}
	return n.control, n.data
}

func (n *NATS) isClosed() bool {
	select {
	case <-n.closed:
		return true
	default:
		return false
	}
}

// translate turns the errors of nats.go that callers branch on into those of this package.
func translate(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected),
		errors.Is(err, nats.ErrConnectionReconnecting):
		return ErrDisconnected
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrInvalidConnection):
		return ErrClosed
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrTooLarge
	}
	return err
}
