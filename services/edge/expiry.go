package edge

import (
	"time"

	"github.com/siomesh/siomesh/internal/mesh/authn"
	"github.com/siomesh/siomesh/internal/mesh/link"
	"github.com/siomesh/siomesh/pkg/protocol"
)

// permissionExpired is the message of a CONNECT_ERROR, or the description of a disconnect, whose permission has ended.
const permissionExpired = "permission expired"

// permit gives a socket what auth has allowed it: its verdict, its buckets, and the alarm for the permission's end. It fails
// when that has passed already; mu is held.
func (c *conn) permit(sk *socket, verdict *authn.ConnectReply) error {
	end := verdict.ExpiresAt
	if !end.IsZero() && !time.Now().Before(end) {
		return &refusal{Message: permissionExpired}
	}
	sk.verdict = verdict
	sk.buckets = c.s.cfg.buckets(verdict.Limits)
	if earlier := c.spent[string(sk.namespace)]; earlier != nil && sk.buckets != nil {
		sk.buckets.inherit(earlier, time.Now())
	}
	delete(c.spent, string(sk.namespace))
	if !end.IsZero() && sk.state != ending {
		sk.expiry = &alarm{ring: func() { c.s.expire(sk) }}
		c.s.alarms.set(sk.expiry, end)
	}
	return nil
}

// expire ends a socket whose permission has ended, as if its app had disconnected it. One that the app has not accepted yet is
// refused.
func (s *Service) expire(sk *socket) {
	c := sk.conn
	var b link.Batch
	defer b.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch sk.state {
	case joined:
		c.send(protocol.Packet{Type: protocol.Disconnect, Namespace: sk.namespace})
		c.leave(sk.namespace)
	case joining, asked:
		c.send(protocol.Packet{
			Type: protocol.ConnectError, Namespace: sk.namespace, Data: c.refusal(&refusal{Message: permissionExpired}),
		})
	case ending:
		return
	}
	s.cfg.Metrics.expired()
	c.end(&b, sk, reasonServerDisconnect, permissionExpired)
}
