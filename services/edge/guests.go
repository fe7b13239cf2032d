package edge

import (
	"context"
	"sync"
	"time"
)

// guests are the connections that have not joined a namespace yet, oldest first: all have the same time to do so, so a list
// takes the place of a timer for each. Safe for concurrent use; the zero value is ready.
type guests struct {
	mu          sync.Mutex
	first, last *conn // guarded by mu
}

// place is a connection's place among the guests.
type place struct {
	next, prev *conn     // guarded by guests.mu
	due        time.Time // guarded by guests.mu; zero for who is no guest
}

// add lets a connection stay until due.
func (g *guests) add(c *conn, due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.place = place{prev: g.last, due: due}
	if g.last == nil {
		g.first = c
	} else {
		g.last.place.next = c
	}
	g.last = c
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
