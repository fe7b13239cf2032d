package edge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
)

// guests are the connections that have not joined a namespace yet, oldest first: all have the same time to do so, so a list
// takes the place of a timer for each. Those whose time is over stay guests until they are gone: a polling client has half a
// minute to take its close packet. Safe for concurrent use; the zero value is ready.
type guests struct {
	mu      sync.Mutex
	waiting queue // guarded by mu: for whom there is time
	leaving queue // guarded by mu: for whom there is none
	count   int   // guarded by mu: of both
}

// queue is a list of connections.
type queue struct{ first, last *conn }

// place is a connection's place among the guests.
type place struct {
	in         *queue    // guarded by guests.mu; nil for who is no guest
	next, prev *conn     // guarded by guests.mu
	due        time.Time // guarded by guests.mu
}

// admit lets a connection stay until due. With limit of them there, one whose time is over has to make room and is returned, or
// the oldest, if it came at least patience before this one; else there is no room.
func (g *guests) admit(c *conn, due time.Time, limit int, patience time.Duration) (oldest *conn, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit > 0 && g.count >= limit {
		if oldest = g.leaving.first; oldest == nil {
			oldest = g.waiting.first
			if due.Sub(oldest.place.due) < patience {
				return nil, false
			}
		}
		g.unlink(oldest)
	}
	g.link(&g.waiting, c, due)
	return oldest, true
}

// remove takes a connection out, if it is a guest.
func (g *guests) remove(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlink(c)
}

// overdue returns the oldest connection if its time has come, which is to leave then.
func (g *guests) overdue(now time.Time) *conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.waiting.first
	if c == nil || now.Before(c.place.due) {
		return nil
	}
	due := c.place.due
	g.unlink(c)
	g.link(&g.leaving, c, due)
	return c
}

func (g *guests) link(q *queue, c *conn, due time.Time) {
	c.place = place{in: q, prev: q.last, due: due}
	g.count++
	if q.last == nil {
		q.first = c
	} else {
		q.last.place.next = c
	}
	q.last = c
}

func (g *guests) unlink(c *conn) {
	p := c.place
	if p.in == nil {
		return
	}
	if p.prev == nil {
		p.in.first = p.next
	} else {
		p.prev.place.next = p.next
	}
	if p.next == nil {
		p.in.last = p.prev
	} else {
		p.next.place.prev = p.prev
	}
	c.place = place{}
	g.count--
}

// welcome makes a new connection a guest. While there are too many, the oldest gives way if it has had the time that a CONNECT
// may be held; if even that has not, all of them may be about to join, and the new one is refused. So whoever opens sessions
// and lets them lie shortens the time of others like him, and keeps nobody out, unless he is faster than the limit in AppWait.
func (s *Service) welcome(c *conn) error {
	oldest, ok := s.guests.admit(c, time.Now().Add(s.cfg.ConnectTimeout), s.cfg.MaxUnjoined, s.cfg.AppWait)
	if !ok {
		s.cfg.Metrics.unjoinedRefused()
		return &engine.Refusal{
			Code: engine.CodeBadRequest, Message: "Too many connections without a namespace",
			Status: http.StatusServiceUnavailable, RetryAfter: s.cfg.AppWait,
		}
	}
	if oldest != nil {
		oldest.makeRoom()
	}
	return nil
}

// makeRoom closes a guest at once, unless it joined, or went to another edge, in this moment.
func (c *conn) makeRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entered || c.moved {
		return
	}
	if !c.closed && !c.late {
		c.s.cfg.Metrics.unjoinedClosed()
	}
	c.session.Discard(engine.ForcedClose)
}

// evictGuests closes the connections that joined no namespace within the connect timeout (NSP-009), until ctx ends.
func (s *Service) evictGuests(ctx context.Context) error {
	tick := time.NewTicker(max(s.cfg.ConnectTimeout/100, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for c := s.guests.overdue(now); c != nil; c = s.guests.overdue(now) {
				s.evict(c)
			}
		}
	}
}

// evict closes a connection unless it joined in this moment.
func (s *Service) evict(c *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.entered && !c.closed {
		s.cfg.Metrics.connectTimeout()
		c.late = true
		c.session.Close()
	}
}
