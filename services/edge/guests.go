package edge

import (
	"context"
	"sync"
	"time"
)

// guests are the connections that have not joined a namespace yet, oldest first: all have the same time to do so, so a queue
// takes the place of a timer for each. Safe for concurrent use; the zero value is ready.
type guests struct {
	mu    sync.Mutex
	queue []guest // guarded by mu
}

type guest struct {
	conn *conn
	due  time.Time
}

func (g *guests) add(c *conn, due time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, guest{conn: c, due: due})
}

// overdue takes the connections out whose time has come.
func (g *guests) overdue(now time.Time) []guest {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for n < len(g.queue) && !now.Before(g.queue[n].due) {
		n++
	}
	due := append([]guest(nil), g.queue[:n]...)
	rest := copy(g.queue, g.queue[n:])
	clear(g.queue[rest:])
	g.queue = g.queue[:rest]
	return due
}

// evictGuests closes the connections that joined no namespace within the connect timeout (NSP-009), until ctx ends.
func (s *Service) evictGuests(ctx context.Context) error {
	tick := time.NewTicker(min(50*time.Millisecond, s.cfg.ConnectTimeout/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, g := range s.guests.overdue(now) {
				g.conn.mu.Lock()
				stranger := !g.conn.entered && !g.conn.closed
				g.conn.mu.Unlock()
				if stranger {
					s.cfg.Metrics.connectTimeout()
					g.conn.session.Close()
				}
			}
		}
	}
}
