package edge

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// silenceInterval is the time between two warnings that auth is silent.
const silenceInterval = time.Minute

// silence counts the questions of one kind that no auth service has answered, so that it is told now and then instead of for
// each of them. Safe for concurrent use.
type silence struct {
	mu         sync.Mutex
	told       time.Time // guarded by mu: the last warning; zero is none
	unanswered uint64    // guarded by mu: since then
}

// count adds a question, and returns how many there are if it is time to tell.
func (q *silence) count() (unanswered uint64, tell bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unanswered++
	if now := time.Now(); q.told.IsZero() || now.Sub(q.told) >= silenceInterval {
		unanswered, tell = q.unanswered, true
		q.told, q.unanswered = now, 0
	}
	return unanswered, tell
}

// unheard notes that nobody has answered a question on a subject, and warns if it is time. It is no sign of auth if those who
// waited for the answer have gone, or have no time left: their contexts are given.
func (s *Service) unheard(q *silence, subject, consequence string, err error, waiting ...context.Context) {
	for _, ctx := range waiting {
		if ctx.Err() != nil {
			return
		}
	}
	if n, tell := q.count(); tell {
		s.log.Warn("no auth service answers", slog.String("subject", subject), slog.String("consequence", consequence),
			slog.Uint64("unanswered", n), slog.Any("err", err))
	}
}
