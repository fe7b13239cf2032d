package edge

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// silenceInterval is the time between two warnings that auth is silent.
const silenceInterval = time.Minute

// silence counts the questions of one kind that no auth service has answered, so that it is told now and then instead of for
// each of them. Safe for concurrent use.
type silence struct {
	unanswered atomic.Uint64 // since the last warning
	telling    rate.Sometimes
}

// unheard notes that nobody has answered a question on a subject, and warns if it is time. It is no sign of auth if those who
// waited for the answer have gone, or have no time left: their contexts are given.
func (s *Service) unheard(q *silence, subject, consequence string, err error, waiting ...context.Context) {
	for _, ctx := range waiting {
		if ctx.Err() != nil {
			return
		}
	}
	q.unanswered.Add(1)
	q.telling.Do(func() {
		s.log.Warn("no auth service answers", slog.String("subject", subject), slog.String("consequence", consequence),
			slog.Uint64("unanswered", q.unanswered.Swap(0)), slog.Any("err", err))
	})
}
