package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
)

// Dial connects to the NATS servers of a URL, or a comma-separated list of them. It tries until it succeeds, ctx ends or
// ConnectTimeout has passed, and logs why it waits; a malformed URL and missing files fail at once. The bus belongs to the
// caller, who closes it.
func Dial(ctx context.Context, url string, options NATSOptions) (*NATS, error) {
	options = options.withDefaults()
	if err := options.check(url); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, options.ConnectTimeout)
	defer cancel()
	n := &NATS{
		data:    &connection{lane: "data"},
		control: &connection{lane: "control"},
		probes:  probes{waiting: map[uint64]chan struct{}{}},
		log:     options.Log,
		closed:  make(chan struct{}),
	}
	n.watchers.state = true
	for _, c := range []*connection{n.data, n.control} {
		if err := n.connect(ctx, c, url, options); err != nil {
			n.Close()
			return nil, fmt.Errorf("connect to NATS at %s: %w", withoutSecrets(url), err)
		}
	}
	n.log.Info("connected to NATS", slog.String("server", n.data.ConnectedUrlRedacted()))
	return n, nil
}

func (n *NATS) connect(ctx context.Context, c *connection, url string, options NATSOptions) error {
	handlers := append(options.options(c.lane),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { n.disconnected(c, err) }),
		nats.ReconnectHandler(func(conn *nats.Conn) { n.reconnected(c, conn) }),
		nats.ErrorHandler(func(_ *nats.Conn, s *nats.Subscription, err error) { n.failed(c, s, err) }),
	)
	var logged time.Time
	for {
		c.up.Store(true) // before a handler can say otherwise
		conn, err := nats.Connect(url, handlers...)
		if err == nil {
			c.Conn = conn
			return n.listen(ctx, c)
		}
		c.up.Store(false)
		if time.Since(logged) >= dialLogEvery {
			logged = time.Now()
			n.log.Warn("waiting for NATS", slog.String("server", withoutSecrets(url)), slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(dialPause):
		}
	}
}

// listen subscribes to the connection's own probes and waits until the server knows.
func (n *NATS) listen(ctx context.Context, c *connection) error {
	c.inbox = c.NewInbox()
	if _, err := c.Subscribe(c.inbox, func(m *nats.Msg) { n.probes.heard(m.Data) }); err != nil {
		return translate(err)
	}
	return translate(c.FlushWithContext(ctx))
}

func (n *NATS) disconnected(c *connection, err error) {
	c.up.Store(false)
	n.log.Warn("disconnected from NATS", slog.String("lane", c.lane), slog.Any("err", err))
	n.watchers.update(n.Connected)
}

// reconnected waits for the server to have read the subscriptions, which nats.go has only written: what the other
// connection publishes could overtake them.
func (n *NATS) reconnected(c *connection, conn *nats.Conn) {
	for conn.FlushTimeout(dialTimeout) != nil {
		if !conn.IsConnected() {
			return // the next reconnect is told too
		}
	}
	c.up.Store(true)
	n.log.Info("reconnected to NATS", slog.String("lane", c.lane))
	n.watchers.update(n.Connected)
}

// failed hears what no call returned: refused permissions, and messages lost because a receiver was full, which the
// receiver counts and the log tells once.
func (n *NATS) failed(c *connection, s *nats.Subscription, err error) {
	attrs := []any{slog.String("lane", c.lane), slog.Any("err", err)}
	if s != nil {
		attrs = append(attrs, slog.String("subject", s.Subject))
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrAuthorization):
		n.log.Error("NATS refuses", attrs...)
	case !errors.Is(err, nats.ErrSlowConsumer):
		n.log.Debug("NATS connection", attrs...) // disconnected tells what comes of it
	case n.slow.CompareAndSwap(false, true):
		n.log.Warn("messages lost: a receiver is full; later ones are only counted", attrs...)
	}
}
