package edge

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/siomesh/siomesh/pkg/engine"
)

// guests are the connections that have not joined a namespace yet, oldest first: all have the same time to do so, so a list
// takes the place of a timer for each. Safe for concurrent use; the zero value is ready.
type guests struct {
	mu          sync.Mutex
	first, last *conn // guarded by mu
	count       int   // guarded by mu
}

// place is a connection's place among the guests.
type place struct {
	next, prev *conn     // guarded by guests.mu
	due        time.Time // guarded by guests.mu; zero for who is no guest
}

// admit lets a connection stay until due. With limit of them there, the oldest has to make room and is returned, if it came
// at least patience before this one; else there is no room.
func (g *guests) admit(c *conn, due time.Time, limit int, patience time.Duration) (oldest *conn, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if limit > 0 && g.count >= limit {
		if oldest = g.first; due.Sub(oldest.place.due) < patience {
			return nil, false
		}
		g.unlink(oldest)
	}
	c.place = place{prev: g.last, due: due}
	g.count++
	if g.last == nil {
		g.first = c
	} else {
		g.last.place.next = c
	}
	g.last = c
	return oldest, true
}

// remove takes a connection out, if it is a guest.
func (g *guests) remove(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unlink(c)
}

// overdue takes the oldest connection out if its time has come, and returns it.
func (g *guests) overdue(now time.Time) *conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.first
	if c == nil || now.Before(c.place.due) {
		return nil
	}
	g.unlink(c)
	return c
}

func (g *guests) unlink(c *conn) {
	p := c.place
	if p.due.IsZero() {
		return
	}
	if p.prev == nil {
		g.first = p.next
	} else {
		p.prev.place.next = p.next
	}
	if p.next == nil {
		g.last = p.prev
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

// makeRoom closes a guest at once, unless it joined in this moment.
func (c *conn) makeRoom() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.entered && !c.closed {
		c.s.cfg.Metrics.unjoinedClosed()
		c.session.Discard(engine.ForcedClose)
	}
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
		c.session.Close()
	}
}
